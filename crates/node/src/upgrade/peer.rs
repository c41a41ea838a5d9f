//! Who asks for an upgrade, and what of that others say.

use super::Upgrades;
use crate::{
    metrics::UpgradeResult,
    origins::Scheme,
    plain_http,
    proxy_protocol::{self, Announced, Unannounced},
};
use http::HeaderMap;
use std::net::IpAddr;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// What somebody is told whose proxy does not send the PROXY protocol.
const NO_HEADER: &str = "this port expects the PROXY protocol of this address (server.proxy_protocol)";

/// Who asks: the other end of a socket, or for whom a proxy says that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    address: IpAddr,
    /// By which scheme it asks, as far as the socket tells.
    scheme: Scheme,
    /// Whether what it sends is its own. A proxy that passes on what somebody sends of whom it can't tell the address
    /// is not to be believed what stands there.
    speaks: bool,
}

impl Peer {
    /// Who has connected from `address`.
    pub(super) fn of(address: IpAddr) -> Self {
        Self { address, scheme: Scheme::Http, speaks: true }
    }

    pub(super) fn canonical(self) -> IpAddr {
        self.address.to_canonical()
    }

    /// The same, behind a handshake of TLS.
    pub(super) fn secured(self) -> Self {
        Self { scheme: Scheme::Https, ..self }
    }

    /// Whom this proxy has announced.
    pub(super) fn announces(self, announced: Announced) -> Self {
        match announced {
            Announced::Client { address, scheme } => {
                Self { address, scheme: scheme.unwrap_or(self.scheme), speaks: true }
            }
            Announced::Nobody => Self { speaks: false, ..self },
        }
    }
}

impl Upgrades {
    /// Who is at the other end of `stream`, which was accepted from `address`. A trusted proxy says it with the PROXY
    /// protocol, where it is to; without that there is nobody.
    pub(super) async fn peer(&self, stream: &mut TcpStream, address: IpAddr, deadline: Instant) -> Option<Peer> {
        let peer = Peer::of(address);
        if !self.proxy_protocol || !self.proxies.trusts(address) {
            return Some(peer);
        }
        let Ok(read) = timeout_at(deadline, proxy_protocol::read(stream)).await else {
            self.note(UpgradeResult::TimedOut, peer.canonical());
            return None;
        };
        match read {
            Ok(announced) => Some(peer.announces(announced)),
            Err(unannounced) => {
                self.unannounced(stream, peer, unannounced, deadline).await;
                None
            }
        }
    }

    async fn unannounced(&self, stream: &mut TcpStream, peer: Peer, why: Unannounced, deadline: Instant) {
        match why {
            Unannounced::Vanished => {}
            Unannounced::Missing(first) => {
                self.note(UpgradeResult::MissingProxyHeader, peer.canonical());
                if plain_http::begins(first) {
                    // It may have left meanwhile, or not read on in time.
                    let _ = timeout_at(deadline, plain_http::refuse(stream, NO_HEADER)).await;
                }
            }
            Unannounced::Invalid(why) => {
                tracing::debug!(client = %peer.canonical(), why, "a header of the PROXY protocol can't be understood");
                self.note(UpgradeResult::InvalidProxyHeader, peer.canonical());
            }
        }
    }

    /// Whether what `peer` says of others counts.
    pub(super) fn believes(&self, peer: Peer) -> bool {
        peer.speaks && self.proxies.trusts(peer.address)
    }

    /// The address of the client for whom `peer` asks with `headers`.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        if !peer.speaks {
            return peer.canonical();
        }
        self.forwarded_header.client(&self.proxies, peer.address, headers)
    }

    /// By which scheme the client has asked, as far as is known.
    pub(super) fn scheme(&self, headers: &HeaderMap, peer: Peer) -> Scheme {
        let forwarded = || self.forwarded_header.scheme(headers);
        self.believes(peer).then(forwarded).flatten().unwrap_or(peer.scheme)
    }
}
