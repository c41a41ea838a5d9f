//! Connections that have yet to say who they are.

use crate::{
    Rate,
    testing::{AUTH_TIMEOUT, Client, Fixture, Frame, Settings, auth, masked, settle, token},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn fixture() -> Fixture {
    Fixture::with(Settings { auth: Some(auth()), ..Settings::default() })
}

fn subscriber() -> String {
    token(json!({ "sub": "u", "rights": { "subscribe": ["news"] } }), 3600)
}

async fn ask(client: &mut Client, command: Value) -> Value {
    client.send(&command.to_string()).await;
    client.event().await
}

#[track_caller]
fn assert_refused(answer: &Value, code: &str) {
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{answer}");
}

async fn assert_gone(client: Client, fixture: &Fixture) {
    client.vanish().await;
    settle().await;
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn it_is_welcomed_when_its_token_has_come_and_told_nothing_before() {
    let fixture = fixture();
    let mut client = fixture.connect_newcomer();
    let mut other = fixture.connect_bearer_of(json!({ "rights": { "broadcast": true } }), 3600).await;
    other.send(r#"{"type":"broadcast","content":1}"#).await;
    assert_eq!(client.frames().await, []);
    let welcome = ask(&mut client, json!({ "type": "auth", "id": 1, "token": subscriber() })).await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(client.event().await, json!({ "type": "ok", "id": 1 }));
    other.send(r#"{"type":"broadcast","content":2}"#).await;
    assert_eq!(client.event().await, json!({ "type": "broadcast", "content": 2 }));
    assert_eq!(ask(&mut client, json!({ "type": "subscribe", "id": 2, "channel": "news" })).await["type"], "ok");
    other.vanish().await;
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_right_behind_the_token_is_carried_out_under_it() {
    let fixture = fixture();
    let mut client = fixture.connect_newcomer();
    let auth = json!({ "type": "auth", "token": subscriber() }).to_string();
    let subscribe = r#"{"type":"subscribe","id":1,"channel":"news"}"#;
    client.send_raw(&[masked(1, auth.as_bytes()), masked(1, subscribe.as_bytes())].concat()).await;
    assert_eq!(client.event().await["type"], "welcome");
    assert_eq!(client.event().await, json!({ "type": "ok", "id": 1 }));
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_token_it_is_closed_in_time_whatever_else_it_sends() {
    let fixture = fixture();
    let since = Instant::now();
    let mut client = fixture.connect_newcomer();
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&mut client, json!({ "type": "ping", "id": 1 })).await["type"], "pong");
        client.send_raw(&masked(9, b"?")).await;
        assert_eq!(client.frame().await, Frame::Pong(b"?".to_vec()));
    }
    assert_eq!(client.frame().await, Frame::Close(Some(4408)));
    assert!((AUTH_TIMEOUT..AUTH_TIMEOUT + Duration::from_millis(5)).contains(&since.elapsed()));
    assert_gone(client, &fixture).await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "auth_timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_token_does_not_stop_the_clock() {
    let fixture = fixture();
    let mut client = fixture.connect_newcomer();
    let frame = masked(1, json!({ "type": "auth", "token": subscriber() }).to_string().as_bytes());
    client.send_raw(&frame[..frame.len() - 1]).await;
    assert_eq!(client.frame().await, Frame::Close(Some(4408)));
    client.send_raw(&frame[frame.len() - 1..]).await;
    assert_eq!(client.frames().await, []);
    assert_eq!(fixture.metric("fanwire_tokens_total", "accepted"), 0);
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn any_other_command_is_refused_and_leaves_nothing_behind() {
    let fixture = fixture();
    let mut client = fixture.connect_newcomer();
    for command in [
        json!({ "type": "subscribe", "id": 1, "channel": "news" }),
        json!({ "type": "publish", "id": 1, "channel": "news", "content": 1 }),
        json!({ "type": "broadcast", "id": 1, "content": 1 }),
        json!({ "type": "refresh", "id": 1, "token": subscriber() }),
        json!({ "type": "history", "id": 1, "channel": "news" }),
        json!({ "type": "presence", "id": 1, "channel": "room:1" }),
    ] {
        assert_refused(&ask(&mut client, command).await, "unauthorized");
    }
    assert_refused(&ask(&mut client, json!({ "type": "nonsense", "id": 1 })).await, "unknown_command");
    assert!(!fixture.has_readers("news"));
    let welcome = ask(&mut client, json!({ "type": "auth", "token": subscriber() })).await;
    assert_eq!(welcome["type"], "welcome");
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_grants_nothing_may_be_followed_by_another() {
    let fixture = fixture();
    let mut client = fixture.connect_newcomer();
    for refused in ["", "nonsense", &token(json!({ "aud": "elsewhere" }), 3600), &token(json!({}), 0)] {
        let answer = ask(&mut client, json!({ "type": "auth", "id": 1, "token": refused })).await;
        assert_eq!(answer["type"], "error", "{refused:?}: {answer}");
    }
    assert_eq!(fixture.metric("fanwire_tokens_total", "audience"), 1);
    assert_eq!(fixture.metric("fanwire_tokens_total", "expired"), 1);
    assert_eq!(ask(&mut client, json!({ "type": "auth", "token": subscriber() })).await["type"], "welcome");
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_closes_it() {
    let ping = br#"{"type":"ping"}"#;
    for (opcode, payload) in [(1, &ping[..]), (1, b"broken"), (9, b"?")] {
        let command_rate = Rate::new(1, 3);
        let fixture = Fixture::with(Settings { auth: Some(auth()), command_rate, ..Settings::default() });
        let mut client = fixture.connect_newcomer();
        client.send_raw(&masked(opcode, payload).repeat(5)).await;
        let frames = client.frames().await;
        assert_eq!(frames.len(), 4, "{frames:?}");
        assert_eq!(frames.last(), Some(&Frame::Close(Some(4429))));
        assert_gone(client, &fixture).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_with_too_many_connections_waits_on() {
    let fixture = Fixture::with(Settings { auth: Some(auth()), user_limit: 1, ..Settings::default() });
    let first = fixture.connect_bearer_of(json!({ "sub": "u" }), 3600).await;
    let mut client = fixture.connect_newcomer();
    let auth = json!({ "type": "auth", "id": 1, "token": subscriber() });
    assert_refused(&ask(&mut client, auth.clone()).await, "user_limit");
    assert_refused(&ask(&mut client, json!({ "type": "broadcast", "id": 2, "content": 1 })).await, "unauthorized");
    first.vanish().await;
    settle().await;
    assert_eq!(ask(&mut client, auth).await["type"], "welcome");
    assert_gone(client, &fixture).await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_like_any_other() {
    let fixture = fixture();
    let mut leaves = fixture.connect_newcomer();
    leaves.close(1000).await;
    assert_eq!(leaves.frame().await, Frame::Close(Some(1000)));
    leaves.vanish().await;
    let mut breaks = fixture.connect_newcomer();
    breaks.send_raw(&[0xff, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(breaks.frame().await, Frame::Close(Some(1002)));
    breaks.vanish().await;
    fixture.connect_newcomer().vanish().await;
    let mut drained = fixture.connect_newcomer();
    settle().await;
    fixture.sessions.hub.drain(Duration::ZERO).await.unwrap();
    assert_eq!(drained.frame().await, Frame::Close(Some(1012)));
    drained.send(&json!({ "type": "auth", "token": subscriber() }).to_string()).await;
    assert_eq!(drained.frames().await, []);
    assert_gone(drained, &fixture).await;
}
