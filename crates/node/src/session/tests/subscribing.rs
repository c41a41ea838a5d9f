//! Subscriptions: when they are confirmed, and that nothing stays of them.

use crate::testing::{Client, Fixture, settle, tell};
use fanwire_broker::SubscribeError;
use serde_json::{Value, json};

const SUBSCRIBE: &str = r#"{"type":"subscribe","id":1,"channel":"news"}"#;

fn ok(id: i64) -> Value {
    json!({ "type": "ok", "id": id })
}

async fn subscribed(fixture: &Fixture) -> Client {
    let mut client = fixture.connect().await;
    client.send(SUBSCRIBE).await;
    assert_eq!(client.event().await, ok(1));
    client
}

#[tokio::test(start_paused = true)]
async fn ok_comes_after_the_broker_has_confirmed() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    client.send(SUBSCRIBE).await;
    let (channel, outcome) = calls.subscribe().await;
    assert_eq!(channel.as_str(), "news");
    assert!(fixture.has_readers("news"), "a sweep could leave the channel while the broker joins it");
    assert_eq!(client.frames().await, []);
    outcome.send(Ok(())).unwrap();
    assert_eq!(client.event().await, ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_waits_does_not_delay_answers_of_earlier_publications() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    client.send(r#"{"type":"publish","id":0,"channel":"news","content":0}"#).await;
    let (_, published) = calls.take_in().await;
    client.send(SUBSCRIBE).await;
    let (_, confirmed) = calls.subscribe().await;
    published.send(Ok(None)).unwrap();
    assert_eq!(client.event().await, ok(0));
    confirmed.send(Ok(())).unwrap();
    assert_eq!(client.event().await, ok(1));
}

#[tokio::test(start_paused = true)]
async fn commands_behind_a_subscription_wait_for_it() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    client.send(SUBSCRIBE).await;
    client.send(r#"{"type":"publish","id":2,"channel":"news","content":0}"#).await;
    let (_, confirmed) = calls.subscribe().await;
    settle().await;
    assert!(calls.is_empty());
    confirmed.send(Ok(())).unwrap();
    calls.take_in().await.1.send(Ok(None)).unwrap();
    assert_eq!([client.event().await, client.event().await], [ok(1), ok(2)]);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_is_refused_in_its_words() {
    let unavailable = SubscribeError::Unavailable("no link".to_owned());
    check(Some(unavailable), "broker_unavailable", "not subscribed: no link").await;
    let late = "the broker did not confirm the subscription in time";
    check(Some(SubscribeError::Timeout), "broker_timeout", late).await;
    check(None, "broker_timeout", late).await;
}

async fn check(outcome: Option<SubscribeError>, code: &str, message: &str) {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    client.send(SUBSCRIBE).await;
    let (_, told) = calls.subscribe().await;
    tell(told, outcome.map(Err));
    assert_eq!(client.event().await, json!({ "type": "error", "id": 1, "code": code, "message": message }));
    assert!(!fixture.has_readers("news"));

    // Nothing is left of it that would stand in the way of another attempt.
    client.send(SUBSCRIBE).await;
    calls.subscribe().await.1.send(Ok(())).unwrap();
    assert_eq!(client.event().await, ok(1));
    assert!(fixture.has_readers("news"));
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_the_interest() {
    let fixture = Fixture::start();
    let mut client = subscribed(&fixture).await;
    assert!(fixture.has_readers("news"));
    client.send(r#"{"type":"unsubscribe","id":2,"channel":"news"}"#).await;
    assert_eq!(client.event().await, ok(2));
    assert!(!fixture.has_readers("news"));
    client.send(r#"{"type":"publish","id":3,"channel":"news","content":0}"#).await;
    assert_eq!(client.event().await, ok(3));
    assert_eq!(client.frames().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_closes_leaves_no_interest() {
    let fixture = Fixture::start();
    let mut client = subscribed(&fixture).await;
    client.close(1000).await;
    client.frame().await;
    client.vanish().await;
    settle().await;
    assert!(!fixture.has_readers("news"));
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_vanishes_leaves_no_interest() {
    let fixture = Fixture::start();
    subscribed(&fixture).await.vanish().await;
    settle().await;
    assert!(!fixture.has_readers("news"));
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn who_vanishes_while_subscribing_leaves_no_interest() {
    for confirmation in [Some(Ok(())), Some(Err(SubscribeError::Timeout)), None] {
        let (fixture, mut calls) = Fixture::scripted();
        let mut client = fixture.connect().await;
        client.send(SUBSCRIBE).await;
        let (_, told) = calls.subscribe().await;
        let vanished = tokio::spawn(client.vanish());
        settle().await;
        tell(told, confirmation);
        vanished.await.unwrap();
        settle().await;
        assert!(!fixture.has_readers("news"));
        fixture.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_while_subscribing_leaves_no_interest() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    client.send(SUBSCRIBE).await;
    let (_, told) = calls.subscribe().await;
    fixture.sessions.hub.drain(std::time::Duration::ZERO).await.unwrap();
    client.frame().await;
    told.send(Ok(())).unwrap();
    settle().await;
    client.vanish().await;
    settle().await;
    assert!(!fixture.has_readers("news"));
    fixture.assert_empty();
}
