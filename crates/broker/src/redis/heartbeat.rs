//! A node's own heartbeat: written over the publishing connection, read on the subscriber link.

use crate::redis::{names::Name, reply::server_text};
use redis::{Cmd, Value, aio::MultiplexedConnection};
use std::{
    str,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a heart beats.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long Redis may take to answer. With the interval before, 1.5 s pass at most between two that were written.
const LIMIT: Duration = Duration::from_secs(1);

/// How long the key that shows that a node lives outlasts it.
const EXPIRY: Duration = Duration::from_secs(5);

/// It writes a key since a demoted primary still takes a bare PUBLISH, to which nobody listens any more.
const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return redis.call('PUBLISH', KEYS[1], ARGV[1])";

/// The heartbeats of one link. Those of an earlier link, which may still be on their way, are none of its.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pub(super) name: Name,
    link: u64,
    start: Instant,
}

impl Heartbeat {
    /// `link` is a random number.
    pub(super) fn new(name: Name, link: u64) -> Self {
        Self { name, link, start: Instant::now() }
    }

    /// Beats until Redis does not take it any more, and returns why.
    pub(super) async fn run(self: Arc<Self>, mut connection: MultiplexedConnection) -> String {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let beat = self.command();
            match timeout(LIMIT, connection.send_packed_command(&beat)).await {
                Ok(Ok(Value::ServerError(error))) => {
                    return format!("Redis refused the heartbeat: {}", server_text(&error));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return format!("the heartbeat failed: {error}"),
                Err(_) => return format!("Redis did not answer the heartbeat within {LIMIT:?}"),
            }
        }
    }

    /// When the heartbeat was sent that came round as `payload`; none if it is not of this link.
    pub(super) fn sent_at(&self, payload: &[u8]) -> Option<Instant> {
        let (link, micros) = str::from_utf8(payload).ok()?.split_once('-')?;
        if link.parse() != Ok(self.link) {
            return None;
        }
        self.start.checked_add(Duration::from_micros(micros.parse().ok()?))
    }

    pub(super) fn command(&self) -> Cmd {
        let payload = self.payload();
        let expiry = u64::try_from(EXPIRY.as_millis()).unwrap_or(u64::MAX);
        redis::cmd("EVAL").arg(SCRIPT).arg(1).arg(&*self.name).arg(payload).arg(expiry).take()
    }

    fn payload(&self) -> String {
        format!("{}-{}", self.link, self.start.elapsed().as_micros())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_knows_its_own_heartbeats() {
        let heartbeat = Heartbeat::new("h".into(), 7);
        let sent = heartbeat.sent_at(heartbeat.payload().as_bytes()).unwrap();
        assert!(sent >= heartbeat.start && sent <= Instant::now());
        assert_eq!(Heartbeat::new("h".into(), 8).sent_at(heartbeat.payload().as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_anyone_writes_there_never_panics(payload in prop_oneof!["7-[0-9]{1,25}", "\\PC{0,20}"]) {
            let _ = Heartbeat::new("h".into(), 7).sent_at(payload.as_bytes());
        }
    }
}
