//! A bug in a session ends that session alone.

use crate::testing::{Fixture, Frame, settle};
use fanwire_protocol::Dialect;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_is_closed_with_1011_and_counted_and_the_others_live_on() {
    let (fixture, mut calls) = Fixture::scripted();
    let (mut unlucky, mut other) = (fixture.connect().await, fixture.connect().await);
    unlucky.send(r#"{"type":"subscribe","id":1,"channel":"news"}"#).await;
    calls.subscribe().await.1.send(Ok(())).unwrap();
    unlucky.event().await;
    unlucky.send(r#"{"type":"publish","channel":"news","content":"panic"}"#).await;
    assert_eq!(unlucky.frame().await, Frame::Close(Some(1011)));
    unlucky.end().await;
    unlucky.vanish().await;
    assert_eq!(fixture.metric("fanwire_session_panics_total", ""), 1);

    other.send(r#"{"type":"ping"}"#).await;
    assert_eq!(other.event().await, json!({ "type": "pong" }));
    other.vanish().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "internal"), 1);
    assert!(!fixture.has_readers("news"));
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_admission_panics_ends_and_is_counted_and_the_others_live_on() {
    let fixture = Fixture::start();
    let mut other = fixture.connect().await;
    let mut unlucky = fixture.connect_to(99, Dialect::Json, 1024, &[]);
    unlucky.session_ended().await;
    unlucky.end().await;
    assert_eq!(fixture.metric("fanwire_session_panics_total", ""), 1);
    other.send(r#"{"type":"ping"}"#).await;
    assert_eq!(other.event().await, json!({ "type": "pong" }));
    other.vanish().await;
    settle().await;
    fixture.assert_empty();
}
