//! How programs on this machine reach what listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address of this machine by which a program on it reaches `listening`.
pub(crate) fn reachable(mut listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listening.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listening.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listening
}
