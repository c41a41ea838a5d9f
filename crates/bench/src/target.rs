//! Where a measurement goes: a node on this machine, never another one.

use crate::template::CHANNEL;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};
use thiserror::Error;

/// A node's address on the loopback interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// The request target, with the leading slash.
    pub path: String,
}

/// The text is no address of a node on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?}: {reason}; write it like {example}")]
pub struct InvalidTarget {
    text: String,
    reason: &'static str,
    example: &'static str,
}

impl InvalidTarget {
    fn new(text: &str, reason: &'static str, example: &'static str) -> Self {
        Self { text: text.to_owned(), reason, example }
    }
}

const WEBSOCKET: &str = "ws://127.0.0.1:8765/";
const HTTP: &str = "http://127.0.0.1:8080/publish/{channel}";

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        match text.split_once("://") {
            Some(("ws", rest)) => Self::parse(text, false, rest),
            Some(("wss", rest)) => Self::parse(text, true, rest),
            _ => Err(InvalidTarget::new(text, "only ws:// and wss:// are measured", WEBSOCKET)),
        }
    }
}

impl Target {
    /// An address of HTTP without TLS.
    pub fn http(text: &str) -> Result<Self, InvalidTarget> {
        match text.strip_prefix("http://") {
            Some(rest) => Self::parse(text, false, rest),
            None => Err(InvalidTarget::new(text, "publications go to http://", HTTP)),
        }
    }

    /// The same for those who want `channel`: a path may say it.
    pub fn of_channel(&self, channel: &str) -> Self {
        Self { path: self.path.replace(CHANNEL, channel), ..self.clone() }
    }

    fn parse(text: &str, secure: bool, rest: &str) -> Result<Self, InvalidTarget> {
        let invalid =
            |reason| InvalidTarget::new(text, reason, if text.starts_with("http") { HTTP } else { WEBSOCKET });
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid("a path has no spaces"));
        }
        let address =
            address(authority).ok_or_else(|| invalid("the address is an IP address or localhost, and a port"))?;
        if !address.ip().is_loopback() {
            return Err(invalid("only loopback addresses are measured"));
        }
        Ok(Self { address, secure, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() } })
    }
}

fn address(authority: &str) -> Option<SocketAddr> {
    match authority.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?)),
        None => authority.parse().ok(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, address: &str, secure: bool, path: &str) {
        let target: Target = text.parse().unwrap();
        let expected = (address.parse().unwrap(), secure, path);
        assert_eq!((target.address, target.secure, target.path.as_str()), expected);
    }

    #[test]
    fn a_target_has_an_address_and_a_path() {
        check("ws://127.0.0.1:8765", "127.0.0.1:8765", false, "/");
        check("wss://localhost:1/a/b?c", "127.0.0.1:1", true, "/a/b?c");
        check("ws://[::1]:9/", "[::1]:9", false, "/");
    }

    #[test]
    fn a_path_may_name_the_channel() {
        let target: Target = "ws://127.0.0.1:1/sub/{channel}".parse().unwrap();
        assert_eq!(target.of_channel("a.7").path, "/sub/a.7");
        assert!(Target::http("ws://127.0.0.1:1/").is_err());
        assert_eq!(Target::http("http://127.0.0.1:1/pub").unwrap().path, "/pub");
    }

    #[test]
    fn other_machines_and_other_schemes_are_refused() {
        for text in [
            "ws://10.0.0.1:8765",
            "ws://example.org:80",
            "http://127.0.0.1:1",
            "ws://127.0.0.1",
            "ws://127.0.0.1:1/a b",
        ] {
            assert!(text.parse::<Target>().unwrap_err().to_string().contains(text));
        }
    }
}
