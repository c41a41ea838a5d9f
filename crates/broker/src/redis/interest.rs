//! What this node wants to hear, shared by those who want and the link that provides.

use crate::{
    SubscribeError,
    metrics::RedisMetrics,
    redis::{
        names::Name,
        subscriptions::{Batch, Subscribed, Subscriptions, WaiterId},
    },
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

/// How many names one SUBSCRIBE holds at most.
const MAX_BATCH: usize = 256;

type Answer = Result<(), SubscribeError>;

/// [`Subscriptions`] behind a lock that is held for moments only, never while waiting.
#[derive(Debug)]
pub(super) struct Interest {
    subscriptions: Mutex<Subscriptions<oneshot::Sender<Answer>>>,
    work: Notify,
    settled: Notify,
    metrics: Arc<RedisMetrics>,
}

impl Interest {
    pub(super) fn new(always: impl IntoIterator<Item = Name>, metrics: Arc<RedisMetrics>) -> Self {
        Self {
            subscriptions: Mutex::new(Subscriptions::new(always)),
            work: Notify::new(),
            settled: Notify::new(),
            metrics,
        }
    }

    /// Registers a wish at once; the future resolves when Redis has confirmed it, or by `deadline`.
    pub(super) fn subscribe<F>(
        self: &Arc<Self>,
        name: Name,
        deadline: Instant,
        refusal: F,
    ) -> impl Future<Output = Answer> + Send + 'static + use<F>
    where
        F: FnOnce() -> SubscribeError,
    {
        let (answer, answered) = oneshot::channel();
        let outcome = match self.change(|subscriptions| subscriptions.subscribe(&name, answer)) {
            Subscribed::Already(_) => Err(Ok(())),
            Subscribed::Refused(_) => Err(Err(refusal())),
            Subscribed::Waiting(id) => Ok(Waiter { interest: Arc::clone(self), name, id }),
        };
        async move {
            let _gives_up_when_dropped = match outcome {
                Ok(waiter) => waiter,
                Err(answer) => return answer,
            };
            match timeout_at(deadline, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(SubscribeError::Timeout),
            }
        }
    }

    pub(super) fn unsubscribe(&self, name: &Name) {
        let waiters = self.change(|subscriptions| subscriptions.unsubscribe(name));
        answer(waiters, &Err(SubscribeError::Unavailable("it was unsubscribed before Redis confirmed it".to_owned())));
    }

    pub(super) fn link_made(&self) {
        self.change(Subscriptions::link_made);
    }

    pub(super) fn accept(&self) {
        self.change(Subscriptions::accept);
    }

    pub(super) fn link_lost(&self) {
        let waiters = self.change(Subscriptions::link_lost);
        answer(waiters, &Err(SubscribeError::Unavailable("the link to Redis ended".to_owned())));
    }

    pub(super) fn confirmed(&self, name: &str, subscribed: bool) {
        answer(self.change(|subscriptions| subscriptions.confirmed(name, subscribed)), &Ok(()));
    }

    /// What to send next; waits until there is something.
    pub(super) async fn next_batch(&self) -> Batch {
        loop {
            let batch = self.lock().next_batch(MAX_BATCH);
            if !batch.is_empty() {
                return batch;
            }
            self.announce(&self.lock());
            self.work.notified().await;
        }
    }

    /// Waits until all that is desired is so.
    pub(super) async fn settled(&self) {
        while !self.lock().is_settled() {
            self.settled.notified().await;
        }
    }

    fn change<T>(&self, apply: impl FnOnce(&mut Subscriptions<oneshot::Sender<Answer>>) -> T) -> T {
        let mut subscriptions = self.lock();
        let outcome = apply(&mut subscriptions);
        self.announce(&subscriptions);
        outcome
    }

    fn announce(&self, subscriptions: &Subscriptions<oneshot::Sender<Answer>>) {
        self.metrics.subscriptions.set(i64::try_from(subscriptions.count()).unwrap_or(i64::MAX));
        if subscriptions.has_work() {
            self.work.notify_one();
        }
        if subscriptions.is_settled() {
            self.settled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscriptions<oneshot::Sender<Answer>>> {
        // Nothing that runs under the lock leaves a change half made when it panics, as nothing there does.
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(waiters: Vec<oneshot::Sender<Answer>>, answer: &Answer) {
    for waiter in waiters {
        // One who has gone needs no answer.
        let _ = waiter.send(answer.clone());
    }
}

/// A place in the list of those who wait.
struct Waiter {
    interest: Arc<Interest>,
    name: Name,
    id: WaiterId,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.interest.change(|subscriptions| subscriptions.cancel(&self.name, self.id));
    }
}

#[cfg(test)]
mod tests;
