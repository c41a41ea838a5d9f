//! Doubts about which server has what.

use crate::redis::{
    asking::Unanswered,
    redirect::{Again, Redirect},
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How those who work for a link tell that something has moved, and the one who can find out is woken. A broker that
/// has one server has nobody who listens.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    hint: Mutex<Option<Redirect>>,
    raised: Notify,
}

impl Doubt {
    /// Something is not where it was thought to be.
    pub(super) fn raise(&self) {
        self.raised.notify_one();
    }

    /// A server says where something is.
    pub(super) fn hint(&self, redirect: Redirect) {
        *self.lock() = Some(redirect);
        self.raise();
    }

    /// A server has done nothing, `again` says why; whoever asked it asks the one that is found out.
    pub(super) fn about(&self, again: Again) -> Unanswered {
        match again {
            Again::Elsewhere(redirect) => self.hint(redirect),
            Again::Later | Again::Unknown => self.raise(),
        }
        Unanswered::Elsewhere
    }

    /// Waits until there is a doubt.
    pub(super) async fn raised(&self) {
        self.raised.notified().await;
    }

    /// What a server said last.
    pub(super) fn take_hint(&self) -> Option<Redirect> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Redirect>> {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
