//! The end of a node.

use crate::support::{Fixture, message, settle, text, to};
use fanwire_protocol::{Dialect, Event};
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn closes_are_spread_over_the_window() {
    let fixture = Fixture::with(2, |_| {});
    let mut closes = Vec::new();
    for index in 0..20 {
        let mut client = fixture.connect_to(index % 2, Dialect::Json, 100, None).await;
        closes.push(tokio::spawn(async move {
            assert_eq!(client.frame().await.code(), Some(1012));
            Instant::now()
        }));
    }
    let start = Instant::now();
    fixture.hub.drain(WINDOW).await.unwrap();
    let mut times = Vec::new();
    for close in closes {
        times.push((close.await.unwrap() - start).as_secs());
    }
    times.sort_unstable();
    assert_eq!(times, (0..10).flat_map(|second| [second, second]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn connections_are_served_until_their_turn_and_outboxes_flushed() {
    let fixture = Fixture::start();
    let mut first = fixture.connect_narrow(10).await;
    let mut second = fixture.connect(Dialect::Json).await;
    first.join("a").await;
    second.join("a").await;
    fixture.deliver([to("a", 1)]).await;
    settle().await;
    fixture.hub.drain(WINDOW).await.unwrap();
    settle().await;
    fixture.deliver([to("a", 2)]).await;
    let frames = first.frames().await;
    assert_eq!(frames[..2], [text("joined a"), message("a", 1)]);
    assert_eq!(frames[2..].iter().map(|frame| frame.code()).collect::<Vec<_>>(), [Some(1012)]);
    assert_eq!(second.frames().await, [text("joined a"), message("a", 1), message("a", 2)]);
    tokio::time::sleep(WINDOW / 2).await;
    assert_eq!(second.frame().await.code(), Some(1012));
}

#[tokio::test(start_paused = true)]
async fn latecomers_are_closed_at_once() {
    let fixture = Fixture::start();
    fixture.hub.drain(WINDOW).await.unwrap();
    let mut late = fixture.connect_to(0, Dialect::Json, 100, Some(Event::Gap { seconds: 1.5 })).await;
    settle().await;
    let frames = late.read_some(200).await;
    assert_eq!(frames[0], text(r#"{"type":"gap","seconds":1.5}"#));
    assert_eq!(frames[1].code(), Some(1012));
    late.peer_closed(Some(1012)).await;
    settle().await;
    late.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "draining"), 1);
    assert_eq!(fixture.metric("fanwire_connections", "json"), 0);
}

#[tokio::test(start_paused = true)]
async fn draining_twice_keeps_the_first_plan() {
    let fixture = Fixture::start();
    let _first = fixture.connect(Dialect::Json).await;
    let mut second = fixture.connect(Dialect::Json).await;
    let start = Instant::now();
    fixture.hub.drain(WINDOW).await.unwrap();
    settle().await;
    fixture.hub.drain(WINDOW * 100).await.unwrap();
    assert_eq!(second.frame().await.code(), Some(1012));
    assert_eq!(start.elapsed().as_secs(), 5);
}
