//! Places of connections among those that their user may have, on all nodes together.

use super::{Answer, Presence};
use crate::{metrics::LeaseMetrics, users::NoPlace};
use fanwire_broker::{Broker, Lease, LinkState, ReadError};
use fanwire_protocol::{ChannelName, ConnectionId, UserId};
use prometheus::IntGauge;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a connection waits to be told whether there is a place for it.
const WITHIN: Duration = Duration::from_millis(500);

/// How many connections a user may have on all nodes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Everywhere {
    /// How many.
    pub limit: usize,
    /// What becomes of another one when nobody knows how many there are.
    pub when_unknown: WhenUnknown,
}

/// What becomes of a connection when the broker does not say in time how many its user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnknown {
    /// It is let in, and counts as soon as the broker can be told.
    Allow,
    /// It is refused.
    Refuse,
}

/// Gives places, and holds leases of them at the broker.
pub(crate) struct Leases {
    presence: Arc<Presence>,
    broker: Arc<dyn Broker>,
    everywhere: Everywhere,
    metrics: LeaseMetrics,
}

impl Leases {
    pub(crate) fn new(
        presence: Arc<Presence>,
        broker: Arc<dyn Broker>,
        everywhere: Everywhere,
        metrics: LeaseMetrics,
    ) -> Self {
        Self { presence, broker, everywhere, metrics }
    }

    /// A place for a connection of `user`, of whom this node has `here` already, within 500 ms.
    ///
    /// # Errors
    ///
    /// There is none left; or nobody knows, and it is to be refused then.
    pub(crate) async fn take(
        &self,
        user: &UserId,
        connection: ConnectionId,
        here: usize,
    ) -> Result<HeldLease, NoPlace> {
        let Everywhere { limit, when_unknown } = self.everywhere;
        if here >= limit {
            // So many there are, whatever the broker knows.
            self.metrics.asked(&Ok(false));
            return Err(NoPlace::Everywhere);
        }
        let lease = Lease { user: user.clone(), connection, limit };
        let mut question = Question::begin(&self.presence, &lease);
        let granted = timeout(WITHIN, self.ask(lease)).await.unwrap_or(Err(ReadError::Timeout));
        self.metrics.asked(&granted);
        let (answer, outcome) = match (granted, when_unknown) {
            (Ok(true), _) => (Answer::Granted, Ok(())),
            (Ok(false), _) => (Answer::Full, Err(NoPlace::Everywhere)),
            (Err(_), WhenUnknown::Allow) => (Answer::Kept, Ok(())),
            (Err(_), WhenUnknown::Refuse) => (Answer::GivenUp, Err(NoPlace::Unknown)),
        };
        question.answer = answer;
        outcome.map(|()| question.held(self.metrics.held.clone()))
    }

    async fn ask(&self, lease: Lease) -> Result<bool, ReadError> {
        if !*self.presence.shown.borrow() && *self.broker.link().borrow() != LinkState::Up {
            return Err(ReadError::Unavailable("the link to the broker is down".to_owned()));
        }
        // Before that nobody would give the place back if this node died.
        let _ = self.presence.shown.subscribe().wait_for(|shown| *shown).await;
        self.broker.lease(lease).await
    }
}

/// A question for a lease that is under way; unless it is answered before this is dropped, it is given up.
struct Question<'a> {
    presence: &'a Arc<Presence>,
    channel: ChannelName,
    connection: ConnectionId,
    answer: Answer,
}

impl<'a> Question<'a> {
    fn begin(presence: &'a Arc<Presence>, lease: &Lease) -> Self {
        let channel = lease.channel();
        presence.book().ask(&channel, lease.member());
        Self { presence, channel, connection: lease.connection, answer: Answer::GivenUp }
    }

    fn held(&self, count: IntGauge) -> HeldLease {
        count.inc();
        let (presence, channel) = (Arc::clone(self.presence), self.channel.clone());
        HeldLease { presence, channel, connection: self.connection, count }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.presence.answered(&self.channel, self.connection, self.answer);
    }
}

/// A connection's place among those of its user: given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldLease {
    presence: Arc<Presence>,
    channel: ChannelName,
    connection: ConnectionId,
    count: IntGauge,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.count.dec();
        self.presence.give_up(&self.channel, self.connection);
    }
}

#[cfg(test)]
mod tests;
