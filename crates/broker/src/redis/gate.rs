//! The way from those who publish to the publisher of the link that is up.

use crate::redis::{job::Job, publisher::QUEUE};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Open while the link is up. Each link has a queue of its own, so that nothing waits in one from link to link.
#[derive(Debug, Default)]
pub(super) struct Gate {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
}

impl Gate {
    /// Opens a queue and returns its end.
    pub(super) fn open(&self) -> mpsc::Receiver<Job> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        *self.lock() = Some(sender);
        receiver
    }

    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// The queue, where there is one.
    pub(super) fn queue(&self) -> Option<mpsc::Sender<Job>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
