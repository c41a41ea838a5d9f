//! Whether the node wants connections.

use crate::Namespaces;
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
    /// Whether new connections can be told where the broadcasts stand, or need not be.
    placed: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

/// Why it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum NotReady {
    /// It is about to end.
    Draining,
    /// It has not had a working link to its broker since it started, or not yet read where the broadcasts stand.
    Starting {
        /// How far it has come, or what went wrong.
        detail: String,
    },
    /// It has lost its link to the broker.
    Broker {
        /// What is wrong with the link.
        detail: String,
    },
}

impl Readiness {
    /// Ready while `link` is up, until the drain begins; where broadcasts have a history, not before their place was
    /// read.
    pub fn new(link: watch::Receiver<LinkState>, namespaces: &Namespaces) -> Self {
        let placed = Arc::new(AtomicBool::new(namespaces.broadcast.is_none()));
        Self { link, placed, draining: Arc::default() }
    }

    /// Whether the node wants connections, and why not.
    pub fn check(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        let (link, placed) = (&*self.link.borrow(), self.placed.load(Relaxed));
        match link {
            LinkState::Up if placed => Ok(()),
            LinkState::Up => Err(NotReady::Starting { detail: "reading where the broadcasts stand".to_owned() }),
            LinkState::Down(detail) if placed => Err(NotReady::Broker { detail: detail.clone() }),
            LinkState::Starting(detail) | LinkState::Down(detail) => Err(NotReady::Starting { detail: detail.clone() }),
        }
    }

    /// Whether the node has not had a link to its broker yet, or could not have told a connection where the broadcasts
    /// stand.
    pub fn is_starting(&self) -> bool {
        !self.placed.load(Relaxed) || matches!(&*self.link.borrow(), LinkState::Starting(_))
    }

    /// Every connection is told from now on where the broadcasts stand.
    pub(crate) fn placed(&self) {
        self.placed.store(true, Relaxed);
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
    use crate::testing::namespaces;

    #[test]
    fn a_node_is_ready_between_its_first_heartbeat_and_its_drain() {
        let (sender, link) = watch::channel(LinkState::Starting("connecting".to_owned()));
        let readiness = Readiness::new(link, &namespaces(0));
        assert_eq!(readiness.check(), Err(NotReady::Starting { detail: "connecting".to_owned() }));
        sender.send(LinkState::Up).unwrap();
        assert_eq!(readiness.check(), Ok(()));
        sender.send(LinkState::Down("reset".to_owned())).unwrap();
        assert_eq!(readiness.check(), Err(NotReady::Broker { detail: "reset".to_owned() }));
        readiness.drain();
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }

    #[test]
    fn a_node_starts_until_it_knows_where_the_broadcasts_stand() {
        let (sender, link) = watch::channel(LinkState::Up);
        let readiness = Readiness::new(link, &namespaces(100));
        let starting = |detail: &str| Err(NotReady::Starting { detail: detail.to_owned() });
        assert_eq!(readiness.check(), starting("reading where the broadcasts stand"));
        sender.send(LinkState::Down("reset".to_owned())).unwrap();
        assert_eq!(readiness.check(), starting("reset"));
        assert!(readiness.is_starting());
        readiness.placed();
        assert_eq!(readiness.check(), Err(NotReady::Broker { detail: "reset".to_owned() }));
        assert!(!readiness.is_starting());
    }
}
