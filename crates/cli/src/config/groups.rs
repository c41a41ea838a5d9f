//! The groups of the configuration: what each value means, its default, and its bounds.

use super::{
    setting::{Visitor, any, within},
    size::Size,
    tls::PortTls,
};
use fanwire_node::{TrustedProxies, UserHeader};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the keys of TLS on the internal port begin with.
pub(super) const INTERNAL_TLS: &str = "internal.tls";

/// The public port, where clients connect.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Where it listens; port 0 lets the system choose.
    pub(crate) listen: SocketAddr,
    /// Proxies, as addresses and networks, whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// The header by which those proxies tell who the user is; empty where none does.
    pub(crate) user_header: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            trusted_proxies: Vec::new(),
            user_header: String::new(),
        }
    }
}

impl Server {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("server.listen", &mut self.listen, any);
        visitor.setting("server.trusted_proxies", &mut self.trusted_proxies, |proxies| {
            TrustedProxies::parse(proxies).err().map(|invalid| invalid.to_string())
        });
        visitor.setting("server.user_header", &mut self.user_header, |name| {
            if name.is_empty() { None } else { UserHeader::parse(name).err().map(|invalid| invalid.to_string()) }
        });
    }
}

/// The internal port, for metrics and health. It has no authentication, so its default is loopback.
#[derive(Debug, Clone)]
pub(crate) struct Internal {
    /// Where it listens; port 0 lets the system choose.
    pub(crate) listen: SocketAddr,
    /// TLS on it.
    pub(crate) tls: PortTls,
}

impl Default for Internal {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8766)), tls: PortTls::default() }
    }
}

impl Internal {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("internal.listen", &mut self.listen, any);
        self.tls.visit(INTERNAL_TLS, visitor);
    }
}

/// How dead connections are found.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    /// Time between two WebSocket pings to a connection.
    pub(crate) interval: Duration,
    /// A connection is dead when nothing at all arrived for this long after a ping.
    pub(crate) timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { interval: 20 * SECOND, timeout: 20 * SECOND }
    }
}

impl Heartbeat {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("heartbeat.interval", &mut self.interval, within(SECOND..=HOUR));
        visitor.setting("heartbeat.timeout", &mut self.timeout, within(SECOND..=HOUR));
    }
}

/// How the node stops: it says that it isn't ready, waits, closes its connections one by one, and ends.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    /// Time in which load balancers notice; skipped when there are no connections, so that only nodes with clients
    /// take it.
    pub(crate) grace: Duration,
    /// Time over which connections are closed, lest all of them reconnect at once.
    pub(crate) window: Duration,
    /// The node ends after this time, whatever is left. It must be more than both together, or closes would not be
    /// sent; with less than `close.timeout` besides, clients that never answer theirs make it come.
    pub(crate) deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { grace: 2 * SECOND, window: 10 * SECOND, deadline: 30 * SECOND }
    }
}

impl Drain {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("drain.grace", &mut self.grace, within(Duration::ZERO..=HOUR));
        visitor.setting("drain.window", &mut self.window, within(Duration::ZERO..=HOUR));
        visitor.setting("drain.deadline", &mut self.deadline, within(SECOND..=3 * HOUR));
    }
}

/// What clients may not exceed.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of one message from a client. At least 125, so that it is no less than a control frame may carry.
    pub(crate) message: Size,
    /// Connections of one node.
    pub(crate) connections: usize,
    /// Channels that one connection may be subscribed to.
    pub(crate) channels: usize,
    /// Bytes that a connection may say of itself where it is seen.
    pub(crate) info: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: Size::kib(64), connections: 100_000, channels: 128, info: Size::kib(1) }
    }
}

impl Limits {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("limits.message", &mut self.message, within(Size::new(125)..=Size::kib(64 << 10)));
        visitor.setting("limits.connections", &mut self.connections, within(1..=10_000_000));
        visitor.setting("limits.channels", &mut self.channels, within(1..=100_000));
        visitor.setting("limits.info", &mut self.info, within(Size::new(0)..=Size::kib(64)));
    }
}

/// What serves conformance suites and nobody else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conformance {
    /// Whether connections without a subprotocol get back what they send, instead of the plain dialect.
    pub(crate) echo: bool,
}

impl Conformance {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("conformance.echo", &mut self.echo, any);
    }
}

/// The way in.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    /// Time from the TCP connection to the finished WebSocket upgrade.
    pub(crate) timeout: Duration,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { timeout: 10 * SECOND }
    }
}

impl Handshake {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("handshake.timeout", &mut self.timeout, within(100 * MILLISECOND..=300 * SECOND));
    }
}

/// The way out.
#[derive(Debug, Clone)]
pub(crate) struct Close {
    /// Time from the node's Close frame to the reset of a connection that doesn't answer it.
    pub(crate) timeout: Duration,
}

impl Default for Close {
    fn default() -> Self {
        Self { timeout: 5 * SECOND }
    }
}

impl Close {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("close.timeout", &mut self.timeout, within(100 * MILLISECOND..=300 * SECOND));
    }
}
