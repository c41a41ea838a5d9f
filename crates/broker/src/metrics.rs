//! Metrics of brokers.

use crate::{PublishError, ReadError};
use prometheus::{
    Counter, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};
use std::{ops::Deref, time::Duration};

/// Upper bounds in seconds. A round trip through Redis takes 0.1 to 10 ms; from 2 s on it has failed.
const BUCKETS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// What every broker counts. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct BrokerMetrics {
    pub(crate) link_up: IntGauge,
    pub(crate) subscriptions: IntGauge,
    pub(crate) received: IntCounter,
    acknowledged: Histogram,
    unavailable: Histogram,
    unanswered: Histogram,
    read: Histogram,
    unreadable: Histogram,
    unread: Histogram,
}

impl BrokerMetrics {
    /// Metrics that `registry` shows, all named `fanwire_broker_…`.
    ///
    /// # Errors
    ///
    /// When one of the names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let publish = HistogramVec::new(
            histogram("publish_seconds", "Time from publishing to the broker's answer, by result."),
            &["result"],
        )?;
        let publish = shown(registry, publish)?;
        let history = HistogramVec::new(
            histogram("history_seconds", "Time from asking for a part of a history to having it, by result."),
            &["result"],
        )?;
        let history = shown(registry, history)?;
        Ok(Self {
            link_up: gauge(registry, "link_up", "Whether the broker can be used: 1 or 0.")?,
            subscriptions: gauge(registry, "subscriptions", "Subscriptions that the broker has confirmed.")?,
            received: counter(registry, "received_total", "Publications that came from the broker.")?,
            acknowledged: publish.get_metric_with_label_values(&["acknowledged"])?,
            unavailable: publish.get_metric_with_label_values(&["unavailable"])?,
            unanswered: publish.get_metric_with_label_values(&["timeout"])?,
            read: history.get_metric_with_label_values(&["read"])?,
            unreadable: history.get_metric_with_label_values(&["unavailable"])?,
            unread: history.get_metric_with_label_values(&["timeout"])?,
        })
    }

    pub(crate) fn history<T>(&self, outcome: &Result<T, ReadError>, took: Duration) {
        let histogram = match outcome {
            Ok(_) => &self.read,
            Err(ReadError::Unavailable(_)) => &self.unreadable,
            Err(ReadError::Timeout) => &self.unread,
        };
        histogram.observe(took.as_secs_f64());
    }

    pub(crate) fn published<T>(&self, outcome: &Result<T, PublishError>, took: Duration) {
        let histogram = match outcome {
            Ok(_) => &self.acknowledged,
            Err(PublishError::Unavailable(_)) => &self.unavailable,
            Err(PublishError::Timeout) => &self.unanswered,
        };
        histogram.observe(took.as_secs_f64());
    }
}

/// What a broker with a link counts besides. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct RedisMetrics {
    common: BrokerMetrics,
    pub(crate) reconnects: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) gap_seconds: Counter,
    pub(crate) heartbeat: Histogram,
    pub(crate) received_bytes: IntCounter,
    pub(crate) invalid: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) sent: IntGauge,
    servers: IntGaugeVec,
    refusals: IntCounterVec,
}

/// What Redis refuses publications with, by the codes of its errors; the last one stands for all others.
const REFUSALS: &[&str] = &[
    "ASK",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MOVED",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "other",
];

