//! Pings, and connections that don't answer.

use crate::support::{Fixture, Frame, settle};
use fanwire_protocol::Dialect;
use std::{collections::HashSet, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

const INTERVAL: Duration = Duration::from_secs(20);

const TIMEOUT: Duration = Duration::from_secs(15);

fn fixture() -> Fixture {
    Fixture::with(1, |config| {
        config.heartbeat_interval = INTERVAL;
        config.heartbeat_timeout = TIMEOUT;
    })
}

#[tokio::test(start_paused = true)]
async fn first_pings_are_spread_over_the_interval() {
    let (fixture, start) = (fixture(), Instant::now());
    let mut pings = Vec::new();
    for _ in 0..100 {
        let mut client = fixture.connect(Dialect::Json).await;
        pings.push(tokio::spawn(async move {
            assert_eq!(client.frame().await, Frame::Ping);
            start.elapsed()
        }));
    }
    let mut seconds = HashSet::new();
    for ping in pings {
        let at = ping.await.unwrap();
        assert!(at <= INTERVAL + Duration::from_millis(2), "a first ping after {at:?}");
        seconds.insert(at.as_secs());
    }
    assert!(seconds.len() > 5, "first pings came in the seconds {seconds:?} only");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_a_timeout_after_its_ping() {
    let fixture = fixture();
    let mut client = fixture.connect(Dialect::Json).await;
    assert_eq!(client.frame().await, Frame::Ping);
    let ping = Instant::now();
    let close = loop {
        match client.frame().await {
            Frame::Ping => {}
            other => break other,
        }
    };
    assert_eq!(close.code(), Some(1001));
    assert!(ping.elapsed() >= TIMEOUT && ping.elapsed() <= TIMEOUT + Duration::from_millis(2));
    settle().await;
    assert!(client.ended().await, "no answer is awaited");
    client.gone().await;
    settle().await;
    assert_eq!(fixture.metric("fanwire_disconnects_total", "heartbeat_timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_keeps_a_connection() {
    let fixture = fixture();
    let mut client = fixture.connect(Dialect::Json).await;
    assert_eq!(client.frame().await, Frame::Ping);
    for _ in 0..50 {
        // Not an answer to the ping, but something.
        sleep(TIMEOUT - Duration::from_secs(1)).await;
        client.activity.arrived(fixture.clock.now());
        let next = timeout_at(Instant::now() + INTERVAL, client.frame()).await;
        assert_eq!(next.expect("pings go on"), Frame::Ping);
    }
    assert!(!client.transport.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_that_takes_nothing_is_reset() {
    let fixture = fixture();
    // Room for half a ping.
    let mut client = fixture.connect_narrow(1).await;
    sleep(INTERVAL + TIMEOUT + Duration::from_secs(6)).await;
    assert!(client.transport.is_aborted());
    assert!(client.session_ended().await);
    assert_eq!(fixture.metric("fanwire_close_timeouts_total", ""), 1);
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}
