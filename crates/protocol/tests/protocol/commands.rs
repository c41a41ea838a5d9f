//! What the native dialects read.

use crate::support::{bytes, decode, decode_json, decode_message_pack, message_pack, refused};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, Command, Content, Decoded, Dialect, ErrorCode, Incoming, Request, RequestId, Token,
    command::MAX_ID_LENGTH,
};

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// Both encodings of the keys and values `json` ask the same; only the content keeps the form it came in.
#[track_caller]
pub(crate) fn check(json: &str, id: Option<RequestId>, expected: impl Fn(fn(&str) -> Content) -> Command) {
    let request = |content| Decoded::Request(Request { id: id.clone(), command: expected(content) });
    assert_eq!(decode_json(json), request(|json| Content::json(json).unwrap()));
    let as_message_pack = request(|json| Content::message_pack(&message_pack(json)).unwrap());
    assert_eq!(decode_message_pack(&message_pack(json)), as_message_pack);
}

#[test]
fn every_command_is_read_in_both_encodings() {
    let one = Some(RequestId::Unsigned(1));
    check(r#"{"type":"subscribe","id":1,"channel":"news"}"#, one.clone(), |_| Command::Subscribe {
        channel: channel("news"),
        recover: None,
        info: None,
    });
    check(r#"{"channel":"news","id":1,"type":"unsubscribe"}"#, one, |_| Command::Unsubscribe {
        channel: channel("news"),
    });
    check(r#"{"type":"publish","channel":"a:b","content":{"x":[1,null]}}"#, None, |content| Command::Publish {
        channel: channel("a:b"),
        content: content(r#"{"x":[1,null]}"#),
        echo: true,
        idempotency_key: None,
    });
    check(r#"{"type":"publish","channel":"a","content":"x","echo":false}"#, None, |content| Command::Publish {
        channel: channel("a"),
        content: content(r#""x""#),
        echo: false,
        idempotency_key: None,
    });
    check(r#"{"type":"broadcast","content":null}"#, None, |content| Command::Broadcast {
        content: content("null"),
        echo: false,
        idempotency_key: None,
    });
    check(r#"{"type":"broadcast","content":1.5,"echo":true}"#, None, |content| Command::Broadcast {
        content: content("1.5"),
        echo: true,
        idempotency_key: None,
    });
}