impl RedisMetrics {
    /// Metrics that `registry` shows, all named `fanwire_broker_…`, those of [`BrokerMetrics`] among them.
    ///
    /// # Errors
    ///
    /// When one of the names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals = IntCounterVec::new(
            Opts::new(name("refusals_total"), "Publications that Redis refused, by the code of its error."),
            &["code"],
        )?;
        let refusals = shown(registry, refusals)?;
        for code in REFUSALS {
            refusals.get_metric_with_label_values(&[code])?;
        }
        let unanswered = IntGaugeVec::new(
            Opts::new(
                name("unanswered"),
                "Publications that wait to be sent to Redis, or were sent and are not answered.",
            ),
            &["state"],
        )?;
        let unanswered = shown(registry, unanswered)?;
        let servers = IntGaugeVec::new(
            Opts::new(name("server_up"), "Whether the server, one of several, can be used: 1 or 0."),
            &["server"],
        )?;
        Ok(Self {
            common: BrokerMetrics::register(registry)?,
            waiting: unanswered.get_metric_with_label_values(&["waiting"])?,
            sent: unanswered.get_metric_with_label_values(&["sent"])?,
            servers: shown(registry, servers)?,
            refusals,
            reconnects: counter(registry, "reconnects_total", "Attempts to make the link to the broker again.")?,
            gaps: counter(registry, "gaps_total", "Times in which messages may have been lost.")?,
            gap_seconds: shown(
                registry,
                Counter::new(name("gap_seconds_total"), "Length of the times in which messages may have been lost.")?,
            )?,
            heartbeat: shown(
                registry,
                Histogram::with_opts(histogram("heartbeat_seconds", "Round trip of the node's own heartbeat."))?,
            )?,
            received_bytes: counter(registry, "received_bytes_total", "Bytes that came on the subscriber link.")?,
            invalid: counter(
                registry,
                "invalid_envelopes_total",
                "Messages from the broker that were skipped because they are no publication that this node understands.",
            )?,
        })
    }

    /// One of several servers can be used, or can't.
    pub(crate) fn server_up(&self, server: &str, up: bool) {
        self.servers.with_label_values(&[server]).set(i64::from(up));
    }

    /// A server is not one of the several any more.
    pub(crate) fn server_gone(&self, server: &str) {
        // One that was never shown is not missed.
        let _ = self.servers.remove_label_values(&[server]);
    }

    /// Redis refused a publication with an error of this code.
    pub(crate) fn refused(&self, code: &str) {
        let code = REFUSALS.iter().copied().find(|known| *known == code).unwrap_or("other");
        self.refusals.with_label_values(&[code]).inc();
    }

    pub(crate) fn gap(&self, duration: Duration) {
        self.gaps.inc();
        self.gap_seconds.inc_by(duration.as_secs_f64());
    }
}

impl Deref for RedisMetrics {
    type Target = BrokerMetrics;

    fn deref(&self) -> &BrokerMetrics {
        &self.common
    }
}

fn name(suffix: &str) -> String {
    format!("fanwire_broker_{suffix}")
}

fn histogram(suffix: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name(suffix), help).buckets(BUCKETS.to_vec())
}

fn counter(registry: &Registry, suffix: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    shown(registry, IntCounter::new(name(suffix), help)?)
}

fn gauge(registry: &Registry, suffix: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    shown(registry, IntGauge::new(name(suffix), help)?)
}

fn shown<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_apart() {
        let registry = Registry::new();
        let metrics = RedisMetrics::register(&registry).unwrap();
        metrics.published(&Ok(()), Duration::from_millis(1));
        metrics.published::<()>(&Err(PublishError::Timeout), Duration::from_secs(2));
        metrics.history::<()>(&Err(ReadError::Timeout), Duration::from_secs(2));
        metrics.gap(Duration::from_millis(1500));
        metrics.refused("MOVED");
        metrics.refused("WHATEVER");
        metrics.server_up("a:1", true);
        metrics.server_up("b:1", true);
        metrics.server_gone("b:1");
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "fanwire_broker_publish_seconds_count{result=\"acknowledged\"} 1",
            "fanwire_broker_publish_seconds_count{result=\"timeout\"} 1",
            "fanwire_broker_publish_seconds_count{result=\"unavailable\"} 0",
            "fanwire_broker_history_seconds_count{result=\"timeout\"} 1",
            "fanwire_broker_gaps_total 1",
            "fanwire_broker_gap_seconds_total 1.5",
            "fanwire_broker_refusals_total{code=\"MOVED\"} 1",
            "fanwire_broker_refusals_total{code=\"other\"} 1",
            "fanwire_broker_refusals_total{code=\"OOM\"} 0",
            "fanwire_broker_server_up{server=\"a:1\"} 1",
            "fanwire_broker_unanswered{state=\"waiting\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("b:1"));
    }

    #[test]
    fn a_broker_without_a_link_shows_nothing_of_one() {
        let registry = Registry::new();
        BrokerMetrics::register(&registry).unwrap();
        let shown: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        let expected = ["history_seconds", "link_up", "publish_seconds", "received_total", "subscriptions"];
        assert_eq!(shown, expected.map(name));
    }

    #[test]
    fn a_registry_takes_one_broker() {
        let registry = Registry::new();
        BrokerMetrics::register(&registry).unwrap();
        assert!(BrokerMetrics::register(&registry).is_err());
    }
}
