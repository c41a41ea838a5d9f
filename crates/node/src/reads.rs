//! Reads of histories that many want at the same time.

use fanwire_broker::{Broker, Page, Query, ReadError, Retention};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The outcome of a read.
pub(crate) type Outcome = Result<Arc<Page>, ReadError>;

type UnderWay = BoxFuture<'static, Outcome>;

/// The reads under way. Whoever asks for what is being read waits for the same answer.
///
/// It may have been read before it was asked for, by as long as a read takes: who needs what is newer reads again.
#[derive(Clone)]
pub(crate) struct Reads {
    broker: Arc<dyn Broker>,
    under_way: Arc<Mutex<HashMap<Query, WeakShared<UnderWay>>>>,
}

impl Reads {
    /// Reads through `broker`.
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, under_way: Arc::default() }
    }

    /// What `query` asks for. A read that nobody waits for any more is given up.
    pub(crate) fn read(&self, query: Query, retention: Retention) -> Shared<UnderWay> {
        let mut under_way = lock(&self.under_way);
        if let Some(shared) = under_way.get(&query).and_then(WeakShared::upgrade) {
            return shared;
        }
        let entry = Entry { under_way: Arc::clone(&self.under_way), query: query.clone() };
        let read = self.broker.history(query.clone(), retention);
        let shared = async move {
            let _entry = entry;
            read.await.map(Arc::new)
        };
        let shared = shared.boxed().shared();
        under_way.extend(shared.downgrade().map(|weak| (query, weak)));
        shared
    }
}

/// A read's place among those under way; ends with it.
struct Entry {
    under_way: Arc<Mutex<HashMap<Query, WeakShared<UnderWay>>>>,
    query: Query,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The entry may be that of a later read already, which then is shared with nobody more: no harm.
        lock(&self.under_way).remove(&self.query);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
