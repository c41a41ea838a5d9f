//! The order within a channel and among broadcasts, who is left out, and what is written together.

use crate::support::{Fixture, Frame, broadcast, except, message, settle, text, to, to_all};
use fanwire_protocol::{ConnectionId, Dialect, NodeId};

/// Of `frames`, the numbers in messages that begin with `start`.
fn numbers(frames: &[Frame], start: &str) -> Vec<u64> {
    let of_kind = |frame: &&Frame| matches!(frame, Frame::Text(text) if text.starts_with(start));
    frames.iter().filter(of_kind).filter_map(Frame::number).collect()
}

#[tokio::test(start_paused = true)]
async fn every_channel_and_the_broadcasts_keep_their_order() {
    const COUNT: u64 = 200;
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(150, "a").await;
    for client in &clients {
        client.join("b").await;
    }
    for number in 0..COUNT {
        fixture.deliver([to("a", number), to("b", number), to_all(number)]).await;
    }
    for client in &mut clients {
        let frames = client.frames().await;
        for start in [r#"{"type":"message","channel":"a""#, r#"{"type":"message","channel":"b""#, r#"{"type":"broad"#] {
            assert_eq!(numbers(&frames, start), (0..COUNT).collect::<Vec<_>>());
        }
    }
    assert_eq!(fixture.metric("fanwire_deliveries_total", ""), 150 * 3 * 200);
}

#[tokio::test(start_paused = true)]
async fn order_holds_over_narrow_sockets_read_bit_by_bit() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_narrow(50).await;
    client.join("a").await;
    for number in 0..100 {
        fixture.deliver([to("a", number)]).await;
        client.answer("answer").await;
    }
    let (mut frames, mut sizes) = (Vec::new(), (1..50).cycle());
    while frames.len() < 201 {
        settle().await;
        frames.extend(client.read_some(sizes.next().unwrap()).await);
    }
    assert_eq!(numbers(&frames, r#"{"type":"message""#), (0..100).collect::<Vec<_>>());
    assert_eq!(frames.iter().filter(|frame| **frame == text("answer")).count(), 100);
    assert_eq!(client.partial(), 0);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_left_out_of_its_own_publication_only() {
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(2, "a").await;
    let (first, second) = (clients[0].id, clients[1].id);
    let elsewhere = ConnectionId(NodeId::from_random(8), first.1);
    fixture
        .deliver([
            to("a", 1),
            except(first, to("a", 2)),
            except(second, to("a", 3)),
            except(elsewhere, to("a", 4)),
            except(first, to("a", 5)),
        ])
        .await;
    let joined = text("joined a");
    let expected = |numbers: &[u64]| {
        std::iter::once(joined.clone()).chain(numbers.iter().map(|number| message("a", number))).collect::<Vec<_>>()
    };
    assert_eq!(clients[0].frames().await, expected(&[1, 3, 4]));
    assert_eq!(clients[1].frames().await, expected(&[1, 2, 4, 5]));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_leaves_its_sender_out() {
    let fixture = Fixture::start();
    let mut sender = fixture.connect(Dialect::Json).await;
    let mut other = fixture.connect(Dialect::Json).await;
    fixture.deliver([except(sender.id, to_all(1))]).await;
    assert_eq!(other.frames().await, [broadcast(1)]);
    assert_eq!(sender.frames().await, []);
    assert_eq!(sender.transport.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_in_one_read_is_written_together() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    client.join("a").await;
    settle().await;
    let before = client.transport.writes();
    fixture.deliver((0..20).map(|number| to("a", number))).await;
    settle().await;
    assert_eq!(client.transport.writes(), before + 1);
    assert_eq!(client.frames().await.len(), 1 + 20);
}

#[tokio::test(start_paused = true)]
async fn channels_that_wait_for_their_turn_share_a_write() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    for name in ["a", "b", "c"] {
        client.join(name).await;
    }
    settle().await;
    let before = client.transport.writes();
    fixture.deliver(["a", "b"].map(|name| to(name, 1))).await;
    settle().await;
    assert_eq!(client.transport.writes(), before + 1);
    assert_eq!(client.frames().await.len(), 3 + 2);
}

#[tokio::test(start_paused = true)]
async fn what_queues_up_behind_a_long_fan_out_is_written_together() {
    let fixture = Fixture::start();
    let mut clients = fixture.subscribers(300, "a").await;
    settle().await;
    let before: Vec<_> = clients.iter().map(|client| client.transport.writes()).collect();
    fixture.stall(0, true);
    for number in 0..4 {
        fixture.deliver([to("a", number)]).await;
    }
    fixture.stall(0, false);
    settle().await;
    for (client, before) in clients.iter_mut().zip(before) {
        assert!(client.transport.writes() - before < 4);
        assert_eq!(numbers(&client.frames().await, "{"), [0, 1, 2, 3]);
    }
}
