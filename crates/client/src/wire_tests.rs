#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{Event, Json, Refusal, Welcome, call::Granted};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

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
    check_command(
        Command::Subscribe(Subscribe::new(Encoding::Json, "news", None, None)),
        &json!({"id": 7, "type": "subscribe", "channel": "news"}),
    );
    check_command(
        Command::Unsubscribe { channel: "news" },
        &json!({"id": 7, "type": "unsubscribe", "channel": "news"}),
    );
    let publish = Command::Publish(Publish::new(Encoding::Json, Some("news"), &text, None));
    check_command(publish, &json!({"id": 7, "type": "publish", "channel": "news", "content": "hello"}));
    let broadcast = Command::Broadcast(Publish::new(Encoding::Json, None, &binary, None));
    check_command(broadcast, &json!({"id": 7, "type": "broadcast", "content_base64": "AP8="}));
}

#[test]
fn places_and_keys_are_told() {
    let (place, content) = (Position::new("aB3", 12), Content::from(json!(1)));
    let at = json!({"epoch": "aB3", "offset": 12});
    let subscribe = Command::Subscribe(Subscribe::new(Encoding::Json, "news", Some(&place), None));
    check_command(subscribe, &json!({"id": 7, "type": "subscribe", "channel": "news", "recover": at}));
    let recover = json!({"id": 7, "type": "recover_broadcast", "epoch": "aB3", "offset": 12});
    check_command(Command::RecoverBroadcast(&place), &recover);
    let publish = Command::Publish(Publish::new(Encoding::Json, Some("news"), &content, Some("k1")));
    let expected = json!({"id": 7, "type": "publish", "channel": "news", "content": 1, "idempotency_key": "k1"});
    check_command(publish, &expected);
    let query = HistoryQuery::default();
    let history = Command::History(History::new("news", &query));
    check_command(history, &json!({"id": 7, "type": "history", "channel": "news"}));
    let query = HistoryQuery { since: Some(place.clone()), limit: Some(5), reverse: true };
    let history = Command::History(History::new("news", &query));
    let expected = json!({"id": 7, "type": "history", "channel": "news", "since": at, "limit": 5, "reverse": true});
    check_command(history, &expected);
}

#[test]
fn places_are_understood_in_both_encodings() {
    let at = |offset| Some(Position::new("aB3", offset));
    let granted = |granted| Incoming::Answer(7, Ok(granted));
    check_event(&json!({"type": "ok", "id": 7, "epoch": "aB3", "offset": 5}), granted(Granted::at(at(5))));
    for recovered in [true, false] {
        check_event(
            &json!({"type": "ok", "id": 7, "epoch": "aB3", "offset": 5, "recovered": recovered}),
            granted(Granted { recovered: Some(recovered), ..Granted::at(at(5)) }),
        );
    }
    check_event(
        &json!({"type": "ok", "id": 7, "epoch": "aB3", "offset": 5, "recovered": true, "newest": 9}),
        granted(Granted { recovered: Some(true), newest: Some(9), ..Granted::at(at(5)) }),
    );
    let publications = vec![(4, Content::from("x")), (5, Content::from(Bytes::from_static(&[0, 255])))];
    let page = json!({"type": "ok", "id": 7, "epoch": "aB3", "offset": 5, "publications":
        [{"offset": 4, "content": "x"}, {"content_base64": "AP8=", "offset": 5, "new": 1}]});
    check_event(&page, granted(Granted { publications, ..Granted::at(at(5)) }));
    let (content, channel) = (Content::from("x"), Some("news".to_owned()));
    check_event(
        &json!({"type": "message", "channel": "news", "offset": 5, "content": "x"}),
        Incoming::Publication { channel: channel.clone(), content: content.clone(), offset: Some(5) },
    );
    check_event(
        &json!({"type": "broadcast", "offset": 5, "content": "x"}),
        Incoming::Publication { channel: None, content, offset: Some(5) },
    );
    let position = Position::new("aB3", 5);
    check_event(
        &json!({"type": "lost", "channel": "news", "epoch": "aB3", "offset": 5}),
        Incoming::Lost { channel, position: position.clone() },
    );
    check_event(&json!({"type": "lost", "epoch": "aB3", "offset": 5}), Incoming::Lost { channel: None, position });
}

