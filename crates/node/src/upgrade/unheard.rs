//! Connections whose request is still to come.
//!
//! They have a place each, and have done nothing for it. Where there are too many the oldest makes way: a client that
//! means it has said everything within a few round trips, those that don't are the oldest before long.

use crate::metrics::UpgradeResult;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// So many may come at once to any node.
const FEW: usize = 64;

/// Those that are there, at most so many.
#[derive(Debug)]
pub(crate) struct Unheard {
    limit: usize,
    entered: Mutex<Entered>,
}

#[derive(Debug, Default)]
struct Entered {
    next: u64,
    /// By age; who is dropped here has to leave.
    all: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Unheard {
    /// Those of a node with so many `connections`: at most `limit`, and half of the connections unless these are few.
    pub(crate) fn of(connections: usize, limit: usize) -> Arc<Self> {
        Self::new(limit.min((connections / 2).max(FEW)))
    }

    /// At most `limit`, and at least one.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), entered: Mutex::default() })
    }

    /// One more, which waits no longer than until `deadline`.
    pub(super) fn enter(self: &Arc<Self>, deadline: Instant) -> Turn {
        let (stay, leave) = oneshot::channel();
        let number = self.with(|entered| {
            if entered.all.len() >= self.limit {
                entered.all.pop_first();
            }
            entered.next += 1;
            entered.all.insert(entered.next, stay);
            entered.next
        });
        Turn { number, deadline, leave, unheard: Arc::clone(self) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Entered) -> T) -> T {
        change(&mut self.entered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The place of one of them; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    deadline: Instant,
    leave: oneshot::Receiver<()>,
    unheard: Arc<Unheard>,
}

impl Turn {
    /// What comes of `heard`.
    ///
    /// # Errors
    ///
    /// When it took too long, or this one has to make way. It must not wait again then.
    pub(super) async fn wait<T>(&mut self, heard: impl Future<Output = T>) -> Result<T, UpgradeResult> {
        tokio::select! {
            biased;
            heard = timeout_at(self.deadline, heard) => heard.map_err(|_| UpgradeResult::TimedOut),
            _ = &mut self.leave => Err(UpgradeResult::HandshakeLimit),
        }
    }

    /// It makes no more way for others. By when all else must be done.
    pub(super) fn heard(self) -> Instant {
        self.deadline
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.unheard.with(|entered| entered.all.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};

    #[test]
    fn half_of_the_connections_are_for_those_that_were_heard() {
        let limit = |connections, limit| Unheard::of(connections, limit).limit;
        assert_eq!([limit(20_000, 10_001), limit(20_000, 9_999), limit(30, 10_000)], [10_000, 9_999, FEW]);
        assert_eq!([limit(30, 5), limit(30, 0)], [5, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_way() {
        let unheard = Unheard::new(2);
        let deadline = Instant::now() + Duration::from_secs(10);
        let (mut first, mut second) = (unheard.enter(deadline), unheard.enter(deadline));
        assert_eq!(first.wait(async {}).await, Ok(()));
        let third = unheard.enter(deadline);
        assert_eq!(first.wait(pending::<()>()).await, Err(UpgradeResult::HandshakeLimit));
        drop((first, third));
        let _fourth = unheard.enter(deadline);
        assert_eq!(second.wait(pending::<()>()).await, Err(UpgradeResult::TimedOut));
        assert_eq!(Instant::now(), deadline);
        drop(second);
        assert_eq!(unheard.with(|entered| entered.all.len()), 1);
    }
}
