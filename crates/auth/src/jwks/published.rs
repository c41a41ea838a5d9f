//! The keys that are in force, and tokens that wait for others.

use super::KeySet;
use crate::key::VerifyingKey;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};

/// How long a token may wait for the key that it names.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// How many tokens may wait at once. Others are refused, as anybody may name keys that there are not.
pub const MAX_WAITING: usize = 256;

/// Keys that were read from an address, and what is to be read.
///
/// A set replaces the one before: what it does not list is no key any more. As long as none can be had, the one before
/// stays.
#[derive(Debug)]
pub struct PublishedKeys {
    state: watch::Sender<State>,
    wanted: Notify,
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<[Arc<VerifyingKey>]>,
    /// Counts reads, whatever came of them.
    reads: u64,
}

impl Default for PublishedKeys {
    /// None yet.
    fn default() -> Self {
        Self { state: watch::Sender::default(), wanted: Notify::new(), waiting: Semaphore::new(MAX_WAITING) }
    }
}

impl PublishedKeys {
    /// Those of `set`, and never any others.
    pub fn fixed(set: KeySet) -> Self {
        let fixed = Self { waiting: Semaphore::new(0), ..Self::default() };
        fixed.replace(set);
        fixed
    }

    /// The keys are those of `set` from now on.
    pub fn replace(&self, set: KeySet) {
        self.state.send_modify(|state| {
            state.keys = set.keys;
            state.reads += 1;
        });
    }

    /// They could not be read; those before stay.
    pub fn keep(&self) {
        self.state.send_modify(|state| state.reads += 1);
    }

    /// Resolves when a token has named a key that is not known since this last resolved.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The key called `id`. One that is not known is waited for: for the next read, and [`PATIENCE`] at most.
    pub(crate) async fn find(&self, id: &str) -> Option<Arc<VerifyingKey>> {
        if let Some(known) = self.known(id) {
            return Some(known);
        }
        let _place = self.waiting.try_acquire().ok()?;
        let mut reads = self.state.subscribe();
        if let Some(known) = self.known(id) {
            return Some(known);
        }
        self.wanted.notify_one();
        // The sender is ours, so that only the time can fail.
        timeout(PATIENCE, reads.changed()).await.ok()?.ok()?;
        self.known(id)
    }

    fn known(&self, id: &str) -> Option<Arc<VerifyingKey>> {
        self.state.borrow().keys.iter().find(|key| key.id == id).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::jwks::set::tests::{ed25519, set_of};
    use futures_util::future::join_all;

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_waited_for_until_the_next_read() {
        let keys = Arc::new(PublishedKeys::default());
        let finds = ["a", "b"].map(|id| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { keys.find(id).await.is_some() })
        });
        keys.wanted().await;
        keys.replace(set_of(&[ed25519("a")]));
        let found = join_all(finds).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(found, [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_not_everybody_waits() {
        let keys = PublishedKeys::default();
        let begun = tokio::time::Instant::now();
        let (found, late) = tokio::join!(join_all((0..MAX_WAITING).map(|_| keys.find("a"))), async {
            let refused = keys.find("a").await.is_none();
            (refused, begun.elapsed())
        });
        assert!(found.iter().all(Option::is_none));
        assert_eq!((late, begun.elapsed()), ((true, Duration::ZERO), PATIENCE));
        let fixed = PublishedKeys::fixed(set_of(&[ed25519("a")]));
        assert!(fixed.find("a").await.is_some() && fixed.find("b").await.is_none());
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test]
    async fn a_set_replaces_the_one_before_and_a_failure_nothing() {
        let keys = PublishedKeys::fixed(set_of(&[ed25519("a"), ed25519("b")]));
        keys.keep();
        assert!(keys.find("a").await.is_some());
        keys.replace(set_of(&[ed25519("b")]));
        assert!(keys.find("a").await.is_none() && keys.find("b").await.is_some());
    }
}
