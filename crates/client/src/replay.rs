//! Subscribing again on a new connection.

use crate::{Reconnect, backoff::Backoff, retry::Pace};
use std::collections::VecDeque;
use tokio::time::{Instant, sleep_until};

/// Subscriptions that are asked for at a time. A node takes them one after the other, so more would gain nothing.
const BATCH: usize = 64;

/// What a new connection lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The broadcasts since the last one.
    Broadcasts,
    /// The subscription to a channel.
    Channel(String),
}

/// All that a new connection still lacks.
#[derive(Debug)]
pub(crate) struct Replay {
    missing: VecDeque<Missing>,
    /// How many the node has been asked for and has not answered.
    asked: usize,
    backoff: Backoff,
    /// When to ask again after the node couldn't grant one.
    pause: Option<Instant>,
}

impl Replay {
    /// Begins with all of `missing`, and asks again for what can't be granted at the pace of `reconnect`.
    pub(crate) fn new(missing: VecDeque<Missing>, reconnect: &Reconnect) -> Self {
        Self { missing, asked: 0, backoff: Backoff::new(reconnect), pause: None }
    }

    /// The next to ask for, if one may be asked for now.
    pub(crate) fn next(&mut self) -> Option<Missing> {
        if self.pause.is_some() || self.asked >= BATCH { None } else { self.missing.pop_front() }
    }

    /// What [`next`](Self::next) gave has been asked for.
    pub(crate) fn asked(&mut self) {
        self.asked += 1;
    }

    /// The node has answered one.
    pub(crate) fn settled(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// The node can't grant `missing` now, whoever asked for it; `random` is in 0 to 1.
    pub(crate) fn postponed(&mut self, missing: Missing, random: f64) {
        if !self.missing.contains(&missing) {
            self.missing.push_back(missing);
        }
        if self.pause.is_none() {
            self.pause = Instant::now().checked_add(self.backoff.wait(Pace::Backoff, random));
        }
    }

    /// The user wants `channel` no longer. If it is wanted anew, that is another subscription.
    pub(crate) fn forget(&mut self, channel: &str) {
        self.missing.retain(|missing| !matches!(missing, Missing::Channel(name) if name == channel));
    }

    /// Whether it waits before it asks again.
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Waits until it may ask again, for ever unless it [is paused](Self::is_paused).
    pub(crate) fn paused(&self) -> impl Future<Output = ()> + use<> {
        let pause = self.pause;
        async move {
            match pause {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Asks again from now on.
    pub(crate) fn go_on(&mut self) {
        self.pause = None;
    }

    /// Whether nothing is left to ask for, and everything is answered.
    pub(crate) fn is_done(&self) -> bool {
        self.missing.is_empty() && self.asked == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(count: usize) -> Replay {
        Replay::new((0..count).map(channel).collect(), &Reconnect::default())
    }

    fn channel(number: usize) -> Missing {
        Missing::Channel(number.to_string())
    }

    fn ask(replay: &mut Replay) -> Vec<Missing> {
        std::iter::from_fn(|| replay.next().inspect(|_| replay.asked())).collect()
    }

    #[test]
    fn channels_go_in_order_and_in_batches() {
        let mut replay = replay(BATCH + 2);
        assert_eq!(ask(&mut replay), (0..BATCH).map(channel).collect::<Vec<_>>());
        replay.settled();
        assert_eq!(ask(&mut replay), [channel(BATCH)]);
        (0..BATCH).for_each(|_| replay.settled());
        assert!(!replay.is_done());
        assert_eq!(ask(&mut replay), [channel(BATCH + 1)]);
        replay.settled();
        assert!(replay.is_done());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_granted_is_asked_for_after_a_pause() {
        let mut replay = replay(3);
        assert_eq!(ask(&mut replay).len(), 3);
        for missing in [channel(0), Missing::Broadcasts, channel(0)] {
            replay.settled();
            replay.postponed(missing, 1.0);
        }
        assert!(replay.is_paused() && !replay.is_done());
        assert_eq!(ask(&mut replay).len(), 0);
        let (began, first) = (Instant::now(), Reconnect::default().first);
        replay.paused().await;
        assert!(began.elapsed() >= first && began.elapsed() < first * 2);
        replay.go_on();
        assert_eq!(ask(&mut replay), [channel(0), Missing::Broadcasts]);
    }

    #[test]
    fn what_is_wanted_no_longer_is_not_asked_for() {
        let mut replay = replay(3);
        replay.forget("1");
        assert_eq!(ask(&mut replay), [channel(0), channel(2)]);
        replay.forget("2");
        (0..2).for_each(|_| replay.settled());
        assert!(replay.is_done());
    }
}
