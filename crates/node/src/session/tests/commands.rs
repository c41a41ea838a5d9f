//! Commands and what they are answered.

use crate::testing::{Client, Fixture, Frame, Settings, masked};
use fanwire_protocol::{Dialect, ErrorCode};
use serde_json::{Value, json};

/// Commands, and the events that answer them, in order and without the texts of errors.
async fn check(commands: &[&str], expected: &[Value]) {
    let fixture = Fixture::with(Settings { channel_limit: 2, ..Settings::default() });
    let mut client = fixture.connect().await;
    for command in commands {
        client.send(command).await;
    }
    assert_eq!(answers(&mut client).await, expected, "to {commands:?}");
}

async fn answers(client: &mut Client) -> Vec<Value> {
    let without_text = |frame| {
        let Frame::Event(mut event) = frame else { panic!("{frame:?} instead of an event") };
        event.as_object_mut().unwrap().remove("message");
        event
    };
    client.frames().await.into_iter().map(without_text).collect()
}

fn ok(id: i64) -> Value {
    json!({ "type": "ok", "id": id })
}

fn error(id: i64, code: ErrorCode) -> Value {
    json!({ "type": "error", "id": id, "code": code.as_str() })
}

#[tokio::test(start_paused = true)]
async fn the_welcome_comes_first_whatever_the_client_was_quick_to_send() {
    let fixture = Fixture::start();
    for sequence in 1..=2 {
        let ping = masked(1, br#"{"type":"ping"}"#);
        let mut client = fixture.connect_raw(Dialect::Json, 1 << 16, &ping);
        let node = json!(fixture.sessions.node);
        let version = env!("CARGO_PKG_VERSION");
        let welcome = json!({ "type": "welcome", "connection": [node, sequence], "node": node, "version": version, "heartbeat": 86400.0 });
        assert_eq!(client.event().await, welcome);
        assert_eq!(client.event().await, json!({ "type": "pong" }));
    }
}

#[tokio::test(start_paused = true)]
async fn each_command_is_answered_with_its_id() {
    let commands = [
        r#"{"type":"ping","id":1}"#,
        r#"{"type":"subscribe","id":2,"channel":"news"}"#,
        r#"{"type":"publish","id":3,"channel":"empty","content":0}"#,
        r#"{"type":"broadcast","id":4,"content":0}"#,
        r#"{"type":"unsubscribe","id":5,"channel":"news"}"#,
    ];
    check(&commands, &[json!({ "type": "pong", "id": 1 }), ok(2), ok(3), ok(4), ok(5)]).await;
}

#[tokio::test(start_paused = true)]
async fn without_an_id_only_errors_and_pongs_are_answered() {
    let commands = [
        r#"{"type":"subscribe","channel":"news"}"#,
        r#"{"type":"publish","channel":"empty","content":0}"#,
        r#"{"type":"broadcast","content":0}"#,
        r#"{"type":"unsubscribe","channel":"news"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"unsubscribe","channel":"news"}"#,
    ];
    check(&commands, &[json!({ "type": "pong" }), json!({ "type": "error", "code": "not_subscribed" })]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_its_code_and_the_id() {
    use ErrorCode::*;
    let subscribe = |channel| format!(r#"{{"type":"subscribe","id":9,"channel":"{channel}"}}"#);
    let [news, sport, more, other] = ["news", "sport", "more", "chat:1"].map(subscribe);
    check(&[r#"{"type":"ping","id":9,"x":1}"#], &[error(9, BadRequest)]).await;
    check(&[r#"{"type":"shout","id":9}"#], &[error(9, UnknownCommand)]).await;
    check(&[&other], &[error(9, UnknownNamespace)]).await;
    check(&[r#"{"type":"publish","id":9,"channel":"chat:1","content":0}"#], &[error(9, UnknownNamespace)]).await;
    check(&[r#"{"type":"unsubscribe","id":9,"channel":"news"}"#], &[error(9, NotSubscribed)]).await;
    check(&[&news, &news], &[ok(9), error(9, AlreadySubscribed)]).await;
    check(&[&news, &sport, &more], &[ok(9), ok(9), error(9, ChannelLimit)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_left_makes_room_for_another() {
    let commands = [
        r#"{"type":"subscribe","id":1,"channel":"a"}"#,
        r#"{"type":"subscribe","id":2,"channel":"b"}"#,
        r#"{"type":"unsubscribe","id":3,"channel":"a"}"#,
        r#"{"type":"subscribe","id":4,"channel":"c"}"#,
        r#"{"type":"subscribe","id":5,"channel":"a"}"#,
    ];
    check(&commands, &[ok(1), ok(2), ok(3), ok(4), error(5, ErrorCode::ChannelLimit)]).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_outbox_could_hold_is_refused() {
    let fixture = Fixture::with(Settings { outbox_limit: 4096, message_limit: 4096, ..Settings::default() });
    let mut client = fixture.connect().await;
    client.send(&format!(r#"{{"type":"broadcast","id":1,"content":"{}"}}"#, "x".repeat(4000))).await;
    assert_eq!(answers(&mut client).await, [error(1, ErrorCode::MessageTooLarge)]);
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.event().await, json!({ "type": "pong" }));
}

#[tokio::test(start_paused = true)]
async fn commands_and_refusals_are_counted() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    for message in [r#"{"type":"ping"}"#, r#"{"type":"unsubscribe","channel":"a"}"#, "?"] {
        client.send(message).await;
        client.event().await;
    }
    for label in ["ping", "unsubscribe", "invalid"] {
        assert_eq!(fixture.metric("fanwire_commands_total", label), 1, "{label}");
    }
    for label in ["not_subscribed", "bad_request"] {
        assert_eq!(fixture.metric("fanwire_refusals_total", label), 1, "{label}");
    }
}
