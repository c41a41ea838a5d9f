//! What the node counts. What the hub and the broker count, they register themselves.

mod leases;
mod memory;
mod presence;

use fanwire_auth::InvalidToken;
use fanwire_broker::{Changed, Page, ReadError};
use fanwire_protocol::{ChannelName, Command, Recovered, Refusal, command, error};
use http::StatusCode;
pub(crate) use leases::LeaseMetrics;
pub(crate) use memory::MemoryMetrics;
use presence::PresenceMetrics;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector, exponential_buckets,
};

/// The classes of answers of the API; `denied` are 401 and 403.
const API_STATUSES: [&str; 4] = ["2xx", "4xx", "5xx", "denied"];

/// The label of tokens that grant something.
const ACCEPTED: &str = "accepted";

/// The node's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    upgrades: IntCounterVec,
    commands: [IntCounter; command::LABELS.len()],
    refusals: IntCounterVec,
    tokens: IntCounterVec,
    api: IntCounterVec,
    pub(crate) received_bytes: IntCounter,
    pub(crate) accept_errors: IntCounter,
    pub(crate) accept_dropped: IntCounter,
    pub(crate) session_panics: IntCounter,
    pub(crate) ready: IntGauge,
    pub(crate) relay_lag: Histogram,
    recoveries: IntCounterVec,
    fills: IntCounterVec,
    lost: IntCounter,
    pub(crate) memory: MemoryMetrics,
    pub(crate) presence: PresenceMetrics,
    pub(crate) leases: LeaseMetrics,
    pub(crate) throttled: IntCounter,
    control_reads: IntCounterVec,
    pub(crate) revoked: IntGauge,
}

/// How a request to upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeResult {
    Accepted,
    Malformed,
    UnknownSubprotocol,
    InvalidUser,
    Unauthorized,
    AddressLimit,
    AddressRate,
    UserLimit,
    UserLimitEverywhere,
    UserLimitUnknown,
    HeadTooLarge,
    ForeignHost,
    ForeignOrigin,
    MissingOrigin,
    MissingProxyHeader,
    InvalidProxyHeader,
    ConnectionLimit,
    MemoryPressure,
    HandshakeLimit,
    Starting,
    Draining,
    TimedOut,
    Failed,
}

