#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::{Client, Fixture, Settings, settle};

/// An outbox' limit of which a sixteenth is less than what waits for those who are behind.
const OUTBOX: usize = 64 << 10;

const LIMIT: u64 = 200_000;

/// What pressure begins and ends at.
const BEGIN: u64 = 180_000;
const END: u64 = BEGIN - BEGIN / 16;

fn watch(fixture: &Fixture) -> Watch {
    Watch {
        limits: MemoryLimits { limit: Some(LIMIT), pressure: Some(90) },
        shortage: Shortage::default(),
        hub: fixture.sessions.hub.clone(),
        hub_metrics: fixture.hub_metrics.clone(),
        outbox_limit: OUTBOX,
        metrics: fixture.sessions.metrics.memory.clone(),
    }
}

/// A client that reads nothing any more, for which `count` messages of a thousand bytes wait, which `publisher` has sent.
async fn behind(fixture: &Fixture, publisher: &mut Client, count: usize) -> Client {
    let channel = format!("c{count}");
    let mut client = fixture.connect_narrow(1024).await;
    client.send(&format!(r#"{{"type":"subscribe","id":1,"channel":"{channel}"}}"#)).await;
    assert_eq!(client.event().await["type"], "ok");
    let content = "x".repeat(1000);
    for _ in 0..count {
        publisher.send(&format!(r#"{{"type":"publish","id":1,"channel":"{channel}","content":"{content}"}}"#)).await;
        assert_eq!(publisher.event().await["type"], "ok");
    }
    settle().await;
    client
}

fn closed(fixture: &Fixture) -> u64 {
    fixture.metric("fanwire_disconnects_total", "memory_pressure")
}

fn waiting(fixture: &Fixture) -> u64 {
    fixture.metric("fanwire_outbox_bytes", "")
}

#[tokio::test(start_paused = true)]
async fn the_largest_outboxes_go_until_there_is_room_and_nobody_else() {
    let fixture = Fixture::with(Settings { message_limit: OUTBOX, outbox_limit: OUTBOX, ..Settings::default() });
    let (watch, mut state) = (watch(&fixture), State::new(Some(90)));
    let mut reads = fixture.connect().await;
    let small = behind(&fixture, &mut reads, 3).await;
    let large = behind(&fixture, &mut reads, 10).await;
    let larger = behind(&fixture, &mut reads, 40).await;
    let take_in = async |state: &mut State, used| {
        watch.take_in(state, Reading { used, limit: LIMIT }).await.unwrap();
        settle().await;
        let metric = |name| fixture.metric(name, "");
        assert_eq!((metric("fanwire_memory_used_bytes"), metric("fanwire_memory_limit_bytes")), (used, LIMIT));
        assert_eq!(metric("fanwire_memory_pressure") == 1, watch.shortage.is_there());
        watch.shortage.is_there()
    };

    let check = |waits: std::ops::Range<u64>| assert!(waits.contains(&waiting(&fixture)), "{}", waiting(&fixture));
    assert!(!take_in(&mut state, BEGIN - 1).await);
    check(50_000..70_000);
    assert!(take_in(&mut state, BEGIN).await);
    check(12_000..20_000);
    // The allocator keeps what was freed, and then needs more all the same.
    assert!(!take_in(&mut state, BEGIN).await);
    check(12_000..20_000);
    assert!(take_in(&mut state, BEGIN + 5000).await);
    check(2000..6000);
    assert!(take_in(&mut state, 2 * LIMIT).await);
    check(2000..6000);
    assert!(!take_in(&mut state, END - 1).await);
    for client in [larger, large] {
        client.vanish().await;
    }
    settle().await;
    assert_eq!(closed(&fixture), 2);
    reads.send(r#"{"type":"ping"}"#).await;
    assert_eq!(reads.event().await["type"], "pong");
    for client in [small, reads] {
        client.vanish().await;
    }
    settle().await;
    assert_eq!(closed(&fixture), 2);
    fixture.assert_empty();
}

#[tokio::test]
async fn a_watch_reads_by_itself_and_survives_what_it_cannot_read() {
    let fixture = Fixture::start();
    let (source, reading) = read(None, Some(LIMIT)).await;
    assert_eq!((source.is_some(), reading.unwrap().limit), (true, LIMIT));
    let watch = watch(&fixture);
    let shortage = watch.shortage.clone();
    let running = tokio::spawn(watch.run());
    crate::testing::eventually(async || shortage.is_there()).await;
    assert!(!running.is_finished());
    assert!(fixture.metric("fanwire_memory_used_bytes", "") > LIMIT);
    running.abort();
}
