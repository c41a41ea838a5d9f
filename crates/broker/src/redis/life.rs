//! Whether this node's members are where they belong.

use fanwire_protocol::NodeId;
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

/// How long a living node shows no sign at most. It shows one every 2 s, may be cut off for 3 s, and then needs a moment
/// to get a link; and its members are to be gone 10 s after its last one, when another node has looked.
pub(super) const SILENT: Duration = Duration::from_millis(6_500);

/// When nobody has shown a sign for so long, nobody could: two are missing of everybody.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(4);

/// For how long a node is remembered as dead: whoever is stopped for longer comes back as if its members were lost.
pub(super) const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of this node's life at Redis.
#[derive(Debug)]
pub(super) struct Life {
    /// Which of the node's lives it is: a node that was taken for dead begins another one, and what is done about the
    /// earlier one does not touch it.
    generation: AtomicU64,
    /// Whether it was shown in this generation.
    shown: AtomicBool,
    /// Whether a server may have lost members since that was last asked.
    lost: AtomicBool,
}

impl Default for Life {
    fn default() -> Self {
        Self { generation: AtomicU64::new(1), shown: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }
}

impl Life {
    /// The generation.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// What the registry has of the node.
    pub(super) fn entry(&self, node: NodeId) -> String {
        format!("{node}.{}", self.generation())
    }

    /// The node was taken for dead.
    pub(super) fn begin_again(&self) {
        self.generation.fetch_add(1, SeqCst);
        self.shown.store(false, SeqCst);
    }

    /// The registry has taken the node in, as one that was `unknown` to it or not.
    pub(super) fn was_shown(&self, unknown: bool) {
        if self.shown.swap(true, SeqCst) && unknown {
            self.may_have_lost();
        }
    }

    /// A server may have lost members.
    pub(super) fn may_have_lost(&self) {
        self.lost.store(true, SeqCst);
    }

    /// Whether one may have, since this was last asked.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, SeqCst)
    }
}

/// The node and the generation of an entry of the registry.
pub(super) fn parse(entry: &str) -> Option<(NodeId, u64)> {
    let (node, generation) = entry.split_once('.')?;
    Some((NodeId::new(node.parse().ok()?)?, generation.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_forgot_a_node_has_lost_something() {
        let life = Life::default();
        life.was_shown(true);
        assert!(!life.take_lost());
        life.was_shown(false);
        assert!(!life.take_lost());
        life.was_shown(true);
        assert!(life.take_lost() && !life.take_lost());
    }

    #[test]
    fn a_node_that_was_taken_for_dead_is_another_one() {
        let (life, node) = (Life::default(), NodeId::from_random(7));
        life.was_shown(true);
        assert_eq!(parse(&life.entry(node)), Some((node, 1)));
        life.begin_again();
        assert_eq!(parse(&life.entry(node)), Some((node, 2)));
        life.was_shown(true);
        assert!(!life.take_lost());
    }

    #[test]
    fn what_is_no_entry_is_nobody() {
        for entry in ["", "7", "7.", ".1", "x.1", "9007199254740992.1", "7.1.1"] {
            assert_eq!(parse(entry), None, "{entry}");
        }
    }
}
