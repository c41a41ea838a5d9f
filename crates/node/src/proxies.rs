//! Who a client is where proxies stand before the node.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `forwarded` | the header by which proxies tell for whom they ask |
//! | `element` | what a line of `Forwarded` says |

pub(crate) mod element;
mod forwarded;

pub use forwarded::ForwardedHeader;

use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// The longest prefix that an IPv6 network has in common with every IPv4-mapped address (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// The proxies whose word about their clients counts. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that names no proxies.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither an IP address nor a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct InvalidProxy(String);

impl TrustedProxies {
    /// Proxies by IP addresses and networks in CIDR notation. An IPv4-mapped IPv6 address is taken as IPv4.
    ///
    /// # Errors
    ///
    /// The first of `items` that is neither.
    pub fn parse<T: AsRef<str>>(items: &[T]) -> Result<Self, InvalidProxy> {
        items.iter().map(|item| network(item.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The address of the client behind the connection from `peer`, as far as trusted proxies tell: each adds the address
    /// of its own peer at the end of a header, which `hops` are, from that end on; `None` is no address. Whatever stands
    /// before an address that is not trusted, or before what is no address, may be anybody's invention.
    pub(crate) fn client(&self, peer: IpAddr, mut hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer.to_canonical();
        while self.trusts(client)
            && let Some(Some(before)) = hops.next()
        {
            client = before;
        }
        client
    }

    /// Whether the word of who has `address` counts.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, InvalidProxy> {
    let single = || text.parse().map(|address: IpAddr| IpNet::from(address));
    let network = text.parse().or_else(|_| single()).map_err(|_| InvalidProxy(text.to_owned()))?;
    Ok(mapped(network).unwrap_or(network))
}

/// The IPv4 network that an IPv6 network of mapped addresses stands for.
fn mapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(network) = network else { return None };
    let length = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, length).ok().map(IpNet::V4)
}

/// An address as proxies write it, some of them with the port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = text.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
