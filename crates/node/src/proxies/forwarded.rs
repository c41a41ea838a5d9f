//! The header by which proxies tell for whom they ask.

use super::{TrustedProxies, element, element::Element};
use crate::origins::Scheme;
use http::{HeaderMap, HeaderValue, header};
use std::net::IpAddr;

/// Where proxies say for whom they ask. No standard has it; nearly all proxies do.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where they say by which scheme it was asked.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The header by which trusted proxies tell for whom they ask, and by which scheme. One counts and no other: whoever
/// writes one seldom takes the other away, which then is the client's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// The address of the client that a request with `headers` comes from, whose TCP connection `peer` has made, as far
    /// as `trusted` proxies tell.
    pub(crate) fn client(self, trusted: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        match self {
            Self::XForwardedFor => trusted.client(peer, addresses(headers)),
            Self::Forwarded => trusted.client(peer, elements(headers).map(|element| element?.client)),
        }
    }

    /// The scheme by which the nearest proxy was asked, if it says that.
    pub(crate) fn scheme(self, headers: &HeaderMap) -> Option<Scheme> {
        match self {
            Self::XForwardedFor => Scheme::named(last_word(headers.get_all(FORWARDED_PROTO).iter().next_back()?)?),
            Self::Forwarded => elements(headers).next()??.scheme,
        }
    }
}

/// What the lines of `X-Forwarded-For` name, from the nearest proxy's on.
fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(super::address)
}

/// The elements of the lines of `Forwarded`, from the nearest proxy's on; `None` is a line that can't be read.
fn elements(headers: &HeaderMap) -> impl Iterator<Item = Option<Element>> {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    lines.flat_map(|line| match element::elements(line.as_bytes()) {
        Some(elements) => elements.into_iter().rev().map(Some).collect(),
        None => vec![None],
    })
}

fn last_word(line: &HeaderValue) -> Option<&str> {
    line.to_str().ok()?.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests;
