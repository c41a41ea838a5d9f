//! The address of Redis, whose password is shown to nobody.

use std::{fmt, str::FromStr};

/// `redis://[[user]:password@]host[:port][/database]`, or `valkey://…`, or empty for the embedded memory broker.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct RedisUrl(String);

impl RedisUrl {
    /// The whole URL, secrets included; `None` for the embedded memory broker.
    pub(crate) fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

impl FromStr for RedisUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let rest = text.strip_prefix("redis://").or_else(|| text.strip_prefix("valkey://")).ok_or(())?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or((":", authority));
        let complete =
            login.contains(':') && is_address(address) && (database.is_empty() || database.parse::<u16>().is_ok());
        let plain = !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '?' || c == '#');
        if complete && plain { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

/// Whether `text` is `host` or `host:port`; an IPv6 host stands in brackets.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(']') {
        Some((host, port)) => (host.strip_prefix('[').unwrap_or_default(), port.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `text` with everything hidden that may be a secret, also where it is no proper URL.
///
/// What stands before the last `@` is hidden but for the scheme and a user's name, and so is a query.
pub(crate) fn hide(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let (secrets, rest) = rest.rsplit_once('@').map_or((None, rest), |(secrets, rest)| (Some(secrets), rest));
    let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, _)| (place, "?***"));
    match secrets {
        None => format!("{scheme}{place}{query}"),
        Some(secrets) => {
            let user = secrets.split_once(':').filter(|_| !scheme.is_empty()).map_or("", |(user, _)| user);
            format!("{scheme}{user}:***@{place}{query}")
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool, shown: &str) {
        assert_eq!(text.parse::<RedisUrl>().is_ok(), valid, "{text}");
        assert_eq!(hide(text), shown);
    }

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        check("", true, "");
        check("redis://127.0.0.1:6379", true, "redis://127.0.0.1:6379");
        check("redis://redis/3", true, "redis://redis/3");
        check("redis://[::1]:6379", true, "redis://[::1]:6379");
        check("redis://:hunter2@redis:6379", true, "redis://:***@redis:6379");
        check("redis://app:hun@ter2@redis", true, "redis://app:***@redis");
        check("valkey://app:hunter2@redis", true, "valkey://app:***@redis");
        check("redis://hunter2@redis", false, "redis://:***@redis");
        check("redis:6379", false, "redis:6379");
        check("app:hunter2@redis", false, ":***@redis");
        check("rediss://app:hunter2@redis", false, "rediss://app:***@redis");
        check("redis://redis?pass=hunter2", false, "redis://redis?***");
        check("redis://", false, "redis://");
        check("redis://redis:port", false, "redis://redis:port");
        check("redis://redis:0", false, "redis://redis:0");
        check("redis://redis/three", false, "redis://redis/three");
        check("redis:// redis", false, "redis:// redis");
    }
}
