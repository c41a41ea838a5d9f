//! What a connection is to get besides what is fanned out, at the pace at which it reads.

use crate::interest::Subscription;
use bytes::Bytes;
use fanwire_protocol::{ChannelName, Position};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// What became of joining a channel at a place.
#[derive(Debug)]
pub enum Joined {
    /// The connection gets everything behind the place. Also said where the connection ends, which its session notices.
    Live,
    /// What stands behind the place isn't kept any more, or belongs to another epoch: read on, and join from there.
    Behind(Subscription),
}

/// What a connection waits for, in order.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "nearly always there is none, and every connection has room for it")]
pub(crate) struct Recovery(Option<Box<VecDeque<Step>>>);

/// A part of a recovery.
#[derive(Debug)]
pub(crate) enum Step {
    /// Frames that go out as the connection takes them.
    Page(Page),
    /// Join what is fanned out.
    Join(Box<Join>),
}

/// A part of a history.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) frames: std::vec::IntoIter<Bytes>,
    pub(crate) done: oneshot::Sender<()>,
}

/// A wish to join at a place.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) what: Stream,
    pub(crate) place: Position,
    /// What is sent first, if it succeeds.
    pub(crate) answer: Option<Bytes>,
}

/// What is joined, and who wants to know how it went.
#[derive(Debug)]
pub(crate) enum Stream {
    Channel(Subscription, oneshot::Sender<Joined>),
    Broadcasts(oneshot::Sender<bool>),
}

impl Recovery {
    /// Whether there is nothing to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds a last step.
    pub(crate) fn push(&mut self, step: Step) {
        self.0.get_or_insert_default().push_back(step);
    }

    /// Puts back what was the first step.
    pub(crate) fn put_back(&mut self, step: Step) {
        self.0.get_or_insert_default().push_front(step);
    }

    /// Takes off the first step.
    pub(crate) fn pop(&mut self) -> Option<Step> {
        let steps = self.0.as_mut()?;
        let step = steps.pop_front();
        if steps.is_empty() {
            self.0 = None;
        }
        step
    }

    /// Ends all steps, since the connection ends.
    pub(crate) fn end(&mut self) {
        self.0.take().into_iter().flat_map(|steps| *steps).for_each(Step::end);
    }
}

impl Step {
    /// Resolves to whoever waits: the connection has ended.
    pub(crate) fn end(self) {
        match self {
            Self::Page(page) => page.done(),
            Self::Join(join) => drop(join.what.joined()),
        }
    }
}

impl Page {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.done.is_closed()
    }

    /// Says that all of it is out, or that the connection has ended.
    pub(crate) fn done(self) {
        // Whoever doesn't wait any more needs no answer.
        let _ = self.done.send(());
    }
}

impl Stream {
    /// The channel; `None` for the broadcasts.
    pub(crate) fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Channel(subscription, _) => Some(subscription.channel()),
            Self::Broadcasts(_) => None,
        }
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        match self {
            Self::Channel(_, reply) => reply.is_closed(),
            Self::Broadcasts(reply) => reply.is_closed(),
        }
    }

    /// Says that it is joined, or that the connection has ended. Gives back the subscription, for as long as it is.
    pub(crate) fn joined(self) -> Option<Subscription> {
        match self {
            Self::Channel(subscription, reply) => {
                drop(reply.send(Joined::Live));
                Some(subscription)
            }
            Self::Broadcasts(reply) => {
                let _ = reply.send(true);
                None
            }
        }
    }

    /// Says that it can't be joined from there.
    pub(crate) fn behind(self) {
        match self {
            Self::Channel(subscription, reply) => drop(reply.send(Joined::Behind(subscription))),
            Self::Broadcasts(reply) => _ = reply.send(false),
        }
    }
}
