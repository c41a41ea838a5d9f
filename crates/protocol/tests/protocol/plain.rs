//! The dialect for people.

use crate::support::{bytes, decode, payload, refused};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, Command, Content, Decoded, Dialect, Dialects, Echo, Epoch, ErrorCode, Event, Incoming, Position,
    Publication, Recovered, Request, RequestId, Target, TemplateTexts, Templates, WithoutSubprotocol,
};

fn decode_plain(text: &str) -> Decoded {
    let decoded = decode(Dialect::Plain, Incoming::Text(text));
    assert_eq!(decoded, decode(Dialect::Plain, Incoming::Binary(text.as_bytes())));
    decoded
}

#[track_caller]
fn check_broadcast(text: &str, content: &str) {
    let command = Command::Broadcast { content: Content::json(content).unwrap(), echo: false, idempotency_key: None };
    assert_eq!(decode_plain(text), Decoded::Request(Request { id: None, command }));
}

#[track_caller]
fn check_echo(text: &str, json: bool) {
    let command = Command::Echo(if json { Echo::Json(text.to_owned()) } else { Echo::Text(text.to_owned()) });
    assert_eq!(decode_plain(text), Decoded::Request(Request { id: None, command }));
}

#[test]
fn an_object_of_type_broadcast_is_one() {
    check_broadcast(r#"{"type":"broadcast","content":"hello"}"#, r#""hello""#);
    check_broadcast(" {\"content\" : [1, 2] , \"type\":\"broadcast\", \"user\":{}}\n", "[1, 2]");
    check_broadcast(r#"{"type":"broadcast","content":null}"#, "null");
    check_broadcast(r#"{"type":"broadcast"}"#, "\"无内容\"");
    check_broadcast(r#"{"\u0074ype":"broad\u0063ast","content":1}"#, "1");
}

#[test]
fn the_last_of_two_keys_counts() {
    check_broadcast(r#"{"type":"x","content":1,"content":2,"type":"broadcast"}"#, "2");
    check_echo(r#"{"type":"broadcast","content":1,"type":1}"#, true);
}

#[test]
fn other_json_is_echoed_as_json_by_grammar_alone() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_type = format!(r#"{{"type":{deep}}}"#);
    let texts = [
        "123",
        "\"x\"",
        "null",
        "[1e999]",
        " {} ",
        r#"{"type":"ping"}"#,
        r#"{"type":["broadcast"]}"#,
        r#"["broadcast"]"#,
        r#"{"type":"Broadcast"}"#,
        r#""\ud800""#,
        r#"{"\ud800":"\udc00"}"#,
        r#"{"a":{"type":"broadcast"}}"#,
        &deep,
        &deep_type,
    ];
    for text in texts {
        check_echo(text, true);
    }
    check_broadcast(r#"{"\ud800":1e999,"type":"broadcast","content":1}"#, "1");
}

#[test]
fn what_is_no_json_is_echoed_as_text() {
    let texts =
        ["", "hello", "{\"type\":\"broadcast\"", "{'a':1}", "1 2", "\u{feff}1", "{\"type\":\"broadcast\"} x", "NaN"];
    for text in texts {
        check_echo(text, false);
    }
    check_echo(&"[".repeat(100_000), false);
}

#[test]
fn a_content_without_a_form_elsewhere_is_refused() {
    let (id, code, message) = refused(decode_plain(r#"{"type":"broadcast","content":["\ud800"]}"#));
    assert_eq!((id, code), (None, ErrorCode::BadRequest));
    assert_eq!(message, "content: unexpected end of hex escape at line 1 column 39");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let (_, _, message) = refused(decode_plain(&format!(r#"{{"type":"broadcast","content":{deep}}}"#)));
    assert!(message.starts_with("content: nested more than 64 levels deep at line 1"), "{message}");
    let (_, _, message) = refused(decode(Dialect::Plain, Incoming::Binary(b"ab\xff")));
    assert_eq!(message, "a binary message that is not UTF-8 (from byte 2)");
}

#[track_caller]
fn check_text(frame: Option<Bytes>, expected: &str) {
    let frame = frame.unwrap();
    assert_eq!(payload(&frame), (1, expected.as_bytes()));
}

fn broadcast(dialects: &Dialects, content: Content) -> Option<Bytes> {
    Publication::new(Target::Broadcast, content).frame(Dialect::Plain, dialects).cloned()
}

#[test]
fn broadcasts_are_written_for_people() {
    let dialects = Dialects::default();
    let json = |text| broadcast(&dialects, Content::json(text).unwrap());
    check_text(json(r#""a\"\u4f60\ud83d\ude00 {content}""#), "广播消息: a\"你😀 {content}");
    check_text(
        json("{ \"a b\" : [ 1.50 ,\t-0,1E2,\"x \\\" y\\\\\" ] }"),
        r#"广播消息: {"a b":[1.50,-0,1E2,"x \" y\\"]}"#,
    );
    check_text(json("null"), "广播消息: null");
    let message_pack = |hex| broadcast(&dialects, Content::message_pack(&bytes(hex)).unwrap());
    check_text(message_pack("a3e4bda0"), "广播消息: 你");
    check_text(message_pack("92 c0 81 a161 cb3ff8000000000000"), r#"广播消息: [null,{"a":1.5}]"#);
    check_text(message_pack("c402ff00"), "广播消息: /wA=");
}

fn position() -> Position {
    Position { epoch: Epoch::parse("e").unwrap(), offset: 7 }
}

#[test]
fn a_broadcast_with_a_place_reads_like_one_without() {
    let publication = Publication::new(Target::Broadcast, Content::string("x")).at(position());
    check_text(publication.frame(Dialect::Plain, &Dialects::default()).cloned(), "广播消息: x");
}

#[test]
fn commands_of_the_native_dialects_are_texts_like_any_other() {
    check_echo(r#"{"type":"recover_broadcast","epoch":"e","offset":7}"#, true);
    check_broadcast(r#"{"type":"broadcast","content":1,"idempotency_key":5}"#, "1");
}

#[test]
fn answers_and_failures_have_texts_and_other_events_none() {
    let encode = |event| Dialects::default().encode(Dialect::Plain, &event);
    check_text(encode(Event::Echo(Echo::Json("{ }".to_owned()))), "服务器回应: { }");
    check_text(encode(Event::Echo(Echo::Text("你好 {text}".to_owned()))), "服务器回应 (非JSON): 你好 {text}");
    let message = "broker is away".to_owned();
    check_text(
        encode(Event::Error { id: None, code: ErrorCode::BrokerUnavailable, message }),
        "服务器错误: broker is away",
    );
    let silent = [
        Event::Ok { id: RequestId::Unsigned(1) },
        Event::Pong { id: None },
        Event::Published { id: RequestId::Unsigned(1), position: position() },
        Event::Subscribed { id: RequestId::Unsigned(1), position: position(), recovered: Some(Recovered::Nothing) },
        Event::History { id: RequestId::Unsigned(1), position: position(), publications: Vec::new() },
        Event::Lost { channel: None, position: position() },
        Event::Gap { seconds: 1.0 },
        Event::Dropped { count: 1 },
    ];
    for event in silent {
        assert_eq!(encode(event), None);
    }
    let channel = Target::Channel(ChannelName::parse("a").unwrap());
    let publication = Publication::new(channel, Content::string("x"));
    assert_eq!(publication.frame(Dialect::Plain, &Dialects::default()), None);
}

#[test]
fn templates_are_configuration() {
    let texts = TemplateTexts {
        broadcast: "{text}<{content}>".to_owned(),
        reply: "{text}".to_owned(),
        reply_text: "? {text}".to_owned(),
        error: "{reason}!".to_owned(),
        no_content: "{content} \"nothing\"".to_owned(),
    };
    let dialects = Dialects::new(Templates::new(&texts).unwrap(), WithoutSubprotocol::Plain);
    let decoded = dialects.decode(Dialect::Plain, Incoming::Text(r#"{"type":"broadcast"}"#)).remove(0);
    let Decoded::Request(Request { command: Command::Broadcast { content, .. }, .. }) = decoded else {
        panic!("no broadcast: {decoded:?}")
    };
    check_text(broadcast(&dialects, content), "{text}<{content} \"nothing\">");
    let error = Event::Error { id: None, code: ErrorCode::Internal, message: "{reason}".to_owned() };
    check_text(dialects.encode(Dialect::Plain, &error), "{reason}!");
}

#[track_caller]
fn check_template(change: impl Fn(&mut TemplateTexts), expected: &str) {
    let mut texts = TemplateTexts::default();
    change(&mut texts);
    assert_eq!(Templates::new(&texts).unwrap_err().to_string(), expected);
}

#[test]
fn a_wrong_template_is_named() {
    let times = |name, placeholder, times| {
        format!("the plain template \"{name}\" has {placeholder} {times} times: exactly once is needed")
    };
    check_template(|texts| texts.broadcast = "x".to_owned(), &times("broadcast", "{content}", 0));
    check_template(|texts| texts.reply = "{text}{text}".to_owned(), &times("reply", "{text}", 2));
    check_template(|texts| texts.reply_text = "{content}".to_owned(), &times("reply_text", "{text}", 0));
    check_template(|texts| texts.error = String::new(), &times("error", "{reason}", 0));
    let long = "the plain template \"no_content\" has 513 bytes: at most 512 are allowed";
    check_template(|texts| texts.no_content = "x".repeat(513), long);
    let long = "the plain template \"reply_text\" has 518 bytes: at most 512 are allowed";
    check_template(|texts| texts.reply_text = "x".repeat(512) + "{text}", long);
}
