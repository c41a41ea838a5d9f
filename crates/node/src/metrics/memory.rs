//! What is counted of the node's memory.

use super::registered;
use prometheus::{IntGauge, Registry};

/// Metrics of memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryMetrics {
    used: IntGauge,
    limit: IntGauge,
    pressure: IntGauge,
}

impl MemoryMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| registered(registry, IntGauge::new(name, help)?);
        Ok(Self {
            used: gauge(
                "fanwire_memory_used_bytes",
                "Memory that counts towards the limit: of the node's control group, caches of files aside, or of the process.",
            )?,
            limit: gauge("fanwire_memory_limit_bytes", "Memory that the node may use.")?,
            pressure: gauge(
                "fanwire_memory_pressure",
                "1 while memory is short, so that new connections are refused and the largest outboxes closed.",
            )?,
        })
    }

    /// Shows a reading, in bytes, and whether memory is short.
    pub(crate) fn read(&self, used: u64, limit: u64, is_short: bool) {
        self.used.set(signed(used));
        self.limit.set(signed(limit));
        self.pressure.set(is_short.into());
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
