//! A public port on loopback, whose sessions run where the test does.

use super::{Answer, Fixture, UPGRADE};
use crate::{
    accept::{Acceptor, PublicTls, Room, prepare},
    addresses::{AddressLimits, Addresses},
    memory::Shortage,
    origins::Origins,
    proxies::{ForwardedHeader, TrustedProxies},
    tls::Terminator,
    upgrade::{Unheard, Upgrades},
    user_header::UserHeader,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, runtime::Handle, task::yield_now, time::timeout};
use tokio_util::task::TaskTracker;

/// The cap on what the kernel holds unsent, in bytes.
pub(crate) const UNSENT: u32 = 12_345;

/// The longest head of a request, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// How many sockets beyond the limit may be in the course of being refused.
pub(crate) const REFUSALS: usize = 30;

/// Of how many connections the request may be still to come.
pub(crate) const UNHEARD: usize = 50;

/// The way in to the sessions of `fixture`, where `proxies` are trusted.
pub(crate) fn upgrades(fixture: &Fixture, proxies: TrustedProxies, handshake_timeout: Duration) -> Upgrades {
    let sessions = Arc::clone(&fixture.sessions);
    Upgrades {
        metrics: sessions.metrics.clone(),
        proxies,
        forwarded_header: ForwardedHeader::default(),
        proxy_protocol: false,
        user_header: Some(UserHeader::parse("X-User").unwrap()),
        origins: Origins::default(),
        addresses: Addresses::new(AddressLimits::default(), sessions.clock),
        head_limit: MAX_HEAD,
        header_limit: 100,
        readiness: fixture.readiness.clone(),
        shortage: Shortage::default(),
        handshake_timeout,
        unheard: Unheard::new(UNHEARD),
        tracker: TaskTracker::new(),
        sessions,
    }
}

/// A public port.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) fixture: Fixture,
    pub(crate) upgrades: Arc<Upgrades>,
}

impl Gateway {
    /// A port for at most `limit` connections, each upgraded within `handshake_timeout`.
    pub(crate) fn start(limit: usize, handshake_timeout: Duration) -> Self {
        Self::before(Fixture::start(), TrustedProxies::default(), limit, handshake_timeout)
    }

    /// The same, where these proxies are trusted.
    pub(crate) fn behind(proxies: TrustedProxies, limit: usize, handshake_timeout: Duration) -> Self {
        Self::before(Fixture::start(), proxies, limit, handshake_timeout)
    }

    /// The same for the sessions of `fixture`.
    pub(crate) fn before(fixture: Fixture, proxies: TrustedProxies, limit: usize, handshake_timeout: Duration) -> Self {
        let upgrades = upgrades(&fixture, proxies, handshake_timeout);
        Self::with(fixture, upgrades, limit, None)
    }

    /// The same, where proxies on this machine are trusted and send the PROXY protocol.
    pub(crate) fn announced(limit: usize, handshake_timeout: Duration) -> Self {
        let (fixture, proxies) = (Fixture::start(), TrustedProxies::parse(&["127.0.0.1"]).unwrap());
        let upgrades = Upgrades { proxy_protocol: true, ..upgrades(&fixture, proxies, handshake_timeout) };
        Self::with(fixture, upgrades, limit, None)
    }

    /// The same with TLS.
    pub(crate) fn start_secured(limit: usize, handshake_timeout: Duration, terminator: Arc<Terminator>) -> Self {
        let tls = PublicTls { terminator, runtime: Handle::current() };
        let fixture = Fixture::start();
        let upgrades = upgrades(&fixture, TrustedProxies::default(), handshake_timeout);
        Self::with(fixture, upgrades, limit, Some(tls))
    }

    fn with(fixture: Fixture, upgrades: Upgrades, limit: usize, tls: Option<PublicTls>) -> Self {
        let upgrades = Arc::new(upgrades);
        let metrics = upgrades.metrics.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = prepare(listener, UNSENT).unwrap();
        let room = Room { connections: limit, refusals: REFUSALS };
        let acceptor = Acceptor::new(listener, Arc::clone(&upgrades), tls, vec![Handle::current()], room, metrics);
        tokio::spawn(acceptor.run());
        Self { address, fixture, upgrades }
    }

    /// A socket to the port.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A socket to the port, on which `request` was answered.
    pub(crate) async fn ask(&self, request: &str) -> (TcpStream, Answer) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = Answer::head_of(&mut stream).await;
        (stream, answer)
    }

    /// A socket that was upgraded.
    pub(crate) async fn upgrade(&self) -> TcpStream {
        let (stream, answer) = self.ask(UPGRADE).await;
        assert_eq!(answer.status, 101);
        stream
    }

    /// How many requests to upgrade ended in each way that any did.
    pub(crate) fn results(&self) -> Vec<(String, u64)> {
        results(&self.fixture)
    }
}

/// How many requests to upgrade ended in each way that any did.
pub(crate) fn results(fixture: &Fixture) -> Vec<(String, u64)> {
    let families = fixture.registry.gather();
    let family = families.iter().find(|family| family.name() == "fanwire_upgrades_total").unwrap();
    let label = |metric: &prometheus::proto::Metric| metric.get_label()[0].value().to_owned();
    let count = |metric: &prometheus::proto::Metric| metric.get_counter().get_value().to_string().parse().unwrap();
    family.get_metric().iter().map(|metric| (label(metric), count(metric))).filter(|(_, count)| *count > 0).collect()
}

/// Waits until `holds` does.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), waited).await.expect("what is waited for never comes");
}
