//! Whether the node wants connections.

use crate::Namespaces;
use fanwire_broker::LinkState;
use serde::Serialize;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::watch;

/// Whether the node wants connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    link: watch::Receiver<LinkState>,
    /// What the node can't welcome a connection without, and how far it is with that.
    needs: Arc<Mutex<Vec<(Need, String)>>>,
    draining: Arc<AtomicBool>,
}

/// What a node must have read before it can welcome a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Where the broadcasts stand.
    Broadcasts,
    /// Which tokens were revoked.
    Revocations,
    /// The keys of tokens that others publish.
    Keys,
}

impl Need {
    fn detail(self) -> &'static str {
        match self {
            Self::Broadcasts => "reading where the broadcasts stand",
            Self::Revocations => "reading which tokens were revoked",
            Self::Keys => "reading auth.jwks",
        }
    }
}

/// Why it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum NotReady {
    /// It is about to end.
    Draining,
    /// It has not had a working link to its broker since it started, or not yet read something without which it can
    /// welcome nobody.
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
        let readiness = Self { link, needs: Arc::default(), draining: Arc::default() };
        if namespaces.broadcast.is_some() {
            readiness.needs(Need::Broadcasts);
        }
        readiness
    }

    /// Whether the node wants connections, and why not.
    pub fn check(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        let lacks = self.lock().first().map(|(_, detail)| detail.clone());
        match (&*self.link.borrow(), lacks) {
            (LinkState::Up, None) => Ok(()),
            (LinkState::Up, Some(detail)) => Err(NotReady::Starting { detail }),
            (LinkState::Down(detail), None) => Err(NotReady::Broker { detail: detail.clone() }),
            (LinkState::Starting(detail) | LinkState::Down(detail), _) => {
                Err(NotReady::Starting { detail: detail.clone() })
            }
        }
    }

    /// Whether the node has not had a link to its broker yet, or not all that it needs to welcome a connection.
    pub fn is_starting(&self) -> bool {
        !self.lock().is_empty() || matches!(&*self.link.borrow(), LinkState::Starting(_))
    }

    /// The node welcomes nobody without `need`.
    pub(crate) fn needs(&self, need: Need) {
        self.lock().push((need, need.detail().to_owned()));
    }

    /// The node does not have `need` yet because of `error`; nothing if it has.
    pub(crate) fn lacks(&self, need: Need, error: &dyn std::fmt::Display) {
        let mut needs = self.lock();
        let lacking = needs.iter_mut().find(|(known, _)| *known == need);
        lacking.into_iter().for_each(|(_, detail)| *detail = format!("{}: {error}", need.detail()));
    }

    /// The node has `need` from now on.
    pub(crate) fn has(&self, need: Need) {
        self.lock().retain(|(known, _)| *known != need);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Need, String)>> {
        // Nothing in there panics half way.
        self.needs.lock().unwrap_or_else(PoisonError::into_inner)
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
        readiness.has(Need::Broadcasts);
        assert_eq!(readiness.check(), Err(NotReady::Broker { detail: "reset".to_owned() }));
        assert!(!readiness.is_starting());
    }

    #[test]
    fn a_node_starts_until_it_has_all_that_it_needs() {
        let (_sender, link) = watch::channel(LinkState::Up);
        let readiness = Readiness::new(link, &namespaces(0));
        let starting = |detail: &str| Err(NotReady::Starting { detail: detail.to_owned() });
        readiness.needs(Need::Revocations);
        readiness.needs(Need::Keys);
        assert_eq!(readiness.check(), starting("reading which tokens were revoked"));
        readiness.has(Need::Revocations);
        readiness.lacks(Need::Keys, &"refused");
        assert_eq!(readiness.check(), starting("reading auth.jwks: refused"));
        readiness.has(Need::Keys);
        readiness.lacks(Need::Keys, &"refused again");
        assert_eq!(readiness.check(), Ok(()));
    }
}
