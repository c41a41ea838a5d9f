//! The task that makes the broker have what is wanted, and shows that the node lives.

use super::{Presence, book::Batch};
use crate::{Namespaces, metrics::Metrics, time::unix_micros};
use fanwire_broker::{Broker, Changed, Changes, DeadNode, LinkState, ReadError, Removed, Shown, Standing};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// How many batches are under way at once.
const AT_ONCE: usize = 8;

/// From one sign of life to the next.
const SIGNS: Duration = Duration::from_secs(2);

/// How long nothing is begun after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// How many dead nodes may wait to have their members removed. Others will be told of those beyond.
const DEAD: usize = 64;

/// What the keeper works with.
pub(crate) struct Keeper {
    presence: Arc<Presence>,
    broker: Arc<dyn Broker>,
    namespaces: Arc<Namespaces>,
    metrics: Metrics,
    link: watch::Receiver<LinkState>,
    paused_until: Option<Instant>,
    batches: FuturesUnordered<BoxFuture<'static, Done>>,
    sign: Option<BoxFuture<'static, Result<Shown, ReadError>>>,
    dead: VecDeque<DeadNode>,
    removal: Option<BoxFuture<'static, Result<Removed, ReadError>>>,
}

/// A batch, and what became of it.
type Done = (Batch, Result<Changed, ReadError>);

impl Keeper {
    pub(crate) fn new(
        presence: Arc<Presence>,
        broker: Arc<dyn Broker>,
        namespaces: Arc<Namespaces>,
        metrics: Metrics,
    ) -> Self {
        Self {
            presence,
            link: broker.link(),
            broker,
            namespaces,
            metrics,
            paused_until: None,
            batches: FuturesUnordered::new(),
            sign: None,
            dead: VecDeque::new(),
            removal: None,
        }
    }

    /// Works as long as the node does. Every wish is carried out when the link allows; nothing is given up.
    pub(crate) async fn run(mut self) {
        let presence = Arc::clone(&self.presence);
        let mut signs = interval(SIGNS);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.begin();
            tokio::select! {
                Some(done) = self.batches.next() => self.take_done(done),
                shown = under_way(&mut self.sign) => self.take_shown(shown),
                removed = under_way(&mut self.removal) => self.take_removed(removed),
                _ = signs.tick(), if self.sign.is_none() => self.sign = Some(self.broker.show_life()),
                is_up = link_changed(&mut self.link) => {
                    if is_up {
                        signs.reset_immediately();
                    } else {
                        self.presence.shown.send_replace(false);
                    }
                }
                () = at(self.paused_until) => self.paused_until = None,
                () = presence.work.notified() => {}
            }
        }
    }

    /// Begins what may begin.
    fn begin(&mut self) {
        while *self.presence.shown.borrow()
            && self.paused_until.is_none()
            && self.batches.len() < AT_ONCE
            && let Some(batch) = self.take_batch()
        {
            let told = self.namespaces.of(&batch.channel).is_some_and(|namespace| namespace.join_leave);
            let (channel, changes) = (batch.channel.clone(), batch.changes.clone());
            let changed = self.broker.change_members(Changes { channel, changes, told, at: unix_micros() });
            self.batches.push(changed.map(|outcome| (batch, outcome)).boxed());
        }
        if self.removal.is_none() {
            self.removal = self.dead.pop_front().map(|dead| self.broker.remove_members(dead, unix_micros()));
        }
    }

    fn take_batch(&self) -> Option<Batch> {
        let mut book = self.presence.book();
        let batch = book.take();
        if book.is_empty() {
            self.presence.settled.notify_waiters();
        }
        batch
    }

    fn take_done(&mut self, (batch, outcome): Done) {
        let failed = outcome.as_ref().err();
        if let Some(error) = failed {
            self.fail("members could not be changed", error);
        }
        outcome.iter().for_each(|changed| self.metrics.changed(&batch.channel, changed));
        let mut book = self.presence.book();
        book.done(batch, failed.is_none());
        if book.is_empty() {
            self.presence.settled.notify_waiters();
        }
    }

    fn take_shown(&mut self, shown: Result<Shown, ReadError>) {
        let Shown { standing, dead } = match shown {
            Ok(shown) => shown,
            Err(error) => {
                self.presence.shown.send_replace(false);
                return self.fail("the node could not show that it lives", &error);
            }
        };
        match standing {
            Standing::Kept => {}
            Standing::Lost => self.presence.book().lost(),
            Standing::Removed => {
                tracing::warn!("the node was silent for too long, and its members were removed; they come back now");
                self.presence.book().removed();
            }
        }
        // Of several servers the one that knows who lives has answered; the others, those find out whom they fail.
        self.presence.shown.send_replace(true);
        self.dead.extend(dead);
        self.dead.truncate(DEAD);
    }

    fn take_removed(&mut self, removed: Result<Removed, ReadError>) {
        match removed {
            Ok(Removed { members, leases }) => {
                tracing::info!(members, leases, "removed the members of a node that is dead");
                self.metrics.presence.removed(members);
                self.metrics.leases.removed(leases);
            }
            Err(error) => self.fail("members of a dead node could not be removed", &error),
        }
    }

    fn fail(&mut self, what: &'static str, error: &ReadError) {
        self.metrics.presence.failed();
        self.paused_until = Some(Instant::now() + PAUSE);
        tracing::debug!(%error, "{what}");
    }
}

/// What is under way; pending for ever where there is nothing.
async fn under_way<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    let outcome = match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    };
    *future = None;
    outcome
}

/// Whether the link is up, when that has changed.
async fn link_changed(link: &mut watch::Receiver<LinkState>) -> bool {
    match link.changed().await {
        Ok(()) => *link.borrow_and_update() == LinkState::Up,
        // The broker has gone, and with it the node.
        Err(_) => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
