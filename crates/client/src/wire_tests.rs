#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::Json;
use bytes::Bytes;
use serde_json::{Value, json};

/// Checks what `command` becomes in JSON.
#[track_caller]
fn check_command(command: Command<'_>, expected: &Value) {
    let message = encode(Encoding::Json, 7, command).unwrap();
    assert_eq!(serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap(), *expected);
}

#[test]
fn commands_are_maps() {
    let (text, binary) = (Content::from("hello"), Content::from(Bytes::from_static(&[0, 255])));
    check_command(Command::Ping, &json!({"id": 7, "type": "ping"}));
    check_command(Command::Subscribe { channel: "news" }, &json!({"id": 7, "type": "subscribe", "channel": "news"}));
    check_command(
        Command::Unsubscribe { channel: "news" },
        &json!({"id": 7, "type": "unsubscribe", "channel": "news"}),
    );
    let publish = Command::Publish(Publish::new(Encoding::Json, Some("news"), &text));
    check_command(publish, &json!({"id": 7, "type": "publish", "channel": "news", "content": "hello"}));
    let broadcast = Command::Broadcast(Publish::new(Encoding::Json, None, &binary));
    check_command(broadcast, &json!({"id": 7, "type": "broadcast", "content_base64": "AP8="}));
}

#[test]
fn message_pack_carries_bytes_as_they_are() {
    let content = Content::from(Bytes::from_static(&[0, 255]));
    let command = Command::Broadcast(Publish::new(Encoding::MessagePack, None, &content));
    let message = encode(Encoding::MessagePack, 7, command).unwrap();
    let expected = b"\x83\xa2id\x07\xa4type\xa9broadcast\xa7content\xc4\x02\x00\xff";
    assert_eq!(message.into_data().as_ref(), expected);
}

/// Checks what a message comes to that has the map `event`, in both encodings.
#[track_caller]
fn check_event(event: &Value, expected: Incoming) {
    let json = Message::text(event.to_string());
    let packed = Message::binary(rmp_serde::to_vec_named(event).unwrap());
    assert_eq!(decode(&json), Ok(expected.clone()));
    assert_eq!(decode(&packed), Ok(expected));
}

fn message(content: Content) -> Incoming {
    Incoming::Event(Event::Message { channel: "news".to_owned(), content })
}

#[test]
fn events_are_understood_in_both_encodings() {
    let welcome =
        Welcome { connection: (1, 2), node: 1, version: "0.1.0".to_owned(), heartbeat: Duration::from_secs(20) };
    check_event(
        &json!({"type": "welcome", "connection": [1, 2], "node": 1, "version": "0.1.0", "heartbeat": 20.0}),
        Incoming::Welcome(welcome),
    );
    check_event(&json!({"type": "ok", "id": 7}), Incoming::Answer(7, Ok(())));
    check_event(&json!({"type": "pong", "id": 7}), Incoming::Answer(7, Ok(())));
    check_event(&json!({"type": "pong"}), Incoming::Other);
    let refusal = Refusal { code: "bad_request".to_owned(), message: "no".to_owned() };
    let error = json!({"type": "error", "id": 7, "code": "bad_request", "message": "no"});
    check_event(&error, Incoming::Answer(7, Err(refusal.clone())));
    let error = json!({"type": "error", "code": "bad_request", "message": "no"});
    check_event(&error, Incoming::Event(Event::Refused(refusal)));
    check_event(
        &json!({"type": "gap", "seconds": 1.5}),
        Incoming::Event(Event::Gap { duration: Duration::from_millis(1500) }),
    );
    check_event(&json!({"type": "dropped", "count": 3}), Incoming::Event(Event::Dropped { count: 3 }));
    check_event(
        &json!({"type": "broadcast", "content": "hello"}),
        Incoming::Event(Event::Broadcast { content: "hello".into() }),
    );
}

#[test]
fn every_content_arrives() {
    for value in [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1.5),
        json!("ü"),
        json!([1, [null]]),
        json!({"a": {"b": []}}),
    ] {
        check_event(&json!({"type": "message", "channel": "news", "content": value}), message(value.clone().into()));
    }
    let bytes = Content::from(Bytes::from_static(&[0, 255]));
    check_event(&json!({"type": "message", "channel": "news", "content_base64": "AP8="}), message(bytes.clone()));
    let packed = b"\x83\xa4type\xa7message\xa7channel\xa4news\xa7content\xc4\x02\x00\xff";
    assert_eq!(decode(&Message::binary(packed.as_slice())), Ok(message(bytes)));
}

#[test]
fn json_passes_as_it_is_written() {
    let written = r#"{"z":1.0e5,"a":123456789012345678901234567890,"a":"\u00fc"}"#;
    let content = Content::from(written.parse::<Json>().unwrap());
    let event = format!(r#"{{"content": {written}, "channel": "news", "type": "message"}}"#);
    assert_eq!(decode(&Message::text(event)), Ok(message(content.clone())));
    let command = Command::Publish(Publish::new(Encoding::Json, Some("news"), &content));
    let expected = format!(r#"{{"id":7,"type":"publish","channel":"news","content":{written}}}"#);
    assert_eq!(encode(Encoding::Json, 7, command).unwrap().to_text().unwrap(), expected);
}

#[test]
fn json_keeps_the_order_of_its_keys_in_message_pack() {
    let content = Content::from(r#"{"z":[1,-2.5,null],"a":true}"#.parse::<Json>().unwrap());
    let command = Command::Broadcast(Publish::new(Encoding::MessagePack, None, &content));
    let sent = encode(Encoding::MessagePack, 7, command).unwrap();
    let expected =
        b"\x83\xa2id\x07\xa4type\xa9broadcast\xa7content\x82\xa1z\x93\x01\xcb\xc0\x04\0\0\0\0\0\0\xc0\xa1a\xc3";
    assert_eq!(sent.into_data().as_ref(), expected);
    let packed = b"\x82\xa4type\xa9broadcast\xa7content\x82\xa1z\x93\x01\xca\x3d\xcc\xcc\xcd\xc0\xa1a\xc3";
    let expected = Content::from(r#"{"z":[1,0.1,null],"a":true}"#.parse::<Json>().unwrap());
    let told = decode(&Message::binary(packed.as_slice()));
    assert_eq!(told, Ok(Incoming::Event(Event::Broadcast { content: expected })));
}

#[test]
fn what_is_new_is_ignored() {
    check_event(&json!({"type": "presence", "count": "many", "id": "x"}), Incoming::Other);
    let event = json!({"type": "message", "channel": "news", "content": 1, "offset": 5, "epoch": "e"});
    check_event(&event, message(json!(1).into()));
}

#[test]
fn what_is_wrong_is_not_understood() {
    for text in [
        "",
        "hello",
        "[]",
        "{}",
        r#"{"type":"ok"}"#,
        r#"{"type":"message","channel":"news"}"#,
        r#"{"type":"message","content":1}"#,
        r#"{"type":"gap","seconds":-1}"#,
        r#"{"type":"broadcast","content_base64":"?"}"#,
    ] {
        assert!(matches!(decode(&Message::text(text)), Err(Error::NotUnderstood(_))), "{text}");
    }
}
