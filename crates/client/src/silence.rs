//! Whether the node is silent for too long.

use crate::Closed;
use std::{future, pin::Pin, time::Duration};
use tokio::time::{Instant, Sleep, sleep_until};

/// Heartbeats of a node after which its silence is its death.
const MISSED_HEARTBEATS: u32 = 2;

/// Watches a node that has promised to ping.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    /// Since when the socket has been read without a pause.
    reading_since: Instant,
    /// When to look again; none if the node promises no heartbeat, or none in a lifetime.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Watches a node from now on that pings every `heartbeat`, or never if that is zero.
    pub(crate) fn new(heartbeat: Duration) -> Self {
        let (limit, reading_since) = (heartbeat.saturating_mul(MISSED_HEARTBEATS), Instant::now());
        let first = reading_since.checked_add(limit).filter(|_| !limit.is_zero());
        Self { limit, reading_since, alarm: first.map(|at| Box::pin(sleep_until(at))) }
    }

    /// The socket is read again after a pause, in which nothing could be heard.
    pub(crate) fn reading_again(&mut self) {
        self.reading_since = Instant::now();
    }

    /// Waits until there is reason to [`check`](Self::check).
    pub(crate) async fn suspected(&mut self) {
        match &mut self.alarm {
            Some(alarm) => alarm.await,
            None => future::pending().await,
        }
    }

    /// Finds out whether the node, from which bytes came at `last`, is silent for too long.
    ///
    /// # Errors
    /// If so.
    pub(crate) fn check(&mut self, last: Instant) -> Result<(), Closed> {
        let since = self.reading_since.max(last);
        if since.elapsed() >= self.limit {
            return Err(Closed::abrupt(format!("nothing came from the node for {:?}", self.limit)));
        }
        if let Some((alarm, at)) = self.alarm.as_mut().zip(since.checked_add(self.limit)) {
            alarm.as_mut().reset(at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    const HEARTBEAT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn two_heartbeats_without_a_byte_are_too_long() {
        let (began, mut silence) = (Instant::now(), Silence::new(HEARTBEAT));
        silence.suspected().await;
        assert_eq!(began.elapsed().as_secs(), 40);
        assert_eq!(silence.check(began + HEARTBEAT), Ok(()));
        silence.suspected().await;
        assert_eq!(began.elapsed().as_secs(), 60);
        assert!(silence.check(began + HEARTBEAT).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_reading_does_not_count() {
        let (began, mut silence) = (Instant::now(), Silence::new(HEARTBEAT));
        advance(HEARTBEAT * 10).await;
        silence.reading_again();
        silence.suspected().await;
        assert_eq!(silence.check(began), Ok(()));
        silence.suspected().await;
        assert_eq!(began.elapsed(), HEARTBEAT * 12);
        assert!(silence.check(began).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_heartbeat_there_is_no_silence() {
        for heartbeat in [Duration::ZERO, Duration::MAX] {
            let mut silence = Silence::new(heartbeat);
            assert!(timeout(Duration::from_secs(1_000_000), silence.suspected()).await.is_err());
        }
    }
}
