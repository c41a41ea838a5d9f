//! A shard that is behind makes the relay wait.

use crate::support::{Fixture, Frame, settle, to, to_all};
use fanwire_hub::Hub;
use fanwire_protocol::Delivery;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::task::JoinHandle;

/// Delivers one part after the other; the number tells how many the hub has taken.
fn relay(hub: &Hub, parts: Vec<Vec<Delivery>>) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let (taken, hub) = (Arc::new(AtomicUsize::new(0)), hub.clone());
    let count = Arc::clone(&taken);
    let task = tokio::spawn(async move {
        for part in parts {
            hub.deliver(part).await.unwrap();
            count.fetch_add(1, Relaxed);
        }
    });
    (taken, task)
}

/// What waits in the queue between relay and shard.
const QUEUE: usize = 4;

#[tokio::test(start_paused = true)]
async fn the_relay_waits_for_a_shard_that_is_not_polled() {
    let fixture = Fixture::with(2, |_| {});
    let mut stalled = fixture.subscribers(1, "a").await.remove(0);
    settle().await;
    fixture.stall(0, true);
    let (taken, task) = relay(&fixture.hub, (0..50).map(|number| vec![to_all(number)]).collect());
    settle().await;
    assert_eq!(taken.load(Relaxed), QUEUE);
    fixture.stall(0, false);
    task.await.unwrap();
    let numbers: Vec<_> = stalled.frames().await.iter().filter_map(Frame::number).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

/// Runs a shard with more subscribers than a turn serves for some turns, and checks that no more than `backlog` parts
/// wait in it.
async fn check(part: Vec<Delivery>, backlog: usize) {
    const TURNS: usize = 5;
    let fixture = Fixture::with(1, |config| config.outbox_limit = 1 << 30);
    let mut clients = Vec::new();
    for _ in 0..1000 {
        let client = fixture.connect_narrow(1).await;
        client.join("a").await;
        clients.push(client);
    }
    settle().await;
    fixture.stall(0, true);
    let (taken, task) = relay(&fixture.hub, vec![part; 20]);
    for _ in 0..TURNS {
        fixture.turn().await;
    }
    assert_eq!(taken.load(Relaxed), QUEUE + backlog);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn publications_that_wait_are_bounded_in_number() {
    check((0..400).map(|number| to("a", number)).collect(), 3).await;
}

#[tokio::test(start_paused = true)]
async fn publications_that_wait_are_bounded_in_bytes() {
    check(vec![to("a", format!("{:?}", "x".repeat(3 << 20)))], 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_shard_resumes_in_order() {
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(300, "a").await;
    settle().await;
    fixture.stall(0, true);
    let parts = (0..60).map(|part| (part * 50..part * 50 + 50).map(|number| to("a", number)).collect()).collect();
    let (_, task) = relay(&fixture.hub, parts);
    while !task.is_finished() {
        fixture.turn().await;
    }
    fixture.stall(0, false);
    for client in [0, 127, 128, 299] {
        let numbers: Vec<_> = clients[client].frames().await.iter().filter_map(Frame::number).collect();
        assert_eq!(numbers, (0..3000).collect::<Vec<_>>());
    }
}
