//! A connection that reads too slowly, under the policy `disconnect`.

use crate::support::{Client, Fixture, Frame, message, settle, text, to};
use fanwire_hub::{Policy, outbox::ENTRY_COST};
use fanwire_protocol::Dialect;
use std::time::Duration;

const LIMIT: usize = 4096;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many publications are more than an outbox holds.
const MANY: u64 = 200;

fn fixture() -> Fixture {
    Fixture::with(1, |config| {
        config.outbox_limit = LIMIT;
        config.outbox_policy = Policy::Disconnect;
        config.close_timeout = CLOSE_TIMEOUT;
    })
}

/// A subscriber of `a` whose socket holds 100 bytes and that has read its answer.
async fn stalled(fixture: &Fixture) -> Client {
    let mut client = fixture.connect_narrow(100).await;
    client.join("a").await;
    assert_eq!(client.frame().await, text("joined a"));
    client
}

/// Publishes many numbers to `a`, watching the outboxes, and returns how many of them were handed to connections.
async fn flood(fixture: &Fixture) -> i64 {
    let before = fixture.metric("fanwire_deliveries_total", "");
    for number in 0..MANY {
        fixture.deliver([to("a", number)]).await;
        settle().await;
        let waiting = fixture.metric("fanwire_outbox_bytes", "");
        assert!(usize::try_from(waiting).unwrap() <= LIMIT, "{waiting} bytes wait");
    }
    fixture.metric("fanwire_deliveries_total", "") - before
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_holds_up_nobody_and_is_gone_after_the_timeout() {
    let fixture = fixture();
    let mut stalled = stalled(&fixture).await;
    let mut other = fixture.connect(Dialect::Json).await;
    other.join("a").await;
    let start = tokio::time::Instant::now();
    flood(&fixture).await;
    let numbers: Vec<_> = other.frames().await.iter().filter_map(Frame::number).collect();
    assert_eq!(numbers, (0..MANY).collect::<Vec<_>>());
    assert!(start.elapsed() < CLOSE_TIMEOUT && !stalled.transport.is_aborted());
    assert_eq!(fixture.metric("fanwire_disconnects_total", "slow_consumer"), 0);

    tokio::time::sleep(CLOSE_TIMEOUT).await;
    assert!(stalled.transport.is_aborted());
    assert!(stalled.session_ended().await);
    assert_eq!(fixture.metric("fanwire_close_timeouts_total", ""), 1);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
    stalled.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "slow_consumer"), 1);
    assert_eq!(fixture.metric("fanwire_connections", "json"), 1);
    assert!(!other.transport.is_aborted());
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_on_sees_the_begun_frame_and_then_why() {
    let fixture = fixture();
    let mut client = stalled(&fixture).await;
    let handed = flood(&fixture).await;
    let mut frames = client.frames().await;
    let close = frames.pop().unwrap();
    assert_eq!(close.code(), Some(1013));
    // 100 bytes hold two messages and the start of a third.
    assert_eq!(frames, (0..3).map(|number| message("a", number)).collect::<Vec<_>>());
    assert_eq!(fixture.metric("fanwire_deliveries_dropped_total", "disconnect"), handed - 3);
    assert!(!client.ended().await, "the peer's answer is awaited");

    client.peer_closed(Some(1013)).await;
    settle().await;
    assert!(client.ended().await);
    assert_eq!(fixture.metric("fanwire_close_timeouts_total", ""), 0);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn batches_are_dropped_and_counted_whole() {
    let fixture = fixture();
    let mut client = stalled(&fixture).await;
    fixture.deliver((0..MANY).map(|number| to("a", number))).await;
    let frames = client.frames().await;
    let received = frames.iter().filter(|frame| frame.number().is_some()).count();
    assert_eq!(frames.last().and_then(Frame::code), Some(1013));
    let handed = fixture.metric("fanwire_deliveries_total", "");
    let dropped = fixture.metric("fanwire_deliveries_dropped_total", "disconnect");
    assert_eq!(handed - dropped, i64::try_from(received).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_up_is_never_slow() {
    let fixture = fixture();
    let mut client = fixture.connect(Dialect::Json).await;
    let busy = fixture.subscribers(1, "b").await;
    client.join("a").await;
    client.join("b").await;
    // Each turn serves two channels, so that nothing is written at once, and each has far more than an outbox holds.
    for round in 0..5 {
        let numbers = (0..MANY).flat_map(|number| ["a", "b"].map(|name| to(name, round * MANY + number)));
        fixture.deliver(numbers).await;
    }
    let frames = client.frames().await;
    assert_eq!(frames.iter().filter_map(Frame::code).next(), None);
    assert_eq!(frames.len(), 2 + 2 * 5 * usize::try_from(MANY).unwrap());
    assert!(!busy[0].transport.is_aborted());
}

#[tokio::test(start_paused = true)]
async fn a_message_as_long_as_the_limit_reaches_a_reader_that_keeps_up() {
    let fixture = fixture();
    let mut client = fixture.connect(Dialect::Json).await;
    for name in ["a", "b"] {
        client.join(name).await;
    }
    let content = format!("{:?}", "x".repeat(LIMIT));
    fixture.deliver(["a", "b"].map(|name| to(name, &content))).await;
    let expected = [text("joined a"), text("joined b"), message("a", &content), message("b", &content)];
    assert_eq!(client.frames().await, expected);
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_are_bounded_too() {
    let fixture = fixture();
    let mut client = stalled(&fixture).await;
    let bound = LIMIT / ENTRY_COST + 100;
    for _ in 0..bound {
        client.answer("answer").await;
    }
    settle().await;
    assert!(usize::try_from(fixture.metric("fanwire_outbox_bytes", "")).unwrap() <= LIMIT);
    let frames = client.frames().await;
    assert!(frames.len() < bound);
    assert_eq!(frames.last().and_then(Frame::code), Some(1013));
    assert_eq!(fixture.metric("fanwire_deliveries_dropped_total", "disconnect"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_fails_ends_its_session() {
    let fixture = fixture();
    let mut other = fixture.connect(Dialect::Json).await;
    other.join("a").await;
    for at_once in [true, false] {
        let mut client = fixture.connect(Dialect::Json).await;
        client.join("a").await;
        settle().await;
        client.transport.break_writes();
        if at_once {
            fixture.deliver([to("a", 1)]).await;
        } else {
            client.answer("answer").await;
        }
        settle().await;
        assert!(client.session_ended().await);
        client.leave("a").await;
        client.gone().await;
    }
    assert_eq!(other.frames().await, [text("joined a"), message("a", 1)]);
    assert_eq!(fixture.metric("fanwire_disconnects_total", "peer_vanished"), 2);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}
