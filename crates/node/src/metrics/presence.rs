//! What is counted of members.

use super::{counter, counters, registered};
use fanwire_broker::Changed;
use prometheus::{IntCounter, IntGauge, Registry};

/// What is counted of members.
#[derive(Debug, Clone)]
pub(crate) struct PresenceMetrics {
    pub(crate) members: IntGauge,
    joined: IntCounter,
    left: IntCounter,
    returned: IntCounter,
    removed: IntCounter,
    failures: IntCounter,
}

impl PresenceMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let members = IntGauge::new(
            "fanwire_presence_members",
            "Connections of this node on channels with presence, one for each channel.",
        )?;
        let changes = counters(
            registry,
            "fanwire_presence_changes_total",
            "Members that this node has changed at the broker: they joined, left, were missing there and returned, or \
             were removed with a node that is dead.",
            "change",
        )?;
        let failures =
            "Changes, signs of life and removals that the broker did not carry out in time; they are repeated.";
        Ok(Self {
            members: registered(registry, members)?,
            joined: changes.with_label_values(&["joined"]),
            left: changes.with_label_values(&["left"]),
            returned: changes.with_label_values(&["returned"]),
            removed: changes.with_label_values(&["removed"]),
            failures: counter(registry, "fanwire_presence_failures_total", failures)?,
        })
    }

    pub(crate) fn changed(&self, changed: &Changed) {
        self.joined.inc_by(changed.joined);
        self.left.inc_by(changed.left);
        self.returned.inc_by(changed.returned);
    }

    /// Counts members of a dead node.
    pub(crate) fn removed(&self, members: u64) {
        self.removed.inc_by(members);
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// How many joined, left, returned, were removed, and how often something failed.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> [u64; 5] {
        [&self.joined, &self.left, &self.returned, &self.removed, &self.failures].map(IntCounter::get)
    }
}
