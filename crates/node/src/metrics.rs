//! What the node counts. What the hub and the broker count, they register themselves.

use fanwire_protocol::{Command, Refusal, command, error};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

/// The node's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    upgrades: IntCounterVec,
    commands: [IntCounter; command::LABELS.len()],
    refusals: IntCounterVec,
    pub(crate) received_bytes: IntCounter,
    pub(crate) accept_errors: IntCounter,
    pub(crate) accept_dropped: IntCounter,
    pub(crate) session_panics: IntCounter,
    pub(crate) ready: IntGauge,
}

/// How a request to upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeResult {
    Accepted,
    Malformed,
    UnknownSubprotocol,
    ConnectionLimit,
    Starting,
    Draining,
    TimedOut,
    Failed,
}

impl UpgradeResult {
    const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Malformed,
        Self::UnknownSubprotocol,
        Self::ConnectionLimit,
        Self::Starting,
        Self::Draining,
        Self::TimedOut,
        Self::Failed,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::UnknownSubprotocol => "unknown_subprotocol",
            Self::ConnectionLimit => "connection_limit",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let upgrades = counters(registry, "fanwire_upgrades_total", "Requests to upgrade, by result.", "result")?;
        for result in UpgradeResult::ALL {
            upgrades.with_label_values(&[result.label()]);
        }
        let commands = counters(registry, "fanwire_commands_total", "Commands from clients, by type.", "type")?;
        let refusals =
            counters(registry, "fanwire_refusals_total", "Commands that were refused, by error code.", "code")?;
        for code in error::ALL {
            refusals.with_label_values(&[code.as_str()]);
        }
        Ok(Self {
            upgrades,
            commands: command::LABELS.map(|label| commands.with_label_values(&[label])),
            refusals,
            received_bytes: counter(
                registry,
                "fanwire_received_bytes_total",
                "Bytes read from sockets after the upgrade.",
            )?,
            accept_errors: counter(
                registry,
                "fanwire_accept_errors_total",
                "Times that the listener could accept nothing, for instance for lack of file descriptors.",
            )?,
            accept_dropped: counter(
                registry,
                "fanwire_accept_dropped_total",
                "Sockets dropped without an answer because too many beyond the connection limit were being refused.",
            )?,
            session_panics: counter(registry, "fanwire_session_panics_total", "Sessions that failed by a bug.")?,
            ready: registered(registry, IntGauge::new("fanwire_ready", "1 while the node wants connections.")?)?,
        })
    }

    /// Counts the outcome of a request.
    pub(crate) fn upgraded(&self, result: UpgradeResult) {
        self.upgrades.with_label_values(&[result.label()]).inc();
    }

    /// Counts a command, or with `None` a message that is none.
    pub(crate) fn commanded(&self, command: Option<&Command>) {
        let label = command.map_or("invalid", Command::label);
        let known = command::LABELS.iter().position(|known| *known == label);
        known.into_iter().for_each(|index| self.commands[index].inc());
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.with_label_values(&[refusal.code.as_str()]).inc();
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
}