#[test]
fn a_token_is_read_and_never_shown() {
    let token = || Token::new("e.y.J");
    check(r#"{"type":"auth","token":"e.y.J"}"#, None, |_| Command::Auth { token: token() });
    check(r#"{"token":"e.y.J","type":"refresh","id":1}"#, Some(RequestId::Unsigned(1)), |_| Command::Refresh {
        token: token(),
    });
    assert_eq!(format!("{:?}", Command::Auth { token: token() }), "Auth { token: Token(***) }");
    check_bad_json(r#"{"type":"auth"}"#, None, "missing key \"token\" in auth");
    check_bad_json(r#"{"type":"ping","token":"a"}"#, None, "unknown key \"token\": the keys of \"ping\" are type, id");
}

#[test]
fn an_id_is_an_integer_of_64_bits_or_a_short_text() {
    let longest = "x".repeat(MAX_ID_LENGTH);
    let ids = [
        ("0", RequestId::Unsigned(0)),
        ("18446744073709551615", RequestId::Unsigned(u64::MAX)),
        ("-1", RequestId::Signed(-1)),
        ("-9223372036854775808", RequestId::Signed(i64::MIN)),
        ("\"\"", RequestId::Text("".into())),
        (&format!("{longest:?}"), RequestId::Text(longest.as_str().into())),
    ];
    for (json, id) in ids {
        check(&format!(r#"{{"type":"ping","id":{json}}}"#), Some(id), |_| Command::Ping);
    }
    let signed_form = bytes("82 a474797065 a470696e67 a26964 d001");
    let ping = Request { id: Some(RequestId::Unsigned(1)), command: Command::Ping };
    assert_eq!(decode_message_pack(&signed_form), Decoded::Request(ping));
}

#[test]
fn bytes_are_base64_in_json_and_binary_in_message_pack() {
    let broadcast = Decoded::Request(Request {
        id: None,
        command: Command::Broadcast {
            content: Content::binary(Bytes::from_static(&[1, 2, 3])),
            echo: false,
            idempotency_key: None,
        },
    });
    assert_eq!(decode_json(r#"{"type":"broadcast","content_base64":"AQID"}"#), broadcast);
    assert_eq!(
        decode_message_pack(&bytes("82 a474797065 a962726f616463617374 a7636f6e74656e74 c403010203")),
        broadcast
    );
}

#[track_caller]
fn check_refused(json: &str, id: Option<u64>, code: ErrorCode, message: &str) {
    assert_eq!(refused(decode_json(json)), (id.map(RequestId::Unsigned), code, message.to_owned()), "{json}");
}

#[track_caller]
pub(crate) fn check_bad_json(json: &str, id: Option<u64>, message: &str) {
    check_refused(json, id, ErrorCode::BadRequest, message);
}

#[test]
fn what_is_no_command_is_refused_with_the_place() {
    check_bad_json("", None, "broken JSON: EOF while parsing a value at line 1 column 0");
    check_bad_json("hello", None, "broken JSON: expected value at line 1 column 1");
    check_bad_json("{\"type\":\n\"ping\"", None, "broken JSON: EOF while parsing an object at line 2 column 6");
    check_bad_json("{\"type\":\"ping\"} x", None, "broken JSON: trailing characters at line 1 column 17");
    check_bad_json("[1]", None, "invalid type: sequence, expected an object with a command at line 1 column 1");
    check_bad_json("7", None, "invalid type: integer `7`, expected an object with a command at line 1 column 1");
    let long = format!("{:?}", "x".repeat(10_000));
    check_bad_json(&long, None, "invalid type: string, expected an object with a command at line 1 column 10002");
    check_bad_json("{}", None, "missing key \"type\" in a command");
    check_bad_json(r#"{"id":7}"#, Some(7), "missing key \"type\" in a command");
}

#[test]
fn an_unknown_command_is_told_the_known_ones() {
    let known = "known are subscribe, unsubscribe, publish, broadcast, recover_broadcast, history, presence, presence_stats, auth, refresh, ping";
    let code = ErrorCode::UnknownCommand;
    check_refused(r#"{"type":"pub","limit":1,"id":7}"#, Some(7), code, &format!("unknown command \"pub\": {known}"));
    let long = format!(r#"{{"type":"{}\n"}}"#, "é".repeat(1000));
    check_refused(&long, None, code, &format!("unknown command \"{}\"…: {known}", "é".repeat(32)));
}

#[test]
fn keys_are_held_against_the_command() {
    let subscribe = "the keys of \"subscribe\" are type, id, channel, recover, info, info_base64";
    check_bad_json(
        r#"{"type":"subscribe","channel":"a","content":1,"id":7}"#,
        Some(7),
        &format!("unknown key \"content\": {subscribe}"),
    );
    check_bad_json(r#"{"type":"subscribe","chanel":"a"}"#, None, &format!("unknown key \"chanel\": {subscribe}"));
    check_bad_json(
        r#"{"type":"ping","channel":"a"}"#,
        None,
        "unknown key \"channel\": the keys of \"ping\" are type, id",
    );
    check_bad_json(
        r#"{"type":"broadcast","content":1,"channel":"a"}"#,
        None,
        "unknown key \"channel\": the keys of \"broadcast\" are type, id, content, content_base64, echo, idempotency_key",
    );
    check_bad_json(r#"{"type":"subscribe","id":7}"#, Some(7), "missing key \"channel\" in subscribe");
    check_bad_json(r#"{"type":"publish","channel":"a"}"#, None, "missing key \"content\" in publish");
    check_bad_json(r#"{"type":"publish","content":1}"#, None, "missing key \"channel\" in publish");
    check_bad_json(
        r#"{"type":"broadcast","content":1,"content_base64":"AQID"}"#,
        None,
        "both \"content\" and \"content_base64\": there is one content",
    );
}

#[test]
fn a_key_comes_once() {
    let (_, _, message) = refused(decode_json(r#"{"type":"ping","id":1,"type":"ping"}"#));
    assert!(message.starts_with("duplicate key \"type\" at line 1 column "), "{message}");
    let (id, _, message) = refused(decode_json(r#"{"id":1,"\u0069d":2,"type":"ping"}"#));
    assert!(message.starts_with("duplicate key \"id\" at line 1 column "), "{message}");
    assert_eq!(id, Some(RequestId::Unsigned(1)));
}

#[test]
fn a_wrong_type_is_told_what_was_expected_and_the_id_is_echoed_wherever_it_stands() {
    let number = r#"{"type":"subscribe","channel":5,"id":7}"#;
    check_bad_json(number, Some(7), "invalid type: integer `5`, expected a string as \"channel\" at line 1 column 31");
    let object = r#"{"id":7,"type":{}}"#;
    check_bad_json(object, Some(7), "invalid type: map, expected a string as \"type\" at line 1 column 15");
    let (id, _, message) = refused(decode_json(r#"{"type":"publish","channel":"a","content":1,"echo":"no","id":7}"#));
    assert!(message.starts_with("invalid type: string, expected a boolean as \"echo\" at line 1 column "), "{message}");
    assert_eq!(id, Some(RequestId::Unsigned(7)));
    check_bad_json(r#"{"id":7,"type":"ping""#, Some(7), "broken JSON: EOF while parsing an object at line 1 column 21");
    check_bad_json(r#"{"type":ping,"id":7}"#, None, "broken JSON: expected value at line 1 column 9");
}

#[test]
fn a_wrong_id_is_refused() {
    let too_long = format!("{:?}", "x".repeat(MAX_ID_LENGTH + 1));
    for wrong in ["1.5", "18446744073709551616", "null", "true", "[]", "{}", &too_long, r#""\ud800""#] {
        let (id, code, message) = refused(decode_json(&format!(r#"{{"type":"ping","id":{wrong}}}"#)));
        assert_eq!((id, code), (None, ErrorCode::BadRequest));
        assert!(wrong.contains("ud800") || message.contains("expected an integer that fits 64 bits or"), "{message}");
        assert!(message.len() < 200 && message.contains(" at line 1 column "), "{message}");
    }
}

#[test]
fn channel_names_are_checked() {
    let spaced = r#"{"type":"subscribe","channel":"a b","id":7}"#;
    let reason =
        "channel: ' ' at byte 1 can't stand in a channel name: printable ASCII without space, '{', '}' and '*' can";
    check_bad_json(spaced, Some(7), reason);
    let surrogate = r#"{"type":"subscribe","channel":"\udc00"}"#;
    check_bad_json(surrogate, None, "broken JSON: lone leading surrogate in hex escape at line 1 column 37");
}

#[test]
fn a_wrong_content_is_refused_with_its_place_in_the_message() {
    let range = "{\"type\":\"broadcast\",\n \"content\": [1,\n1e999],\"id\":7}";
    check_bad_json(range, Some(7), "content: number out of range at line 3 column 5");
    let one_line = "\n{\"type\":\"broadcast\",\"content\":1e999}";
    check_bad_json(one_line, None, "content: number out of range at line 2 column 35");
    let base64 = r#"{"type":"broadcast","content_base64":"AQ!=","id":7}"#;
    let reason = "content_base64: no base64 of the standard alphabet with padding: Invalid symbol 33, offset 2.";
    check_bad_json(base64, Some(7), reason);
    assert!(matches!(decode_json(r#"{"type":"broadcast","content_base64":"AQ"}"#), Decoded::Refused { .. }));
}

#[test]
fn depth_overflows_no_stack_wherever_it_is() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let (id, _, message) = refused(decode_json(&format!(r#"{{"type":"broadcast","content":{deep},"id":7}}"#)));
    assert!(message.starts_with("content: nested more than 64 levels deep at line 1 column "), "{message}");
    assert_eq!(id, Some(RequestId::Unsigned(7)));
    for wrong in [format!(r#"{{"type":{deep},"id":7}}"#), format!(r#"{{"x":{deep},"type":"ping","id":7}}"#), deep] {
        assert!(matches!(decode_json(&wrong), Decoded::Refused { .. }));
    }
}

#[track_caller]
pub(crate) fn check_bad_message_pack(hex: &str, id: Option<u64>, message: &str) {
    let expected = (id.map(RequestId::Unsigned), ErrorCode::BadRequest, message.to_owned());
    assert_eq!(refused(decode_message_pack(&bytes(hex))), expected, "{hex}");
}

/// `"type":"ping"`, `"id":7` and the keys alone, in MessagePack.
const PING: &str = "a474797065 a470696e67";
pub(crate) const ID: &str = "a26964 07";
const CONTENT: &str = "a474797065 a962726f616463617374 a7636f6e74656e74";

#[test]
fn message_pack_is_refused_with_the_place() {
    check_bad_message_pack("", None, "the message ends within the value that begins at byte 0");
    check_bad_message_pack("93 01 02 03", None, "invalid type: sequence, expected a map with a command at byte 0");
    check_bad_message_pack("80", None, "missing key \"type\" in a command");
    check_bad_message_pack(&format!("81 {ID}"), Some(7), "missing key \"type\" in a command");
    let twice = format!("83 {PING} {ID} {ID}");
    check_bad_message_pack(&twice, Some(7), "duplicate key \"id\" at byte 15");
    let number = format!("82 {ID} a474797065 05");
    check_bad_message_pack(&number, Some(7), "invalid type: integer `5`, expected a string as \"type\" at byte 10");
    let key = format!("83 01 02 {PING} {ID}");
    check_bad_message_pack(&key, Some(7), "invalid type: integer `1`, expected a string as a key at byte 1");
    check_bad_message_pack(&format!("82 {ID} {PING} c0"), Some(7), "more than one value: the second begins at byte 15");
    check_bad_message_pack(
        &format!("83 {ID} {PING}"),
        Some(7),
        "the message ends within the value that begins at byte 15",
    );
    let stray = format!("83 a178 {}90 {ID} {PING}", "91".repeat(100_000));
    check_bad_message_pack(&stray, Some(7), "unknown key \"x\": the keys of \"ping\" are type, id");
    check_bad_message_pack(
        &format!("82 {PING} a26964 cb3ff8000000000000"),
        None,
        "invalid type: floating point `1.5`, expected an integer that fits 64 bits or a string of at most 64 bytes as \
         \"id\" at byte 14",
    );
}

#[test]
fn message_pack_content_is_refused_with_its_place_in_the_message() {
    let reason = "content: NaN, which JSON can't express, at byte 30";
    check_bad_message_pack(&format!("83 {ID} {CONTENT} 92 c0 cb7ff8000000000000"), Some(7), reason);
    let reason = "content: nested more than 64 levels deep at byte 88";
    check_bad_message_pack(&format!("82 {CONTENT} {}90", "91".repeat(100_000)), None, reason);
}

#[test]
fn message_pack_has_no_base64() {
    let (_, code, message) =
        refused(decode_message_pack(&message_pack(r#"{"type":"broadcast","content_base64":"AQID"}"#)));
    let expected =
        "unknown key \"content_base64\": the keys of \"broadcast\" are type, id, content, echo, idempotency_key";
    assert_eq!((code, message.as_str()), (ErrorCode::BadRequest, expected));
}

#[test]
fn the_wrong_kind_of_message_is_refused() {
    let (_, code, message) = refused(decode(Dialect::Json, Incoming::Binary(b"{\"type\":\"ping\"}")));
    let expected = "a binary message: fanwire.v1.json takes JSON in text messages";
    assert_eq!((code, message.as_str()), (ErrorCode::BadRequest, expected));
    let (_, code, message) = refused(decode(Dialect::MessagePack, Incoming::Text("{\"type\":\"ping\"}")));
    let expected = "a text message: fanwire.v1.msgpack takes MessagePack in binary messages";
    assert_eq!((code, message.as_str()), (ErrorCode::BadRequest, expected));
}
