//! For how long a connection is who it is, and what it may do.

use crate::testing::{Client, Fixture, Frame, Settings, auth, settle, token};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const EXPIRED: Frame = Frame::Close(Some(4401));

fn fixture() -> Fixture {
    Fixture::with(Settings { auth: Some(auth()), ..Settings::default() })
}

async fn ask(client: &mut Client, command: Value) -> Value {
    client.send(&command.to_string()).await;
    client.event().await
}

#[track_caller]
fn assert_ok(answer: &Value) {
    assert_eq!(answer["type"], "ok", "{answer}");
}

#[track_caller]
fn assert_refused(answer: &Value, code: &str) {
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{answer}");
}

/// Seconds from `since` to the end of the token. Tokens are made by the system's clock, which goes on meanwhile.
async fn assert_ends(client: &mut Client, since: Instant, seconds: u64) {
    assert_eq!(client.frame().await, EXPIRED);
    let (lasted, bound) = (since.elapsed(), Duration::from_secs(seconds));
    assert!((bound - Duration::from_secs(5)..=bound).contains(&lasted), "{lasted:?} instead of {bound:?}");
}

fn refresh(claims: Value, lasts: u32) -> Value {
    json!({ "type": "refresh", "id": 9, "token": token(claims, lasts) })
}

fn publish(channel: &str) -> Value {
    json!({ "type": "publish", "id": 8, "channel": channel, "content": 1 })
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_token_to_the_moment() {
    let fixture = fixture();
    let lasts = Duration::from_millis(12_345);
    let since = Instant::now();
    let mut client = fixture
        .connect_bearer(fanwire_auth::Grant {
            user: None,
            info: None,
            rights: fanwire_auth::Rights::default(),
            id: None,
            lasts,
        })
        .await;
    sleep(lasts - Duration::from_millis(10) - since.elapsed()).await;
    assert_eq!(ask(&mut client, json!({ "type": "ping", "id": 1 })).await["type"], "pong");
    assert_eq!(client.frame().await, EXPIRED);
    assert!((lasts..lasts + Duration::from_millis(3)).contains(&since.elapsed()), "{:?}", since.elapsed());
    client.send(&publish("news").to_string()).await;
    assert_eq!(client.frames().await, []);
    client.vanish().await;
    settle().await;
    fixture.assert_empty();
    assert_eq!(fixture.metric("fanwire_disconnects_total", "token_expired"), 1);
}

#[tokio::test(start_paused = true)]
async fn another_token_moves_the_end_in_both_directions() {
    let fixture = fixture();
    for (lasts, expected) in [(100, 105), (20, 25)] {
        let since = Instant::now();
        let mut client = fixture.connect_bearer_of(json!({ "sub": "u" }), 60).await;
        sleep(Duration::from_secs(5)).await;
        assert_ok(&ask(&mut client, refresh(json!({ "sub": "u" }), lasts)).await);
        assert_ends(&mut client, since, expected).await;
        client.vanish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_fit_changes_nothing() {
    let fixture = fixture();
    let since = Instant::now();
    let rights = json!({ "publish": ["news"] });
    let mut client = fixture.connect_bearer_of(json!({ "sub": "u", "rights": rights }), 60).await;
    for (claims, lasts) in [
        (json!({ "sub": "other" }), 600),
        (json!({}), 600),
        (json!({ "sub": "u", "aud": "elsewhere" }), 600),
        (json!({ "sub": "u" }), 0),
    ] {
        assert_refused(&ask(&mut client, refresh(claims, lasts)).await, "unauthorized");
    }
    assert_refused(
        &ask(&mut client, json!({ "type": "auth", "id": 1, "token": token(json!({}), 60) })).await,
        "bad_request",
    );
    assert_ok(&ask(&mut client, publish("news")).await);
    assert_ends(&mut client, since, 60).await;
}

#[tokio::test(start_paused = true)]
async fn the_rights_are_those_of_the_last_token() {
    let fixture = fixture();
    let may = |channel: &str| json!({ "sub": "u", "rights": { "publish": [channel] } });
    let mut client = fixture.connect_bearer_of(may("a"), 600).await;
    // In one go: what stands behind a token is judged by it.
    for command in [publish("a"), refresh(may("b"), 600), publish("a"), publish("b")] {
        client.send(&command.to_string()).await;
    }
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.event().await["type"].clone());
    }
    assert_eq!(answers, ["ok", "ok", "error", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_takes_no_channel_away_that_is_subscribed() {
    let fixture = fixture();
    let may = |channels: Value| json!({ "sub": "u", "rights": { "subscribe": channels } });
    let mut client = fixture.connect_bearer_of(may(json!(["a", "b"])), 600).await;
    assert_ok(&ask(&mut client, json!({ "type": "subscribe", "id": 1, "channel": "b" })).await);
    let answer = ask(&mut client, refresh(may(json!(["a"])), 600)).await;
    assert_refused(&answer, "forbidden");
    assert!(answer["message"].as_str().unwrap().contains("\"b\""), "{answer}");
    assert_ok(&ask(&mut client, json!({ "type": "unsubscribe", "id": 2, "channel": "b" })).await);
    assert_ok(&ask(&mut client, refresh(may(json!(["a"])), 600)).await);
    let again = ask(&mut client, json!({ "type": "subscribe", "id": 3, "channel": "b" })).await;
    assert_refused(&again, "forbidden");
}

#[tokio::test(start_paused = true)]
async fn who_came_without_a_token_may_send_one_and_not_refresh_it_before() {
    let fixture = fixture();
    let since = Instant::now();
    let mut client = fixture.connect().await;
    let rights = json!({ "sub": "u", "rights": { "publish": ["news"] } });
    assert_refused(&ask(&mut client, publish("news")).await, "forbidden");
    assert_refused(&ask(&mut client, refresh(rights.clone(), 60)).await, "unauthorized");
    assert_ok(&ask(&mut client, json!({ "type": "auth", "id": 1, "token": token(rights, 60) })).await);
    assert_ok(&ask(&mut client, publish("news")).await);
    assert_ends(&mut client, since, 60).await;
}

#[tokio::test(start_paused = true)]
async fn its_place_among_its_users_connections_stays_its_own() {
    let fixture = Fixture::with(Settings { auth: Some(auth()), user_limit: 1, ..Settings::default() });
    let mut client = fixture.connect_bearer_of(json!({ "sub": "u", "jti": "one" }), 600).await;
    assert_ok(&ask(&mut client, refresh(json!({ "sub": "u", "jti": "two" }), 600)).await);
    assert_ok(&ask(&mut client, refresh(json!({ "sub": "u", "jti": "two" }), 600)).await);
    let mut late = fixture.connect_newcomer();
    let auth = json!({ "type": "auth", "id": 1, "token": token(json!({ "sub": "u" }), 60) });
    assert_refused(&ask(&mut late, auth.clone()).await, "user_limit");
    client.vanish().await;
    settle().await;
    assert_eq!(ask(&mut late, auth).await["type"], "welcome");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_keys_takes_no_tokens() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    let auth = json!({ "type": "auth", "id": 1, "token": token(json!({}), 60) });
    assert_refused(&ask(&mut client, auth).await, "unauthorized");
    assert_ok(&ask(&mut client, publish("news")).await);
}
