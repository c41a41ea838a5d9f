//! What the hub counts.

use fanwire_protocol::{CloseReason, Dialect, close, dialect};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    exponential_buckets,
};

/// The first bucket of lags, in seconds: a timer has a precision of 1 ms.
const LAG: f64 = 0.002;

/// The hub's metrics, children resolved once.
#[derive(Debug, Clone)]
pub struct HubMetrics {
    connections: [IntGauge; dialect::ALL.len()],
    disconnects: [IntCounter; close::ALL.len()],
    pub(crate) close_timeouts: IntCounter,
    pub(crate) subscriptions: IntGauge,
    pub(crate) channels: IntGauge,
    pub(crate) deliveries: IntCounter,
    pub(crate) compressed: IntCounter,
    pub(crate) saved_bytes: IntCounter,
    pub(crate) dropped_full: IntCounter,
    pub(crate) dropped_closed: IntCounter,
    pub(crate) sent_bytes: IntCounter,
    pub(crate) outbox_bytes: IntGauge,
    pub(crate) fan_out: Histogram,
    pub(crate) relay_latency: Histogram,
    pub(crate) lag: Histogram,
}

impl HubMetrics {
    /// Registers the metrics at `registry`; fails where one of their names is taken.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let connections = registered(
            registry,
            IntGaugeVec::new(Opts::new("fanwire_connections", "Open connections by dialect."), &["dialect"])?,
        )?;
        let disconnects = registered(
            registry,
            IntCounterVec::new(
                Opts::new("fanwire_disconnects_total", "Connections that ended, by reason."),
                &["reason"],
            )?,
        )?;
        let dropped = registered(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "fanwire_deliveries_dropped_total",
                    "Deliveries left out because a connection read too slowly, by the policy that decided so.",
                ),
                &["reason"],
            )?,
        )?;
        Ok(Self {
            connections: dialect::ALL.map(|dialect| connections.with_label_values(&[dialect.label()])),
            disconnects: close::ALL.map(|reason| disconnects.with_label_values(&[reason.label()])),
            close_timeouts: counter(
                registry,
                "fanwire_close_timeouts_total",
                "Connections reset because their close took longer than close.timeout.",
            )?,
            subscriptions: gauge(registry, "fanwire_subscriptions", "Subscriptions of connections to channels.")?,
            channels: gauge(registry, "fanwire_channels", "Channels with local subscribers, counted once per shard.")?,
            deliveries: counter(
                registry,
                "fanwire_deliveries_total",
                "Publications handed to a connection's socket or outbox.",
            )?,
            compressed: counter(
                registry,
                "fanwire_compressed_deliveries_total",
                "Deliveries that were compressed, of all fanwire_deliveries_total.",
            )?,
            saved_bytes: counter(
                registry,
                "fanwire_compression_saved_bytes_total",
                "Bytes by which deliveries were shorter because they were compressed.",
            )?,
            dropped_full: dropped.with_label_values(&["drop_oldest"]),
            dropped_closed: dropped.with_label_values(&["disconnect"]),
            sent_bytes: counter(registry, "fanwire_sent_bytes_total", "Bytes written to sockets after the upgrade.")?,
            outbox_bytes: gauge(
                registry,
                "fanwire_outbox_bytes",
                "Bytes that wait in outboxes, entry costs included.",
            )?,
            fan_out: histogram(
                registry,
                "fanwire_fan_out_seconds",
                "Time to hand a batch of one channel's publications to all subscribers of a shard.",
                0.000_01,
            )?,
            relay_latency: histogram(
                registry,
                "fanwire_relay_latency_seconds",
                "Time from publishing, by the publishing node's clock, to the end of a shard's fan-out.",
                0.000_1,
            )?,
            lag: histogram(
                registry,
                "fanwire_shard_lag_seconds",
                "By how much timers of connections were late, which is how long something else kept their shard's thread.",
                LAG,
            )?,
        })
    }

    pub(crate) fn connections(&self, dialect: Dialect) -> &IntGauge {
        &self.connections[dialect as usize]
    }

    /// Bytes that wait in outboxes, entry costs included. What lies in several of them counts for each.
    pub fn outbox_bytes(&self) -> i64 {
        self.outbox_bytes.get()
    }

    pub(crate) fn disconnected(&self, reason: CloseReason) {
        // Discriminants count from 1 in the order of the catalogue.
        self.disconnects[reason as usize - 1].inc();
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

/// A histogram with buckets from `first` seconds, each 2.5 times the one before, over six powers of ten.
fn histogram(registry: &Registry, name: &str, help: &str, first: f64) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(first, 2.5, 15)?;
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    #[test]
    fn every_reason_counts_under_its_own_label() {
        let registry = Registry::new();
        let metrics = HubMetrics::new(&registry).expect("the names are free");
        for reason in close::ALL {
            metrics.disconnected(reason);
        }
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "fanwire_disconnects_total");
        let counts = family.into_iter().flat_map(|family| family.get_metric());
        assert_eq!(counts.map(|metric| metric.get_counter().get_value()).collect::<Vec<_>>(), [1.0; close::ALL.len()]);
    }
}
