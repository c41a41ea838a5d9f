//! The closing handshake (RFC 6455, section 5.5.1), begun by either side.

use crate::support::{Fixture, Frame, channel, message, settle, text, to};
use fanwire_protocol::{CloseReason, Dialect, close};
use std::time::Duration;

async fn peer_first(code: Option<u16>) {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    client.answer("before").await;
    settle().await;
    client.peer_closed(code).await;
    client.answer("after").await;
    assert_eq!(client.frames().await, [text("before"), Frame::Close(code, String::new())]);
    assert!(client.ended().await);
    client.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "peer_closed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peers_close_is_echoed_and_ends_the_write_side() {
    for code in [Some(1000), Some(4001), None] {
        peer_first(code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn our_close_ends_the_write_side_when_no_answer_can_be_awaited() {
    for reason in close::ALL {
        let fixture = Fixture::start();
        let mut client = fixture.connect(Dialect::Json).await;
        client.answer("before").await;
        settle().await;
        client.close(reason).await;
        client.answer("after").await;
        client.close(CloseReason::Internal).await;
        let frames = client.frames().await;
        assert_eq!(frames.len(), 2, "{reason:?}: {frames:?}");
        let awaited = matches!(reason, CloseReason::SlowConsumer | CloseReason::MemoryPressure | CloseReason::Draining);
        assert_eq!(client.ended().await, !awaited, "{reason:?}");
        client.peer_closed(Some(1000)).await;
        assert_eq!(client.frames().await, []);
        assert!(client.ended().await);
        client.gone().await;
        settle().await;
        assert_eq!(fixture.metric("fanwire_disconnects_total", reason.label()), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_stands_behind_what_waits_and_nothing_behind_it() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_narrow(10).await;
    client.join("a").await;
    fixture.deliver([to("a", 1), to("a", 2)]).await;
    settle().await;
    client.close(CloseReason::ProtocolError).await;
    settle().await;
    fixture.deliver([to("a", 3)]).await;
    let frames = client.frames().await;
    assert_eq!(frames[..3], [text("joined a"), message("a", 1), message("a", 2)]);
    assert_eq!(frames[3..].iter().map(Frame::code).collect::<Vec<_>>(), [Some(1002)]);
    assert!(client.ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_gets_the_begun_frame_and_the_close_only() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_narrow(20).await;
    client.join("a").await;
    fixture.deliver([to("a", 1), to("a", 2), to("a", 3)]).await;
    settle().await;
    client.peer_closed(Some(1000)).await;
    let expected = [text("joined a"), message("a", 1), Frame::Close(Some(1000), String::new())];
    assert_eq!(client.frames().await, expected);
    assert!(client.ended().await);
}

#[tokio::test(start_paused = true)]
async fn the_peers_answer_ends_a_write_side_that_is_still_busy() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_narrow(10).await;
    client.answer("a text that is longer than the pipe").await;
    client.close(CloseReason::Draining).await;
    client.peer_closed(Some(1012)).await;
    settle().await;
    assert!(!client.transport.is_finished());
    let codes: Vec<_> = client.frames().await.iter().map(Frame::code).collect();
    assert_eq!(codes, [None, Some(1012)]);
    assert!(client.ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_takes_too_long_is_a_reset() {
    let fixture = Fixture::start();
    let mut silent = fixture.connect(Dialect::Json).await;
    let mut stuck = fixture.connect_narrow(1).await;
    silent.close(CloseReason::Draining).await;
    stuck.peer_closed(Some(1000)).await;
    tokio::time::sleep(Duration::from_millis(4999)).await;
    assert!(!silent.transport.is_aborted() && !stuck.transport.is_aborted());
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert!(silent.transport.is_aborted() && stuck.transport.is_aborted());
    assert!(silent.session_ended().await && stuck.session_ended().await);
    assert_eq!(fixture.metric("fanwire_close_timeouts_total", ""), 2);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closing_connection_may_still_join_and_leave() {
    let fixture = Fixture::start();
    let client = fixture.connect(Dialect::Json).await;
    client.close(CloseReason::Draining).await;
    client.join("a").await;
    client.join("b").await;
    client.leave("a").await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 1);
    client.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 0);
    let mut known = false;
    client.interest.shards_of(&channel("b"), |_| known = true);
    assert!(!known);
}
