//! The exact bytes that the native dialects write.

use crate::support::{bytes, payload};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, ConnectionId, Content, Dialect, Dialects, ErrorCode, Event, NodeId, Publication, RequestId, Target,
};

fn welcome() -> Event {
    let node = NodeId::from_random(5);
    Event::Welcome { connection: ConnectionId(node, 1), node, version: "0.1.0", heartbeat: 20.0 }
}

#[track_caller]
fn check(event: Event, json: &str, message_pack: &str) {
    let dialects = Dialects::default();
    let frame = dialects.encode(Dialect::Json, &event).unwrap();
    assert_eq!(payload(&frame), (1, json.as_bytes()));
    let frame = dialects.encode(Dialect::MessagePack, &event).unwrap();
    assert_eq!(payload(&frame), (2, &bytes(message_pack)[..]));
}

#[test]
fn events_keep_their_bytes() {
    check(
        welcome(),
        r#"{"type":"welcome","connection":[5,1],"node":5,"version":"0.1.0","heartbeat":20.0}"#,
        "85 a474797065 a777656c636f6d65 aa636f6e6e656374696f6e 920501 a46e6f6465 05 a776657273696f6e a5302e312e30 \
         a9686561727462656174 cb4034000000000000",
    );
    check(Event::Ok { id: RequestId::Unsigned(1) }, r#"{"type":"ok","id":1}"#, "82 a474797065 a26f6b a26964 01");
    check(
        Event::Ok { id: RequestId::Text("a\"b".into()) },
        r#"{"type":"ok","id":"a\"b"}"#,
        "82 a474797065 a26f6b a26964 a3612262",
    );
    check(
        Event::Error { id: Some(RequestId::Signed(-1)), code: ErrorCode::BadRequest, message: "no".to_owned() },
        r#"{"type":"error","id":-1,"code":"bad_request","message":"no"}"#,
        "84 a474797065 a56572726f72 a26964 ff a4636f6465 ab6261645f72657175657374 a76d657373616765 a26e6f",
    );
    check(
        Event::Error { id: None, code: ErrorCode::Internal, message: String::new() },
        r#"{"type":"error","code":"internal","message":""}"#,
        "83 a474797065 a56572726f72 a4636f6465 a8696e7465726e616c a76d657373616765 a0",
    );
    check(Event::Pong { id: None }, r#"{"type":"pong"}"#, "81 a474797065 a4706f6e67");
    check(
        Event::Gap { seconds: 1.5 },
        r#"{"type":"gap","seconds":1.5}"#,
        "82 a474797065 a3676170 a77365636f6e6473 cb3ff8000000000000",
    );
    check(
        Event::Dropped { count: 3 },
        r#"{"type":"dropped","count":3}"#,
        "82 a474797065 a764726f70706564 a5636f756e74 03",
    );
}

#[test]
fn echoes_are_plain_alone() {
    let echo = Event::Echo { text: "x".to_owned(), json: false };
    for dialect in [Dialect::Json, Dialect::MessagePack] {
        assert_eq!(Dialects::default().encode(dialect, &echo), None);
    }
}

#[track_caller]
fn check_publication(target: Target, content: Content, json: &str, message_pack: &str) {
    let (dialects, publication) = (Dialects::default(), Publication::new(target, content));
    assert_eq!(payload(publication.frame(Dialect::Json, &dialects).unwrap()), (1, json.as_bytes()));
    let frame = publication.frame(Dialect::MessagePack, &dialects).unwrap();
    assert_eq!(payload(frame), (2, &bytes(message_pack)[..]));
}

const BROADCAST: &str = "82 a474797065 a962726f616463617374 a7636f6e74656e74";

#[test]
fn publications_keep_their_bytes() {
    check_publication(
        Target::Channel(ChannelName::parse("a\"\\b").unwrap()),
        Content::json(" {\"x\": 1.50}").unwrap(),
        r#"{"type":"message","channel":"a\"\\b","content":{"x": 1.50}}"#,
        "83 a474797065 a76d657373616765 a76368616e6e656c a461225c62 a7636f6e74656e74 81a178cb3ff8000000000000",
    );
    check_publication(
        Target::Broadcast,
        Content::message_pack(&bytes("82 a161 91 cd0001 a162 ca3dcccccd")).unwrap(),
        r#"{"type":"broadcast","content":{"a":[1],"b":0.1}}"#,
        &format!("{BROADCAST} 82a16191cd0001a162ca3dcccccd"),
    );
    check_publication(
        Target::Broadcast,
        Content::binary(Bytes::from_static(&[0xff, 0])),
        r#"{"type":"broadcast","content_base64":"/wA="}"#,
        &format!("{BROADCAST} c402ff00"),
    );
}

#[test]
fn numbers_beyond_64_bits_are_doubles_where_the_text_itself_is_not_passed_on() {
    check_publication(
        Target::Broadcast,
        Content::json("[18446744073709551615,18446744073709551616,-9223372036854775808]").unwrap(),
        r#"{"type":"broadcast","content":[18446744073709551615,18446744073709551616,-9223372036854775808]}"#,
        &format!("{BROADCAST} 93 cfffffffffffffffff cb43f0000000000000 d38000000000000000"),
    );
}

#[test]
fn containers_of_every_size_are_transcoded() {
    for count in [0_usize, 15, 16, 65_535, 65_536] {
        let json = format!("[{}]", vec!["0"; count].join(","));
        let content = Content::json(&json).unwrap();
        let publication = Publication::new(Target::Broadcast, content);
        let frame = publication.frame(Dialect::MessagePack, &Dialects::default()).cloned().unwrap();
        let (_, payload) = payload(&frame);
        let content = Content::message_pack(&payload[bytes(BROADCAST).len()..]).unwrap();
        let publication = Publication::new(Target::Broadcast, content);
        let frame = publication.frame(Dialect::Json, &Dialects::default()).cloned().unwrap();
        assert!(frame.ends_with(format!("{json}}}").as_bytes()));
    }
}
