//! What is counted of leases.

use super::{counters, registered};
use fanwire_broker::ReadError;
use prometheus::{IntCounter, IntGauge, Registry};

/// What is counted of leases.
#[derive(Debug, Clone)]
pub(crate) struct LeaseMetrics {
    pub(crate) held: IntGauge,
    granted: IntCounter,
    full: IntCounter,
    unknown: IntCounter,
    returned: IntCounter,
    removed: IntCounter,
}

impl LeaseMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let held = IntGauge::new(
            "fanwire_leases",
            "Connections of this node that are leased places among those of their users.",
        )?;
        let requests = counters(
            registry,
            "fanwire_lease_requests_total",
            "Connections for which a lease was asked, by result: granted, full as the user has as many everywhere as may \
             be, or unknown as the broker did not say in time.",
            "result",
        )?;
        let changes = counters(
            registry,
            "fanwire_lease_changes_total",
            "Leases that were put at the broker where they were missing, or removed with a node that is dead.",
            "change",
        )?;
        Ok(Self {
            held: registered(registry, held)?,
            granted: requests.with_label_values(&["granted"]),
            full: requests.with_label_values(&["full"]),
            unknown: requests.with_label_values(&["unknown"]),
            returned: changes.with_label_values(&["returned"]),
            removed: changes.with_label_values(&["removed"]),
        })
    }

    /// Counts the answer to a question for a lease.
    pub(crate) fn asked(&self, granted: &Result<bool, ReadError>) {
        match granted {
            Ok(true) => self.granted.inc(),
            Ok(false) => self.full.inc(),
            Err(_) => self.unknown.inc(),
        }
    }

    /// Counts leases that were put back.
    pub(super) fn returned(&self, leases: u64) {
        self.returned.inc_by(leases);
    }

    /// Counts leases of a dead node.
    pub(crate) fn removed(&self, leases: u64) {
        self.removed.inc_by(leases);
    }

    /// How many were put back and removed.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> [u64; 2] {
        [&self.returned, &self.removed].map(IntCounter::get)
    }
}
