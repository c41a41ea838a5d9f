//! The groups of the configuration: what each value means, its default, and its bounds.

use super::{
    setting::{Choice, Visitor, any, within},
    size::Size,
    tls::PortTls,
};
use fanwire_auth::ApiKeys;
use fanwire_node::{ForwardedHeader, OriginPattern, TrustedProxies, UserHeader};
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
    /// Proxies, as addresses and networks, whose word about their clients is believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// The header by which those proxies tell of their clients.
    pub(crate) forwarded_header: ForwardedHeader,
    /// Whether those proxies begin each connection with the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// The header by which those proxies tell who the user is; empty where none does.
    pub(crate) user_header: String,
    /// Origins of web pages that may connect; without any, only that of the node itself.
    pub(crate) origins: Vec<String>,
    /// Whether who names no origin, and so is no browser, is refused.
    pub(crate) require_origin: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            proxy_protocol: false,
            user_header: String::new(),
            origins: Vec::new(),
            require_origin: false,
        }
    }
}

impl Choice for ForwardedHeader {
    const NAMES: &'static [(&'static str, Self)] =
        &[("X-Forwarded-For", Self::XForwardedFor), ("Forwarded", Self::Forwarded)];
}

impl Server {
    /// Whether nothing says that anybody but this machine itself should get here.
    pub(crate) fn is_for_this_machine(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback() && self.origins.is_empty() && self.trusted_proxies.is_empty()
    }

    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("server.listen", &mut self.listen, any);
        visitor.setting("server.trusted_proxies", &mut self.trusted_proxies, |proxies| {
            TrustedProxies::parse(proxies).err().map(|invalid| invalid.to_string())
        });
        visitor.setting("server.forwarded_header", &mut self.forwarded_header, any);
        visitor.setting("server.proxy_protocol", &mut self.proxy_protocol, any);
        visitor.setting("server.user_header", &mut self.user_header, |name| {
            if name.is_empty() { None } else { UserHeader::parse(name).err().map(|invalid| invalid.to_string()) }
        });
        visitor.setting("server.origins", &mut self.origins, |origins| {
            origins.iter().find_map(|text| OriginPattern::parse(text).err()).map(|invalid| invalid.to_string())
        });
        visitor.setting("server.require_origin", &mut self.require_origin, any);
    }
}

/// The internal port, for metrics, health and the API.
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

/// The API of the internal port.
#[derive(Debug, Clone, Default)]
pub(crate) struct Api {
    /// Files with keys, one of which a request must have; without any, the API is for the machine itself.
    pub(crate) keys: Vec<String>,
}

impl Api {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor
            .setting("api.keys", &mut self.keys, |keys| ApiKeys::read(keys).err().map(|invalid| invalid.to_string()));
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
    /// The longest head of a request.
    pub(crate) head: Size,
    /// How many headers it may have.
    pub(crate) headers: usize,
    /// Time from the TCP connection to the finished WebSocket upgrade.
    pub(crate) timeout: Duration,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { head: Size::kib(16), headers: 100, timeout: 10 * SECOND }
    }
}

impl Handshake {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("handshake.head", &mut self.head, within(Size::kib(8)..=Size::kib(1 << 10)));
        visitor.setting("handshake.headers", &mut self.headers, within(10..=1000));
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
