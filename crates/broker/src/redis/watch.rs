//! Whether the subscriber link lives.

use std::time::Duration;
use thiserror::Error;

/// How long a living link is silent at most: three heartbeats.
pub(super) const SILENCE: Duration = Duration::from_millis(1_500);

/// How long the reader waits at most, in sum, for one of the node's own heartbeats. Longer than [`SILENCE`], since on a
/// slow and busy network a heartbeat queues behind what was published before it.
pub(super) const DEAFNESS: Duration = Duration::from_secs(5);

/// Why the subscriber link is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Dead {
    /// Not one byte came.
    #[error("nothing came from Redis for {SILENCE:?}")]
    Silent,
    /// Bytes came, but what this node publishes does not come back: as when the two connections of a link ended up at
    /// two servers.
    #[error("the node's own heartbeat did not come round, though other messages did")]
    Deaf,
}

/// Watches a reader by the time that it spends waiting for bytes. Time in which it does something else, such as waiting
/// for room in the feed, says nothing about the link.
#[derive(Debug, Default)]
pub(super) struct Watch {
    waited: Duration,
}

impl Watch {
    /// How long the reader may wait for the next byte.
    pub(super) fn patience(&self) -> Duration {
        SILENCE.min(DEAFNESS.saturating_sub(self.waited))
    }

    /// Bytes came after the reader had waited for `waited`.
    pub(super) fn bytes(&mut self, waited: Duration) {
        self.waited = self.waited.saturating_add(waited);
    }

    /// One of the node's own heartbeats came round.
    pub(super) fn heartbeat(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// What it means that the reader has waited for [`patience`](Self::patience) without a byte.
    pub(super) fn verdict(&self) -> Dead {
        if self.patience() < SILENCE { Dead::Deaf } else { Dead::Silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_link_is_dead_after_three_heartbeats() {
        let watch = Watch::default();
        assert_eq!(watch.patience(), SILENCE);
        assert_eq!(watch.verdict(), Dead::Silent);
    }

    #[test]
    fn a_link_that_brings_only_others_messages_is_dead_later() {
        let mut watch = Watch::default();
        for _ in 0..4 {
            watch.bytes(SECOND);
        }
        assert_eq!(watch.patience(), SECOND);
        watch.bytes(SECOND);
        assert_eq!(watch.patience(), Duration::ZERO);
        assert_eq!(watch.verdict(), Dead::Deaf);
    }

    #[test]
    fn an_own_heartbeat_is_life() {
        let mut watch = Watch::default();
        for _ in 0..100 {
            watch.bytes(SECOND);
            watch.heartbeat();
            assert_eq!(watch.patience(), SILENCE);
        }
    }
}
