//! What is counted about keys that others publish.

use crate::metrics::registered;
use fanwire_auth::jwks::{KeySet, Skipped, Unread};
use fanwire_fetch::FetchError;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::{SystemTime, UNIX_EPOCH};

/// The label of an answer that was taken.
const READ: &str = "read";

/// The label of keys that can be used.
const USED: &str = "used";

/// The metrics of `auth.jwks`.
#[derive(Debug, Clone)]
pub(crate) struct JwksMetrics {
    fetches: IntCounterVec,
    keys: IntGaugeVec,
    success: Gauge,
}

impl JwksMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let fetches = Opts::new(
            "fanwire_jwks_fetches_total",
            "Times that auth.jwks was read, by result: read, or why the keys stay what they were.",
        );
        let keys = Opts::new(
            "fanwire_jwks_keys",
            "Keys in the last good answer of auth.jwks, by state: used, or why they are not.",
        );
        let metrics = Self {
            fetches: registered(registry, IntCounterVec::new(fetches, &["result"])?)?,
            keys: registered(registry, IntGaugeVec::new(keys, &["state"])?)?,
            success: registered(
                registry,
                Gauge::new(
                    "fanwire_jwks_success_timestamp_seconds",
                    "When the last good answer of auth.jwks came, in seconds since 1970; 0 before the first.",
                )?,
            )?,
        };
        for result in [READ].iter().chain(&FetchError::LABELS).chain(&Unread::LABELS) {
            metrics.fetches.with_label_values(&[result]);
        }
        for state in [USED].into_iter().chain(Skipped::ALL.map(Skipped::label)) {
            metrics.keys.with_label_values(&[state]);
        }
        Ok(metrics)
    }

    /// Counts a read and what it has found.
    pub(super) fn read(&self, read: &Result<KeySet, Unread>) {
        self.fetches.with_label_values(&[read.as_ref().map_or_else(Unread::label, |_| READ)]).inc();
        let Ok(set) = read else { return };
        self.success.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let gauge = |state, count: usize| self.keys.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(0));
        gauge(USED, set.count());
        Skipped::ALL.into_iter().for_each(|reason| gauge(reason.label(), set.skipped(reason)));
    }
}
