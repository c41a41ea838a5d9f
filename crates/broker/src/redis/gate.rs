//! The way from those who ask to what works for the link that is up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Open while the link is up. Each link has a queue of its own, so that nothing waits in one from link to link.
#[derive(Debug)]
pub(super) struct Gate<T> {
    queue: Mutex<Option<mpsc::Sender<T>>>,
}

impl<T> Gate<T> {
    /// Opens a queue for `capacity` things and returns its end.
    pub(super) fn open(&self, capacity: usize) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel(capacity);
        *self.lock() = Some(sender);
        receiver
    }

    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// The queue, where there is one.
    pub(super) fn queue(&self) -> Option<mpsc::Sender<T>> {
        self.lock().clone()
    }

    /// Whether `queue` is the one.
    pub(super) fn is(&self, queue: &mpsc::Sender<T>) -> bool {
        self.lock().as_ref().is_some_and(|own| own.same_channel(queue))
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<T>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Self { queue: Mutex::new(None) }
    }
}
