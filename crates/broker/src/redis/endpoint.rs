//! A place where a server is, and how to log in there.

use crate::redis::{secret::Secret, settings::InvalidRedisConfig};
use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use std::{fmt, path::PathBuf, time::Duration};
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroizing;

/// A checked address with what it takes to log in.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) login: RedisConnectionInfo,
    /// Where the password is, if not in the login.
    secret: Option<Secret>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    /// Over TLS, with a certificate for `host`.
    Tls {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl Endpoint {
    /// What `url` says; `port` is the one where it says none.
    pub(super) fn parse(url: &str, port: u16) -> Result<Self, InvalidRedisConfig> {
        let malformed = |error: redis::RedisError| {
            InvalidRedisConfig::Url(error.detail().map_or_else(|| error.to_string(), str::to_owned))
        };
        let Some(mut url) = redis::parse_redis_url(url) else {
            return Err(InvalidRedisConfig::Url("the scheme or the form is wrong".to_owned()));
        };
        let is_unix = url.scheme().ends_with("unix");
        refuse_extras(url.query_pairs().map(|(key, _)| key), is_unix)?;
        if url.fragment().is_some() {
            return Err(InvalidRedisConfig::Extra("fragment (#…)"));
        }
        // The redis crate knows TLS only when it does it itself.
        let tls = matches!(url.scheme(), "rediss" | "valkeys") && url.set_scheme("redis").is_ok();
        let port = url.port().unwrap_or(port);
        let info = url.into_connection_info().map_err(malformed)?;
        let place = place(info.addr(), port, tls)?;
        Ok(Self { place, login: login(info.redis_settings())?, secret: None })
    }

    /// The server at `host` and `port`, which takes the same login and is as secure.
    pub(super) fn at(&self, host: String, port: u16) -> Self {
        let place = match self.place {
            Place::Tls { .. } => Place::Tls { host, port },
            Place::Tcp { .. } | Place::Unix(_) => Place::Tcp { host, port },
        };
        Self { place, login: self.login.clone(), secret: self.secret.clone() }
    }

    pub(super) fn database(&self) -> i64 {
        self.login.db()
    }

    pub(super) fn user(&self) -> &str {
        self.login.username().unwrap_or("default")
    }

    /// The same with its password in a file.
    ///
    /// # Errors
    ///
    /// When it has a password already.
    pub(super) fn with_secret(self, secret: &Secret) -> Result<Self, InvalidRedisConfig> {
        match self.login.password() {
            Some(_) => Err(InvalidRedisConfig::TwoPasswords),
            None => Ok(Self { secret: Some(secret.clone()), ..self }),
        }
    }

    /// Checks that where there is a user there is a password, without reading it.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn check_login(&self) -> Result<(), InvalidRedisConfig> {
        let has_password = self.login.password().is_some() || self.secret.is_some();
        if self.login.username().is_some() && !has_password {
            return Err(InvalidRedisConfig::UserWithoutPassword);
        }
        Ok(())
    }

    /// The password as it is now, if there is one.
    ///
    /// # Errors
    ///
    /// Why the file that has it can't be used.
    pub(super) async fn password(&self) -> Result<Option<Zeroizing<String>>, String> {
        let owned = |password: &str| Zeroizing::new(password.to_owned());
        let Some(secret) = self.secret.clone() else { return Ok(self.login.password().map(owned)) };
        match tokio::task::spawn_blocking(move || secret.read()).await {
            Ok(read) => read.map(Some).map_err(|error| error.to_string()),
            Err(failure) => Err(format!("can't read the password: {failure}")),
        }
    }

    pub(super) fn wants_tls(&self) -> bool {
        matches!(self.place, Place::Tls { .. })
    }

    /// That it did not answer within `limit`, and why that may be.
    pub(super) fn silence(&self, limit: Duration) -> String {
        let hint = if self.wants_tls() { "; ports without TLS never answer to rediss://" } else { "" };
        format!("no answer within {limit:?}{hint}")
    }

    /// `text` without the password: servers repeat the arguments of commands that they don't know.
    pub(super) fn scrub(&self, text: &str) -> String {
        let text = match self.login.password() {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        };
        match &self.secret {
            Some(secret) => secret.scrub(text),
            None => text,
        }
    }
}

impl Place {
    /// What tells servers apart, however they are reached: host and port, or a path.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port } => format!("{}:{port}", host.to_ascii_lowercase()),
            Self::Unix(path) => path.display().to_string(),
        }
    }
}

