//! Whether the node wants connections.

use fanwire_broker::LinkState;
use serde::Serialize;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;

/// Whether the node wants connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    link: watch::Receiver<LinkState>,
    draining: Arc<AtomicBool>,
}

/// Why it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum NotReady {
    /// It is about to end.
    Draining,
    /// It has not had a working link to its broker since it started.
    Starting {
        /// How far it has come with the link, or what went wrong.
        detail: String,
    },
    /// It has lost its link to the broker.
    Broker {
        /// What is wrong with the link.
        detail: String,
    },
}

impl Readiness {
    /// Ready while `link` is up, until the drain begins.
    pub fn new(link: watch::Receiver<LinkState>) -> Self {
        Self { link, draining: Arc::default() }
    }

    /// Whether the node wants connections, and why not.
    pub fn check(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        match &*self.link.borrow() {
            LinkState::Up => Ok(()),
            LinkState::Starting(detail) => Err(NotReady::Starting { detail: detail.clone() }),
            LinkState::Down(detail) => Err(NotReady::Broker { detail: detail.clone() }),
        }
    }

    /// Whether the node has not had a link to its broker yet.
    pub fn is_starting(&self) -> bool {
        matches!(&*self.link.borrow(), LinkState::Starting(_))
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// The node is not ready from now on.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_is_ready_between_its_first_heartbeat_and_its_drain() {
        let (sender, link) = watch::channel(LinkState::Starting("connecting".to_owned()));
        let readiness = Readiness::new(link);
        assert_eq!(readiness.check(), Err(NotReady::Starting { detail: "connecting".to_owned() }));
        sender.send(LinkState::Up).unwrap();
        assert_eq!(readiness.check(), Ok(()));
        sender.send(LinkState::Down("reset".to_owned())).unwrap();
        assert_eq!(readiness.check(), Err(NotReady::Broker { detail: "reset".to_owned() }));
        readiness.drain();
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }
}
