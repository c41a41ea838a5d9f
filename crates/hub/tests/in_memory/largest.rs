//! Which outboxes are the largest.

use crate::support::{Client, Fixture, Frame, settle, text};
use fanwire_hub::{Largest, Waiting};
use fanwire_protocol::CloseReason;

/// A client that reads nothing, for which `count` answers of a thousand bytes wait.
async fn behind(fixture: &Fixture, count: usize) -> Client {
    let client = fixture.connect_narrow(10).await;
    for _ in 0..count {
        client.answer(&"x".repeat(1000)).await;
    }
    settle().await;
    client
}

async fn largest(fixture: &Fixture, most: usize, least: usize) -> Vec<Waiting> {
    fixture.hub.shards()[0].largest_outboxes(Largest { most, least }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_largest_come_first_and_small_ones_not_at_all() {
    let fixture = Fixture::start();
    let clients = [behind(&fixture, 3).await, behind(&fixture, 0).await, behind(&fixture, 5).await];
    let last = behind(&fixture, 1).await;
    let keys = |found: Vec<Waiting>| found.iter().map(|waiting| waiting.connection).collect::<Vec<_>>();
    assert_eq!(keys(largest(&fixture, 9, 0).await), [clients[2].key, clients[0].key, last.key]);
    assert_eq!(keys(largest(&fixture, 9, 3000).await), [clients[2].key, clients[0].key]);
    assert_eq!(keys(largest(&fixture, 1, 0).await), [clients[2].key]);
    let all: usize = largest(&fixture, 9, 0).await.iter().map(|waiting| waiting.bytes).sum();
    assert_eq!(i64::try_from(all).unwrap(), fixture.metric("fanwire_outbox_bytes", ""));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_closed_for_it_keeps_nothing_but_the_begun_frame() {
    let fixture = Fixture::start();
    let (mut client, other) = (behind(&fixture, 5).await, behind(&fixture, 3).await);
    let [first, ..] = largest(&fixture, 1, 0).await[..] else { panic!("none is large") };
    fixture.hub.shards()[0].close(first.connection, CloseReason::MemoryPressure).await.unwrap();
    settle().await;
    assert_eq!(largest(&fixture, 9, 0).await.iter().map(|waiting| waiting.connection).collect::<Vec<_>>(), [other.key]);
    let frames = client.frames().await;
    assert_eq!(frames.len(), 2);
    assert_eq!((&frames[0], frames[1].code()), (&text(&"x".repeat(1000)), Some(1013)));
    client.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "memory_pressure"), 1);
    assert!(matches!(frames.last(), Some(Frame::Close(..))));
}
