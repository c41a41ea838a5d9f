//! A client that floods, and who suffers from it.

use crate::testing::{Fixture, Frame, Settings, masked, settle};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn every_ping_of_a_flood_is_answered_in_order() {
    const PINGS: u32 = 5000;
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    let flood: Vec<u8> = (0..PINGS).flat_map(|number| masked(9, &number.to_be_bytes())).collect();
    client.send_raw(&flood).await;
    for number in 0..PINGS {
        assert_eq!(client.frame().await, Frame::Pong(number.to_be_bytes().to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_floods_and_never_reads_is_closed_and_hinders_nobody() {
    let fixture = Fixture::with(Settings { outbox_limit: 16 << 10, ..Settings::default() });
    let (mut flooder, mut other) = (fixture.connect_narrow(512).await, fixture.connect().await);
    let pings = masked(9, &[0; 125]).repeat(1000);
    flooder.send_raw(&pings).await;
    settle().await;
    assert!(fixture.metric("fanwire_outbox_bytes", "") <= 16 << 10);
    other.send(r#"{"type":"ping"}"#).await;
    assert_eq!(other.event().await, json!({ "type": "pong" }));

    // Nothing more can be read of it than what it had begun to get.
    flooder.vanish().await;
    other.vanish().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "slow_consumer"), 1);
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_is_read_is_counted() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    let ping = masked(9, b"hello");
    client.send_raw(&ping).await;
    client.frame().await;
    assert_eq!(fixture.metric("fanwire_received_bytes_total", ""), ping.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn what_came_in_one_read_is_taken_as_it_is_asked_for() {
    let (fixture, mut calls) = Fixture::scripted();
    let mut client = fixture.connect().await;
    let sent: Vec<_> =
        (0..300).map(|content| json!({ "type": "publish", "channel": "news", "content": content })).collect();
    let read: Vec<u8> = sent.iter().flat_map(|command| masked(1, command.to_string().as_bytes())).collect();
    client.send_raw(&read).await;
    for number in 0..300 {
        let (content, outcome) = calls.take_in().await;
        assert_eq!(content, number.to_string());
        outcome.send(Ok(None)).unwrap();
    }
    settle().await;
    assert!(calls.is_empty());
}
