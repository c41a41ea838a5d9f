//! What is left of channels and connections that are gone.

use crate::support::{Fixture, broadcast, message, settle, text, to, to_all};
use fanwire_protocol::Dialect;
use std::time::Duration;
use tokio::time::Instant;

/// The channels that a sweep forgets.
fn swept(fixture: &Fixture) -> Vec<String> {
    let mut names = Vec::new();
    fixture.hub.interest().sweep(Instant::now(), Duration::ZERO, |channel| names.push(channel.to_string()));
    names
}

#[tokio::test(start_paused = true)]
async fn a_channel_lives_from_its_first_to_its_last_subscriber() {
    let fixture = Fixture::start();
    let clients = fixture.subscribers(2, "a").await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_channels", ""), 1);
    clients[0].leave("a").await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_channels", ""), 1);
    assert!(swept(&fixture).is_empty());
    clients[1].gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_channels", ""), 0);
    settle().await;
    assert_eq!(swept(&fixture), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_channels_leave_nothing_behind() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    for number in 0..10_000 {
        let name = format!("channel-{number}");
        client.join(&name).await;
        fixture.deliver([to(&name, number)]).await;
        client.leave(&name).await;
        if number % 100 == 0 {
            client.frames().await;
        }
    }
    settle().await;
    assert_eq!(fixture.metric("fanwire_channels", ""), 0);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 0);
    settle().await;
    assert_eq!(swept(&fixture).len(), 10_000);
    assert!(swept(&fixture).is_empty());
    client.frames().await;
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_everybody_left_before_its_turn_is_forgotten_after_it() {
    let fixture = Fixture::start();
    let _busy = fixture.subscribers(200, "busy").await;
    let mut clients = fixture.subscribers(2, "a").await;
    settle().await;
    fixture.stall(0, true);
    fixture.deliver([to("busy", 1), to("a", 1)]).await;
    fixture.turn().await;
    for client in &clients {
        client.leave("a").await;
    }
    fixture.stall(0, false);
    for client in &mut clients {
        assert_eq!(client.frames().await, [text("joined a"), text("left a")]);
    }
    assert_eq!(fixture.metric("fanwire_channels", ""), 1);
    clients[0].join("a").await;
    settle().await;
    fixture.deliver([to("a", 2)]).await;
    assert_eq!(clients[0].frames().await, [text("joined a"), message("a", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_gives_back_what_it_had() {
    let fixture = Fixture::start();
    let mut client = fixture.connect_narrow(10).await;
    client.join("a").await;
    fixture.deliver([to("a", 1), to_all(2)]).await;
    settle().await;
    assert!(fixture.metric("fanwire_outbox_bytes", "") > 0);
    client.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
    assert_eq!(fixture.metric("fanwire_connections", "json"), 0);
    assert_eq!(fixture.metric("fanwire_disconnects_total", "peer_vanished"), 1);
    assert!(client.session_ended().await);
    // The shard waited for the socket, and doesn't any more.
    assert_eq!(std::sync::Arc::strong_count(&client.transport), 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_connection_that_is_gone_touches_nobody() {
    let fixture = Fixture::start();
    let gone = fixture.connect(Dialect::Json).await;
    gone.gone().await;
    let mut next = fixture.connect(Dialect::Json).await;
    assert_ne!(next.key, gone.key);
    gone.answer("late").await;
    gone.join("a").await;
    gone.leave("a").await;
    gone.peer_closed(Some(1000)).await;
    gone.close(fanwire_protocol::CloseReason::Internal).await;
    gone.gone().await;
    fixture.deliver([to_all(1)]).await;
    assert_eq!(next.frames().await, [broadcast(1)]);
    assert!(!next.ended().await);
    assert_eq!(fixture.metric("fanwire_connections", "json"), 1);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_wake_up_does_not_touch_the_next_connection() {
    let fixture = Fixture::start();
    let gone = fixture.connect_narrow(10).await;
    gone.transport.wake_late();
    gone.answer("longer than the pipe").await;
    settle().await;
    gone.gone().await;
    let mut next = fixture.connect_narrow(10).await;
    next.answer("longer than the pipe too").await;
    settle().await;

    let attempts = next.transport.attempts();
    gone.transport.wake();
    settle().await;
    assert_eq!(next.transport.attempts(), attempts);
    assert_eq!(next.frames().await, [text("longer than the pipe too")]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_ends_with_its_last_handle() {
    let fixture = Fixture::start();
    let client = fixture.connect(Dialect::Json).await;
    let transport = std::sync::Arc::clone(&client.transport);
    drop((client, fixture));
    settle().await;
    assert_eq!(std::sync::Arc::strong_count(&transport), 1);
}
