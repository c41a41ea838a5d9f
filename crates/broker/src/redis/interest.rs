//! What this node wants to hear, shared by those who want and the link that provides.

use crate::{
    SubscribeError,
    metrics::RedisMetrics,
    partition::{Partition, Partitions},
    redis::{
        member::MemberId,
        names::Name,
        subscriptions::{Batch, Confirmed, Owner, Subscribed, Subscriptions, WaiterId},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
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
    state: Mutex<State>,
    metrics: Arc<RedisMetrics>,
}

#[derive(Debug)]
struct State {
    subscriptions: Subscriptions<oneshot::Sender<Answer>>,
    bells: BTreeMap<MemberId, Arc<Bells>>,
}

/// Rung for those who work for one server.
#[derive(Debug, Default)]
struct Bells {
    work: Notify,
    settled: Notify,
}

impl Interest {
    pub(super) fn new(always: impl IntoIterator<Item = (Name, Partition)>, metrics: Arc<RedisMetrics>) -> Self {
        let state = State { subscriptions: Subscriptions::new(always), bells: BTreeMap::new() };
        Self { state: Mutex::new(state), metrics }
    }

    /// Registers a wish at once; the future resolves when Redis has confirmed it, or by `deadline`.
    pub(super) fn subscribe<F>(
        self: &Arc<Self>,
        name: Name,
        partition: Partition,
        deadline: Instant,
        refusal: F,
    ) -> impl Future<Output = Answer> + Send + 'static + use<F>
    where
        F: FnOnce() -> SubscribeError,
    {
        let (answer, answered) = oneshot::channel();
        let outcome = match self.change(|subscriptions| subscriptions.subscribe(&name, partition, answer)) {
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

    pub(super) fn link_made(&self, member: MemberId, own: Name) {
        self.lock().bells.entry(member).or_default();
        self.change(|subscriptions| subscriptions.link_made(member, own));
    }

    pub(super) fn accept(&self, member: MemberId) {
        self.change(|subscriptions| subscriptions.accept(member));
    }

    pub(super) fn link_lost(&self, member: MemberId) {
        let waiters = self.change(|subscriptions| subscriptions.link_lost(member));
        answer(waiters, &Err(SubscribeError::Unavailable("the link to Redis ended".to_owned())));
    }

    /// The server is not one of those that join the nodes any more, and there is no link to it.
    pub(super) fn leave(&self, member: MemberId) {
        self.lock().bells.remove(&member);
        self.change(|subscriptions| subscriptions.leave(member));
    }

    /// What is about `member` alone is called `new` from now on.
    pub(super) fn rename(&self, member: MemberId, old: &Name, new: &Name) {
        self.change(|subscriptions| subscriptions.rename(member, old, new));
    }

    /// Whether nothing but what is about `member` alone is subscribed there.
    pub(super) fn is_vacant(&self, member: MemberId) -> bool {
        self.lock().subscriptions.is_vacant(member)
    }

    /// See [`Subscriptions::reroute`].
    pub(super) fn reroute(&self, to: impl Fn(Partition) -> Owner) -> Partitions {
        let (held, waiters) = self.change(|subscriptions| subscriptions.reroute(to));
        answer(waiters, &Ok(()));
        held
    }

    /// Whether `member` turned out not to have the name any more.
    pub(super) fn confirmed(&self, member: MemberId, name: &str, subscribed: bool) -> bool {
        match self.change(|subscriptions| subscriptions.confirmed(member, name, subscribed)) {
            Confirmed::Moved => true,
            Confirmed::Answers(waiters) => {
                answer(waiters, &Ok(()));
                false
            }
        }
    }

    /// `member` has answered a PING.
    pub(super) fn pong(&self, member: MemberId) {
        self.change(|subscriptions| subscriptions.pong(member));
    }

    /// `member` does not have `slot` any more.
    pub(super) fn refused(&self, member: MemberId, slot: u16) {
        self.change(|subscriptions| subscriptions.refused(member, slot));
    }

    /// What to send to `member` next; waits until there is something.
    pub(super) async fn next_batch(&self, member: MemberId) -> Batch {
        loop {
            let bells = {
                let mut state = self.lock();
                let batch = state.subscriptions.next_batch(member, MAX_BATCH);
                if !batch.is_empty() {
                    return batch;
                }
                self.announce(&state);
                Arc::clone(state.bells.entry(member).or_default())
            };
            bells.work.notified().await;
        }
    }

    /// Waits until all that is desired of `member` is so.
    pub(super) async fn settled(&self, member: MemberId) {
        loop {
            let bells = {
                let mut state = self.lock();
                if state.subscriptions.is_settled(member) {
                    return;
                }
                Arc::clone(state.bells.entry(member).or_default())
            };
            bells.settled.notified().await;
        }
    }

    /// Whether all that is desired of `member` is so, and nothing is on its way there.
    pub(super) fn has_arrived(&self, member: MemberId) -> bool {
        self.lock().subscriptions.has_arrived(member)
    }

    fn change<T>(&self, apply: impl FnOnce(&mut Subscriptions<oneshot::Sender<Answer>>) -> T) -> T {
        let mut state = self.lock();
        let outcome = apply(&mut state.subscriptions);
        self.announce(&state);
        outcome
    }

    fn announce(&self, State { subscriptions, bells }: &State) {
        self.metrics.subscriptions.set(i64::try_from(subscriptions.count()).unwrap_or(i64::MAX));
        for (member, bells) in bells {
            if subscriptions.has_work(*member) {
                bells.work.notify_one();
            }
            if subscriptions.is_settled(*member) {
                bells.settled.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves a change half made when it panics, as nothing there does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
