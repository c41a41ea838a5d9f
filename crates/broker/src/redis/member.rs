//! One server of those that join the nodes.

use crate::{
    LinkState,
    metrics::RedisMetrics,
    redis::{
        asking::Asking, gate::Gate, interest::Interest, job::Job, names::Name, publisher::Withdraw, window::Window,
    },
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Tells members apart, also from those that there were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MemberId(pub(super) u32);

/// What those who use a server, and the link to it, have in common.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// Where it is, for people, if it is one of several.
    pub(super) place: Option<String>,
    /// The name of this node's heartbeats there.
    heartbeat: Mutex<Name>,
    pub(super) link: watch::Sender<LinkState>,
    pub(super) gate: Gate<Job>,
    pub(super) withdrawals: Gate<Withdraw>,
    pub(super) queries: Gate<Asking>,
    pub(super) interest: Arc<Interest>,
    pub(super) window: Window,
    pub(super) metrics: Arc<RedisMetrics>,
}

impl Member {
    pub(super) fn new(
        id: MemberId,
        place: Option<String>,
        heartbeat: Name,
        interest: &Arc<Interest>,
        metrics: &Arc<RedisMetrics>,
    ) -> Arc<Self> {
        if let Some(place) = &place {
            metrics.server_up(place, false);
        }
        Arc::new(Self {
            id,
            place,
            heartbeat: Mutex::new(heartbeat),
            link: watch::Sender::new(LinkState::Starting("not yet connected to Redis".to_owned())),
            gate: Gate::default(),
            withdrawals: Gate::default(),
            queries: Gate::default(),
            interest: Arc::clone(interest),
            window: Window::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// The state of the link when it, or an attempt to make it, has ended because of `reason`.
    pub(super) fn link_after(&self, reason: &str) -> LinkState {
        self.link.borrow().ended(reason.to_owned())
    }

    pub(super) fn set_link(&self, state: LinkState) {
        if let Some(place) = &self.place {
            self.metrics.server_up(place, state == LinkState::Up);
        }
        self.link.send_replace(state);
    }

    pub(super) fn is_up(&self) -> bool {
        *self.link.borrow() == LinkState::Up
    }

    /// It is not one any more, and has no link.
    pub(super) fn leave(&self) {
        self.interest.leave(self.id);
        if let Some(place) = &self.place {
            self.metrics.server_gone(place);
        }
    }

    /// The name of this node's heartbeats.
    pub(super) fn heartbeat(&self) -> Name {
        self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Heartbeats have this name from now on.
    pub(super) fn rename_heartbeat(&self, name: Name) {
        *self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// Why it can't be used, with its name; `None` while it can.
    pub(super) fn trouble(&self) -> Option<String> {
        let state = self.link.borrow();
        let (LinkState::Starting(reason) | LinkState::Down(reason)) = &*state else { return None };
        Some(self.place.as_ref().map_or_else(|| reason.clone(), |place| format!("{place}: {reason}")))
    }
}
