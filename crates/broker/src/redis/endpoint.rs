//! Where Redis is, and how to log in.

use crate::redis::names::{MAX_PREFIX, is_prefix};
use fanwire_protocol::NodeId;
use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use std::fmt;
use thiserror::Error;

/// How a node joins a cluster through Redis.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[[user]:password@]host[:port][/database]`; special characters percent-encoded. The port is 6379 and the
    /// database 0 unless given. A secret: neither logs nor errors show it.
    pub url: String,
    /// What all names in Redis begin with: 1 to 64 letters, digits, `-`, `_`, `.` and `:`. Clusters that share a Redis
    /// have different ones, or different databases.
    pub prefix: String,
    /// This node.
    pub node: NodeId,
}

impl RedisConfig {
    /// Whether a broker would start with this. Connects to nothing.
    ///
    /// # Errors
    ///
    /// What [`RedisBroker::start`](crate::redis::RedisBroker::start) would refuse.
    pub fn check(&self) -> Result<(), InvalidRedisConfig> {
        Endpoint::parse(self).map(drop)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, prefix, node } = self;
        f.debug_struct("RedisConfig").field("prefix", prefix).field("node", node).finish_non_exhaustive()
    }
}

/// Why a node can't join a cluster as configured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRedisConfig {
    /// Not the URL of a Redis. Its text is not repeated, since it may hold a password.
    #[error("not a Redis URL: {0}; expected redis://[[user]:password@]host[:port][/database]")]
    Url(String),
    /// TLS is asked for.
    #[error("Redis over TLS (rediss://) is not supported; expected redis://[[user]:password@]host[:port][/database]")]
    Tls,
    /// A Unix socket is asked for.
    #[error("Redis on a Unix socket is not supported; expected redis://[[user]:password@]host[:port][/database]")]
    UnixSocket,
    /// The URL goes on behind the database.
    #[error("a Redis URL takes no {0} here; expected redis://[[user]:password@]host[:port][/database]")]
    Extra(&'static str),
    /// A user without a password.
    #[error("the Redis URL names a user but no password; expected redis://user:password@host[:port][/database]")]
    UserWithoutPassword,
    /// The prefix has characters that it can't have, none, or too many.
    #[error("{0:?} can't begin names in Redis: 1 to {MAX_PREFIX} letters, digits, '-', '_', '.' and ':' can")]
    Prefix(String),
}

/// A checked address with what it takes to log in.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: RedisConnectionInfo,
}

impl Endpoint {
    pub(super) fn parse(config: &RedisConfig) -> Result<Self, InvalidRedisConfig> {
        if !is_prefix(&config.prefix) {
            return Err(InvalidRedisConfig::Prefix(config.prefix.clone()));
        }
        refuse_unsupported(&config.url)?;
        let malformed = |error: redis::RedisError| {
            InvalidRedisConfig::Url(error.detail().map_or_else(|| error.to_string(), str::to_owned))
        };
        let info = config.url.as_str().into_connection_info().map_err(malformed)?;
        // Redis before 7.2 doesn't know the command; our connections have names that say more.
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        if login.db() < 0 {
            return Err(InvalidRedisConfig::Url("the database number is negative".to_owned()));
        }
        if login.username().is_some() && login.password().is_none() {
            return Err(InvalidRedisConfig::UserWithoutPassword);
        }
        match info.addr() {
            ConnectionAddr::Tcp(_, 0) => Err(InvalidRedisConfig::Url("the port is 0".to_owned())),
            ConnectionAddr::Tcp(host, port) => Ok(Self { host: host.clone(), port: *port, login }),
            ConnectionAddr::TcpTls { .. } => Err(InvalidRedisConfig::Tls),
            _ => Err(InvalidRedisConfig::UnixSocket),
        }
    }

    pub(super) fn database(&self) -> i64 {
        self.login.db()
    }

    /// `text` without the password: servers repeat the arguments of commands that they don't know.
    pub(super) fn scrub(&self, text: &str) -> String {
        match self.login.password() {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        }
    }
}

fn refuse_unsupported(url: &str) -> Result<(), InvalidRedisConfig> {
    let Some(url) = redis::parse_redis_url(url) else {
        return Err(InvalidRedisConfig::Url("the scheme or the form is wrong".to_owned()));
    };
    match url.scheme() {
        "rediss" | "valkeys" => return Err(InvalidRedisConfig::Tls),
        "unix" | "redis+unix" | "valkey+unix" => return Err(InvalidRedisConfig::UnixSocket),
        _ => {}
    }
    if url.query().is_some() {
        return Err(InvalidRedisConfig::Extra("query (?…)"));
    }
    if url.fragment().is_some() {
        return Err(InvalidRedisConfig::Extra("fragment (#…)"));
    }
    Ok(())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}/{})", self.database())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(url: &str, prefix: &str) -> Result<Endpoint, InvalidRedisConfig> {
        let node = NodeId::from_random(1);
        Endpoint::parse(&RedisConfig { url: url.to_owned(), prefix: prefix.to_owned(), node })
    }

    #[track_caller]
    fn good(url: &str, expected: &str) {
        assert_eq!(format!("{:?}", parse(url, "fanwire").unwrap()), expected);
    }

    #[track_caller]
    fn bad(url: &str, expected: &str) {
        let error = parse(url, "fanwire").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn urls_are_read() {
        good("redis://127.0.0.1", "Endpoint(127.0.0.1:6379/0)");
        good("redis://cache.example:7000/3", "Endpoint(cache.example:7000/3)");
        good("redis://[::1]:7000", "Endpoint(::1:7000/0)");
        good("valkey://user:secret@127.0.0.1", "Endpoint(127.0.0.1:6379/0)");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named_without_its_secret() {
        bad("", "form");
        bad("127.0.0.1:6379", "form");
        bad("http://:secret@127.0.0.1", "scheme");
        bad("redis://:secret@127.0.0.1:notaport", "form");
        bad("redis://:secret@127.0.0.1/news", "database number");
        bad("redis://:secret@127.0.0.1/-1", "database number");
        bad("redis://:secret@0.0.0.0", "wildcard");
        bad("redis://:secret@127.0.0.1:0", "the port is 0");
        bad("redis://", "host");
        bad("redis:// cache", "form");
        bad("rediss://:secret@127.0.0.1", "TLS");
        bad("unix:///tmp/redis.sock?pass=secret", "Unix socket");
        bad("redis://:secret@127.0.0.1/0?protocol=resp3", "query");
        bad("redis://:secret@127.0.0.1/0#insecure", "fragment");
        bad("redis://user@127.0.0.1", "password");
    }

    #[test]
    fn a_prefix_that_would_break_names_is_refused() {
        let error = parse("redis://127.0.0.1", "fan{wire}").unwrap_err();
        assert_eq!(error, InvalidRedisConfig::Prefix("fan{wire}".to_owned()));
    }

    #[test]
    fn passwords_are_shown_nowhere() {
        let config = RedisConfig {
            url: "redis://:secret@127.0.0.1".to_owned(),
            prefix: "fanwire".to_owned(),
            node: NodeId::from_random(1),
        };
        let endpoint = Endpoint::parse(&config).unwrap();
        let shown = format!("{config:?} {endpoint:?} {endpoint} {}", endpoint.scrub("args: 'secret'"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