/// Only the URL of a socket has a query, for it has no other place for a login.
fn refuse_extras<T: AsRef<str>>(mut keys: impl Iterator<Item = T>, is_unix: bool) -> Result<(), InvalidRedisConfig> {
    let known = |key: T| is_unix && matches!(key.as_ref(), "db" | "user" | "pass");
    match keys.all(known) {
        true => Ok(()),
        false if is_unix => Err(InvalidRedisConfig::Extra("query but db, user and pass")),
        false => Err(InvalidRedisConfig::Extra("query (?…)")),
    }
}

fn place(address: &ConnectionAddr, port: u16, tls: bool) -> Result<Place, InvalidRedisConfig> {
    let wrong = |what: &str| Err(InvalidRedisConfig::Url(what.to_owned()));
    match address {
        ConnectionAddr::Unix(path) => Ok(Place::Unix(path.clone())),
        ConnectionAddr::Tcp(..) if port == 0 => wrong("the port is 0"),
        ConnectionAddr::Tcp(host, _) if tls => match ServerName::try_from(host.as_str()) {
            Ok(_) => Ok(Place::Tls { host: host.clone(), port }),
            Err(_) => wrong("no certificate can be for that host"),
        },
        ConnectionAddr::Tcp(host, _) => Ok(Place::Tcp { host: host.clone(), port }),
        _ => wrong("the scheme or the form is wrong"),
    }
}

fn login(settings: &RedisConnectionInfo) -> Result<RedisConnectionInfo, InvalidRedisConfig> {
    if settings.db() < 0 {
        return Err(InvalidRedisConfig::Url("the database number is negative".to_owned()));
    }
    Ok(settings.clone())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Tcp { host, port } => ("", host, port),
            Self::Tls { host, port } => ("rediss://", host, port),
            Self::Unix(path) => return write!(f, "{}", path.display()),
        };
        if host.contains(':') { write!(f, "{scheme}[{host}]:{port}") } else { write!(f, "{scheme}{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
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

    #[track_caller]
    fn good(url: &str, expected: &str) {
        assert_eq!(format!("{:?}", Endpoint::parse(url, 6379).unwrap()), expected);
    }

    #[track_caller]
    fn bad(url: &str, expected: &str) {
        let error = Endpoint::parse(url, 6379).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn urls_are_read() {
        good("redis://127.0.0.1", "Endpoint(127.0.0.1:6379/0)");
        good("redis://cache.example:7000/3", "Endpoint(cache.example:7000/3)");
        good("redis://[::1]:7000", "Endpoint([::1]:7000/0)");
        good("valkey://user:secret@127.0.0.1", "Endpoint(127.0.0.1:6379/0)");
        good("rediss://user:secret@cache.example/2", "Endpoint(rediss://cache.example:6379/2)");
        good("valkeys://127.0.0.1:7000", "Endpoint(rediss://127.0.0.1:7000/0)");
        good("unix:///run/redis.sock", "Endpoint(/run/redis.sock/0)");
        good("redis+unix:///run/redis.sock?db=4&user=app&pass=secret", "Endpoint(/run/redis.sock/4)");
    }

    #[test]
    fn a_login_is_taken_from_where_the_url_has_it() {
        for url in ["rediss://app:s%40cret@r", "redis://app:s%40cret@r", "unix:///r?user=app&pass=s%40cret"] {
            let endpoint = Endpoint::parse(url, 6379).unwrap();
            assert_eq!((endpoint.login.username(), endpoint.login.password()), (Some("app"), Some("s@cret")), "{url}");
        }
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
        bad("rediss://:secret@a_b%20c", "no certificate can be for that host");
        bad("rediss://:secret@127.0.0.1#insecure", "fragment");
        bad("unix://redis.sock?pass=secret", "path");
        bad("unix:///redis.sock?password=secret", "query but db, user and pass");
        bad("redis://:secret@127.0.0.1/0?protocol=resp3", "query");
        bad("redis://:secret@127.0.0.1/0#insecure", "fragment");
    }

    #[test]
    fn a_user_needs_a_password() {
        for url in ["redis://user@127.0.0.1", "redis+unix:///redis.sock?user=secret"] {
            let endpoint = Endpoint::parse(url, 6379).unwrap();
            assert_eq!(endpoint.check_login(), Err(InvalidRedisConfig::UserWithoutPassword));
            let secret = Secret::new(std::path::Path::new("password"));
            assert_eq!(endpoint.with_secret(&secret).unwrap().check_login(), Ok(()));
        }
        for url in ["redis://127.0.0.1", "redis://:secret@127.0.0.1", "redis://user:secret@127.0.0.1"] {
            assert_eq!(Endpoint::parse(url, 6379).unwrap().check_login(), Ok(()));
        }
    }

    #[test]
    fn passwords_are_shown_nowhere() {
        let endpoint = Endpoint::parse("redis://:secret@127.0.0.1", 6379).unwrap();
        let shown = format!("{endpoint:?} {endpoint} {}", endpoint.scrub("args: 'secret'"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
