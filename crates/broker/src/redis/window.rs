//! Since when messages may have been lost.

use crate::Gap;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Remembers, from one link to the next, the last heartbeat that came round: when it was sent, since whatever Redis
/// took in later may have gone by.
#[derive(Debug, Default)]
pub(super) struct Window {
    last_round: Mutex<Option<Instant>>,
}

impl Window {
    /// What a link leaves behind that is made now; none if it is the first.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.lock().map(|since| Gap { duration: since.elapsed() })
    }

    /// A heartbeat came round, and the feed knows of every gap before it.
    pub(super) fn round(&self, sent: Instant) {
        *self.lock() = Some(sent);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
