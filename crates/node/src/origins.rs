//! Which web pages may connect: a browser names the origin of the page in every request to upgrade.

use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};
use std::net::IpAddr;
use thiserror::Error;

/// The origins that may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// The origins that may; without any, only that of the request itself, which is its `Host` under its scheme.
    pub allowed: Vec<OriginPattern>,
    /// Whether requests without an `Origin` are refused: those of all clients that are no browsers.
    pub required: bool,
    /// Whether requests must name this machine itself as their `Host`. A page of an attacker whose name was made to
    /// point to this machine (DNS rebinding) is of the same host as far as the browser can tell, but not of such a one.
    pub loopback_only: bool,
}

/// Why a request may not be upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Its `Host` is no name of this machine.
    Host,
    /// Its origin is none that may connect, or none at all that could be read.
    Origin,
    /// It names no origin, and has to.
    Missing,
}

impl Origins {
    /// Whether a request to `uri` with `headers`, sent over `scheme`, may be upgraded.
    pub(crate) fn check(&self, scheme: Scheme, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = host(uri, headers);
        if self.loopback_only && !host.as_ref().is_some_and(|host| is_loopback(host.host())) {
            return Err(Foreign::Host);
        }
        let mut lines = headers.get_all(header::ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (None, _) if self.required => Err(Foreign::Missing),
            (None, _) => Ok(()),
            (Some(origin), None) if self.allows(origin, scheme, host.as_ref()) => Ok(()),
            _ => Err(Foreign::Origin),
        }
    }

    fn allows(&self, origin: &HeaderValue, scheme: Scheme, host: Option<&Authority>) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(|text| Origin::parse(text).ok()) else { return false };
        if self.allowed.is_empty() {
            return host.is_some_and(|host| origin == Origin::of(scheme, host));
        }
        self.allowed.iter().any(|pattern| pattern.matches(&origin))
    }
}

/// How a request was sent to the node, or to the proxy before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme that is called `name`, in whichever case (RFC 3986, section 3.1).
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }
}

/// The host that a request is for, if it names exactly one (RFC 9112, section 3.2).
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut lines = headers.get_all(header::HOST).iter();
    match (uri.authority(), lines.next(), lines.next()) {
        (Some(authority), _, None) => Some(authority.clone()),
        (None, Some(line), None) => Authority::try_from(line.as_bytes()).ok(),
        _ => None,
    }
}

/// Whether a `Host` or an origin, without its port, is one of this machine's own names for itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// An origin as browsers write it (RFC 6454, section 6.2): `scheme://host` or `scheme://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    /// Absent where it is the scheme's own.
    port: Option<u16>,
}

impl Origin {
    fn of(scheme: Scheme, host: &Authority) -> Self {
        let scheme = scheme.as_str().to_owned();
        let port = without_default(&scheme, host.port_u16());
        Self { scheme, host: host.host().to_ascii_lowercase(), port }
    }

    fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = || InvalidOrigin(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        let (host, port) = split_port(rest).ok_or_else(invalid)?;
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !scheme_is_valid || host.is_empty() || !host.bytes().all(is_of_host) {
            return Err(invalid());
        }
        let scheme = scheme.to_ascii_lowercase();
        Ok(Self { port: without_default(&scheme, port), host: host.to_ascii_lowercase(), scheme })
    }
}

fn split_port(rest: &str) -> Option<(&str, Option<u16>)> {
    match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            Some((host, Some(port.parse().ok().filter(|_| is_number)?)))
        }
        _ => Some((rest, None)),
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._*[]:".contains(&byte)
}

fn without_default(scheme: &str, port: Option<u16>) -> Option<u16> {
    port.filter(|port| !matches!((scheme, port), ("http" | "ws", 80) | ("https" | "wss", 443)))
}

/// An origin, in whose host `*` stands for one or more characters other than `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern(Origin);

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no origin: expected one such as https://example.com, http://localhost:3000 or https://*.example.com, \
     without a path"
)]
pub struct InvalidOrigin(String);

impl OriginPattern {
    /// The pattern that is `text`.
    ///
    /// # Errors
    ///
    /// If it is no origin with, perhaps, `*` in its host.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        Origin::parse(text).map(Self)
    }

    fn matches(&self, origin: &Origin) -> bool {
        let Self(pattern) = self;
        let (labels, mut others) = (pattern.host.split('.'), origin.host.split('.'));
        pattern.scheme == origin.scheme
            && pattern.port == origin.port
            // A page can't have the origin that a pattern is spelt as.
            && !origin.host.contains('*')
            && labels.map(Some).chain([None]).all(|label| match (label, others.next()) {
                (Some(label), Some(other)) => label_matches(label, other),
                (None, other) => other.is_none(),
                (Some(_), None) => false,
            })
    }
}

/// Whether `label` is `pattern`, in which each `*` stands for one or more characters.
fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == label };
    let Some(behind) = label.strip_prefix(first) else { return false };
    behind
        .char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .chain([behind.len()])
        .any(|at| at > 0 && label_matches(rest, &behind[at..]))
}

#[cfg(test)]
mod tests;
