//! Publications: their order, their answers, and how many may wait for them.

use crate::{
    session::MAX_UNANSWERED,
    testing::{Client, Fixture, masked, settle, tell},
};
use fanwire_broker::PublishError;
use serde_json::{Value, json};

fn ok(id: usize) -> Value {
    json!({ "type": "ok", "id": id })
}

async fn publish(client: &mut Client, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        client.send(&command(number)).await;
    }
}

fn command(number: usize) -> String {
    format!(r#"{{"type":"publish","id":{number},"channel":"news","content":{number}}}"#)
}

#[tokio::test(start_paused = true)]
async fn publications_reach_the_broker_in_order_without_waiting_for_answers() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    publish(&mut client, 0..MAX_UNANSWERED).await;
    let mut outcomes = Vec::new();
    for number in 0..MAX_UNANSWERED {
        let (content, outcome) = calls.take_in().await;
        assert_eq!(content, number.to_string());
        outcomes.push(outcome);
    }
    // The answers keep the order too, whichever outcome is known first.
    outcomes.into_iter().rev().for_each(|outcome| outcome.send(Ok(None)).unwrap());
    for number in 0..MAX_UNANSWERED {
        assert_eq!(client.event().await, ok(number));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_publication_waits_until_the_place_of_this_one_is_sure() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    publish(&mut client, 1..=2).await;
    let (content, place) = calls.publish().await;
    settle().await;
    assert_eq!((content.as_str(), calls.is_empty()), ("1", true));
    place.send(Err(PublishError::Unavailable("no link".to_owned()))).unwrap();
    assert_eq!(calls.take_in().await.0, "2");
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_those_before_it() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    publish(&mut client, 1..=2).await;
    let (first, second) = (calls.take_in().await.1, calls.take_in().await.1);
    second.send(Ok(None)).unwrap();
    assert_eq!(client.frames().await, []);
    first.send(Ok(None)).unwrap();
    assert_eq!(client.event().await, ok(1));
    assert_eq!(client.event().await, ok(2));
}

#[tokio::test(start_paused = true)]
async fn beyond_64_unanswered_publications_the_socket_is_not_read() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect_narrow(4096).await;
    let mut waiting = Vec::new();
    for number in 0..64 {
        publish(&mut client, [number]).await;
        waiting.push(calls.take_in().await.1);
    }
    settle().await;
    let ping = masked(1, br#"{"type":"ping"}"#);
    assert!(client.stuff(&ping).await > 0);
    settle().await;
    assert_eq!(client.stuff(&ping).await, 0, "the socket is read");
    assert_eq!(client.frames().await, []);

    waiting.remove(0).send(Ok(None)).unwrap();
    assert_eq!(client.event().await, ok(0));
    assert_eq!(client.event().await, json!({ "type": "pong" }));
    settle().await;
    assert!(client.stuff(&ping).await > 0, "the socket is not read again");
}

#[tokio::test(start_paused = true)]
async fn the_65th_publication_waits_for_the_first_answer() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    publish(&mut client, 0..100).await;
    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(calls.take_in().await.1);
    }
    settle().await;
    assert!(calls.is_empty());
    waiting.remove(0).send(Ok(None)).unwrap();
    assert_eq!(calls.take_in().await.0, "64");
    settle().await;
    assert!(calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_is_refused_in_its_words() {
    check(Some(PublishError::Unavailable("no link".to_owned())), "broker_unavailable", "not published: no link").await;
    let late = "the broker did not answer in time; the message may yet be delivered";
    check(Some(PublishError::Timeout), "broker_timeout", late).await;
    check(None, "broker_timeout", late).await;
}

/// Publications that fail, the one after it was taken in, the other instead.
async fn check(outcome: Option<PublishError>, code: &str, message: &str) {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    let refusal = |id| json!({ "type": "error", "id": id, "code": code, "message": message });
    publish(&mut client, [1]).await;
    let (_, told) = calls.take_in().await;
    tell(told, outcome.clone().map(Err));
    assert_eq!(client.event().await, refusal(1));

    publish(&mut client, [2]).await;
    let (_, place) = calls.publish().await;
    tell(place, outcome.map(Err));
    assert_eq!(client.event().await, refusal(2));
}

#[tokio::test(start_paused = true)]
async fn the_publisher_gets_its_own_message_if_it_is_subscribed_and_wants_it() {
    let fixture = Fixture::start();
    let (mut publisher, mut other) = (fixture.connect().await, fixture.connect().await);
    for client in [&mut publisher, &mut other] {
        client.send(r#"{"type":"subscribe","id":0,"channel":"news"}"#).await;
        assert_eq!(client.event().await, ok(0));
    }
    publisher.send(r#"{"type":"publish","channel":"news","content":1,"echo":false}"#).await;
    publisher.send(r#"{"type":"publish","channel":"news","content":2}"#).await;
    let message = |number| json!({ "type": "message", "channel": "news", "content": number });
    assert_eq!(publisher.event().await, message(2));
    assert_eq!([other.event().await, other.event().await], [message(1), message(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_leaves_its_sender_out_unless_asked() {
    let fixture = Fixture::start();
    let (mut sender, mut other) = (fixture.connect().await, fixture.connect().await);
    sender.send(r#"{"type":"broadcast","content":1}"#).await;
    sender.send(r#"{"type":"broadcast","content":2,"echo":true}"#).await;
    let broadcast = |number| json!({ "type": "broadcast", "content": number });
    assert_eq!(sender.event().await, broadcast(2));
    assert_eq!([other.event().await, other.event().await], [broadcast(1), broadcast(2)]);
}