#[test]
fn message_pack_carries_bytes_as_they_are() {
    let content = Content::from(Bytes::from_static(&[0, 255]));
    let command = Command::Broadcast(Publish::new(Encoding::MessagePack, None, &content, None));
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
    Incoming::Publication { channel: Some("news".to_owned()), content, offset: None }
}

fn broadcast(content: impl Into<Content>) -> Incoming {
    Incoming::Publication { channel: None, content: content.into(), offset: None }
}

fn granted() -> Result<Granted, Refusal> {
    Ok(Granted::default())
}

#[test]
fn events_are_understood_in_both_encodings() {
    let (version, heartbeat) = ("0.1.0".to_owned(), Duration::from_secs(20));
    let mut welcome = Welcome { connection: (1, 2), node: 1, version, heartbeat, broadcast: None };
    let mut event = json!({"type": "welcome", "connection": [1, 2], "node": 1, "version": "0.1.0", "heartbeat": 20.0});
    check_event(&event, Incoming::Welcome(welcome.clone()));
    event["broadcast"] = json!({"epoch": "aB3", "offset": 9});
    welcome.broadcast = Some(Position::new("aB3", 9));
    check_event(&event, Incoming::Welcome(welcome));
    check_event(&json!({"type": "ok", "id": 7}), Incoming::Answer(7, granted()));
    check_event(&json!({"type": "pong", "id": 7}), Incoming::Answer(7, granted()));
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
    check_event(&json!({"type": "broadcast", "content": "hello"}), broadcast("hello"));
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
    let command = Command::Publish(Publish::new(Encoding::Json, Some("news"), &content, None));
    let expected = format!(r#"{{"id":7,"type":"publish","channel":"news","content":{written}}}"#);
    assert_eq!(encode(Encoding::Json, 7, command).unwrap().to_text().unwrap(), expected);
}

#[test]
fn json_keeps_the_order_of_its_keys_in_message_pack() {
    let content = Content::from(r#"{"z":[1,-2.5,null],"a":true}"#.parse::<Json>().unwrap());
    let command = Command::Broadcast(Publish::new(Encoding::MessagePack, None, &content, None));
    let sent = encode(Encoding::MessagePack, 7, command).unwrap();
    let expected =
        b"\x83\xa2id\x07\xa4type\xa9broadcast\xa7content\x82\xa1z\x93\x01\xcb\xc0\x04\0\0\0\0\0\0\xc0\xa1a\xc3";
    assert_eq!(sent.into_data().as_ref(), expected);
    let packed = b"\x82\xa4type\xa9broadcast\xa7content\x82\xa1z\x93\x01\xca\x3d\xcc\xcc\xcd\xc0\xa1a\xc3";
    let expected = Content::from(r#"{"z":[1,0.1,null],"a":true}"#.parse::<Json>().unwrap());
    let told = decode(&Message::binary(packed.as_slice()));
    assert_eq!(told, Ok(broadcast(expected)));
}

#[test]
fn what_is_new_is_ignored() {
    check_event(&json!({"type": "presence", "count": "many", "id": "x"}), Incoming::Other);
    let event = json!({"type": "message", "channel": "news", "content": 1, "new": {"offset": 5}});
    check_event(&event, message(json!(1).into()));
    check_event(&json!({"type": "ok", "id": 7, "new": [1]}), Incoming::Answer(7, granted()));
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
        r#"{"type":"message","channel":"news","content":1,"offset":-1}"#,
        r#"{"type":"ok","id":1,"epoch":"e","offset":1,"publications":[{"content":1}]}"#,
        r#"{"type":"ok","id":1,"epoch":"e","offset":1,"publications":[{"offset":1}]}"#,
        r#"{"type":"lost","channel":"news"}"#,
        r#"{"type":"gap","seconds":-1}"#,
        r#"{"type":"broadcast","content_base64":"?"}"#,
    ] {
        assert!(matches!(decode(&Message::text(text)), Err(Error::NotUnderstood(_))), "{text}");
    }
}
