//! How connections end that were in order.

use crate::testing::{Fixture, Frame, masked, settle};
use fanwire_protocol::{Dialect, UserId};
use serde_json::json;
use std::time::Duration;

const PUBLISH: &str = r#"{"type":"publish","id":1,"channel":"news","content":0}"#;

#[tokio::test(start_paused = true)]
async fn the_peers_close_is_answered_with_its_code() {
    let fixture = Fixture::start();
    for (body, code) in [(&1000_u16.to_be_bytes()[..], Some(1000)), (&4321_u16.to_be_bytes(), Some(4321)), (&[], None)]
    {
        let mut client = fixture.connect().await;
        client.send_raw(&masked(8, body)).await;
        assert_eq!(client.frame().await, Frame::Close(code));
        client.end().await;
        client.vanish().await;
        settle().await;
        fixture.assert_empty();
    }
    assert_eq!(fixture.metric("fanwire_disconnects_total", "peer_closed"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_told_to_end_before_it_is_here_ends() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_user(Some("u"), Dialect::Json, 1 << 16, &[]);
    let user = UserId::parse("u").unwrap();
    assert_eq!(fixture.sessions.users.dismiss_user(&user, u64::MAX).len(), 1);
    assert_eq!(client.event().await["type"], "welcome");
    assert_eq!(client.frame().await, Frame::Close(Some(4403)));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_nobody_may_send_is_answered_with_1002() {
    let fixture = Fixture::start();
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let mut client = fixture.connect().await;
        client.close(code).await;
        assert_eq!(client.frame().await, Frame::Close(Some(1002)), "to {code}");
        client.end().await;
        client.vanish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_close_is_flushed_behind_the_frame_that_was_begun() {
    let fixture = Fixture::start();
    let (mut client, mut other) = (fixture.connect_narrow(256).await, fixture.connect().await);
    let content = "x".repeat(1000);
    other.send(&format!(r#"{{"type":"broadcast","content":"{content}"}}"#)).await;
    other.send(r#"{"type":"broadcast","content":"unread"}"#).await;
    settle().await;
    client.close(1000).await;
    settle().await;
    assert_eq!(client.event().await, json!({ "type": "broadcast", "content": content }));
    assert_eq!(client.frame().await, Frame::Close(Some(1000)));
    client.end().await;
    client.vanish().await;
    drop(other);
    settle().await;
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_the_peers_close_is_not_carried_out() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    let last = [masked(1, PUBLISH.as_bytes()), masked(8, &[]), masked(1, PUBLISH.as_bytes())].concat();
    client.send_raw(&last).await;
    calls.take_in().await.1.send(Ok(None)).unwrap();
    let frames = client.frames().await;
    assert_eq!(frames.last(), Some(&Frame::Close(None)));
    client.vanish().await;
    assert!(calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_our_close_is_not_carried_out() {
    let (fixture, calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    fixture.sessions.hub.drain(Duration::ZERO).await.unwrap();
    assert_eq!(client.frame().await, Frame::Close(Some(1012)));
    client.send(PUBLISH).await;
    client.send(r#"{"type":"ping"}"#).await;
    client.send_raw(&masked(9, b"?")).await;
    assert_eq!(client.frames().await, []);
    client.close(1012).await;
    client.end().await;
    client.vanish().await;
    settle().await;
    assert!(calls.is_empty());
    assert_eq!(fixture.metric("fanwire_commands_total", "publish"), 0);
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_ends_its_side_is_cut_off() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    client.close(1000).await;
    assert_eq!(client.frame().await, Frame::Close(Some(1000)));
    client.end().await;
    let closed = tokio::time::Instant::now();
    client.session_ended().await;
    assert_eq!(closed.elapsed().as_secs(), 5);
    settle().await;
    fixture.assert_empty();
}