impl UpgradeResult {
    const ALL: [Self; 23] = [
        Self::Accepted,
        Self::Malformed,
        Self::UnknownSubprotocol,
        Self::InvalidUser,
        Self::Unauthorized,
        Self::AddressLimit,
        Self::AddressRate,
        Self::UserLimit,
        Self::UserLimitEverywhere,
        Self::UserLimitUnknown,
        Self::HeadTooLarge,
        Self::ForeignHost,
        Self::ForeignOrigin,
        Self::MissingOrigin,
        Self::MissingProxyHeader,
        Self::InvalidProxyHeader,
        Self::ConnectionLimit,
        Self::MemoryPressure,
        Self::HandshakeLimit,
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
            Self::InvalidUser => "invalid_user",
            Self::Unauthorized => "unauthorized",
            Self::AddressLimit => "address_limit",
            Self::AddressRate => "address_rate",
            Self::UserLimit => "user_limit",
            Self::UserLimitEverywhere => "user_limit_everywhere",
            Self::UserLimitUnknown => "user_limit_unknown",
            Self::HeadTooLarge => "head_too_large",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::MissingOrigin => "missing_origin",
            Self::MissingProxyHeader => "missing_proxy_header",
            Self::InvalidProxyHeader => "invalid_proxy_header",
            Self::ConnectionLimit => "connection_limit",
            Self::MemoryPressure => "memory_pressure",
            Self::HandshakeLimit => "handshake_limit",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// How a client's attempt to resume at a place in a history ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    Recovered,
    Incomplete,
    Failed,
}

impl From<Recovered> for Recovery {
    fn from(recovered: Recovered) -> Self {
        match recovered {
            Recovered::All { .. } => Self::Recovered,
            Recovered::Nothing => Self::Incomplete,
        }
    }
}

impl Recovery {
    const ALL: [Self; 3] = [Self::Recovered, Self::Incomplete, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// How a read of what may be missing in the feed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    Filled,
    Lost,
    Failed,
}

impl Fill {
    const ALL: [Self; 3] = [Self::Filled, Self::Lost, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }
}

/// How a read of what nodes tell each other ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CaughtUp {
    Read,
    Incomplete,
    Failed,
}

impl CaughtUp {
    const ALL: [Self; 3] = [Self::Read, Self::Incomplete, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Incomplete => "incomplete",
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
        let tokens = counters(
            registry,
            "fanwire_tokens_total",
            "Tokens that clients have sent, by result: accepted, or why they grant nothing.",
            "result",
        )?;
        for result in [ACCEPTED].iter().chain(&InvalidToken::LABELS) {
            tokens.with_label_values(&[result]);
        }
        let api = counters(
            registry,
            "fanwire_api_requests_total",
            "Requests to the internal port but for metrics and health, by the class of the answer's status.",
            "status",
        )?;
        for status in API_STATUSES {
            api.with_label_values(&[status]);
        }
        let recoveries = counters(
            registry,
            "fanwire_recoveries_total",
            "Attempts of clients to resume at a place in a history, by result: everything was there, something was not, \
             or the history could not be read.",
            "result",
        )?;
        for result in Recovery::ALL {
            recoveries.with_label_values(&[result.label()]);
        }
        let fills = counters(
            registry,
            "fanwire_fills_total",
            "Reads of histories because messages may have been missing in what the broker sent, by result: whatever was \
             missing was found, or was lost, or the read failed.",
            "result",
        )?;
        for result in Fill::ALL {
            fills.with_label_values(&[result.label()]);
        }
        let control_reads = counters(
            registry,
            "fanwire_control_reads_total",
            "Reads of what nodes tell each other, of which some may not have been heard, by result: read, or incomplete as \
             something is not kept any more, or failed and tried again.",
            "result",
        )?;
        for result in CaughtUp::ALL {
            control_reads.with_label_values(&[result.label()]);
        }
        Ok(Self {
            upgrades,
            commands: command::LABELS.map(|label| commands.with_label_values(&[label])),
            refusals,
            tokens,
            api,
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
            relay_lag: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "fanwire_relay_lag_seconds",
                        "By how much the relay's timer, which runs out every second, was late: how long shards that were \
                         behind, or something else, kept it.",
                    )
                    .buckets(exponential_buckets(0.002, 2.5, 15)?),
                )?,
            )?,
            recoveries,
            fills,
            lost: counter(
                registry,
                "fanwire_history_lost_total",
                "Times that messages of a history were missing that could not be had any more, as subscribers were told.",
            )?,
            memory: MemoryMetrics::new(registry)?,
            presence: PresenceMetrics::new(registry)?,
            leases: LeaseMetrics::new(registry)?,
            throttled: counter(
                registry,
                "fanwire_throttled_reads_total",
                "Times that a connection was not read for a while because its bytes came faster than limits.bytes.rate.",
            )?,
            control_reads,
            revoked: registered(
                registry,
                IntGauge::new("fanwire_tokens_revoked", "Tokens that are kept out though they have not ended.")?,
            )?,
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

    /// Counts a token that was verified, or the reason why it grants nothing.
    pub(crate) fn verified(&self, invalid: Option<&InvalidToken>) {
        self.tokens.with_label_values(&[invalid.map_or(ACCEPTED, InvalidToken::label)]).inc();
    }

    /// Counts a read of what nodes tell each other.
    pub(crate) fn caught_up(&self, read: &Result<Page, ReadError>) {
        let result = match read {
            Ok(page) if page.complete => CaughtUp::Read,
            Ok(_) => CaughtUp::Incomplete,
            Err(_) => CaughtUp::Failed,
        };
        self.control_reads.with_label_values(&[result.label()]).inc();
    }

    /// Counts an answer to a request of the API.
    pub(crate) fn api_answered(&self, status: StatusCode) {
        let class = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "denied",
            status if status.is_server_error() => "5xx",
            status if status.is_client_error() => "4xx",
            _ => "2xx",
        };
        self.api.with_label_values(&[class]).inc();
    }

    pub(crate) fn recovered(&self, result: Recovery) {
        self.recoveries.with_label_values(&[result.label()]).inc();
    }

    pub(crate) fn filled(&self, result: Fill) {
        self.fills.with_label_values(&[result.label()]).inc();
    }

    /// Counts how often subscribers were told that something was lost.
    pub(crate) fn lost(&self, times: usize) {
        self.lost.inc_by(times as u64);
    }

    /// Counts what a batch has changed of the members of `channel`.
    pub(crate) fn changed(&self, channel: &ChannelName, changed: &Changed) {
        if channel.is_of_leases() {
            self.leases.returned(changed.joined + changed.returned);
        } else {
            self.presence.changed(changed);
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.with_label_values(&[refusal.code.as_str()]).inc();
    }
}

pub(crate) fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
}
