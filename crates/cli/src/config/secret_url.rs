//! The address of a service, whose password is shown to nobody.

use std::fmt;
use zeroize::Zeroizing;

/// A URL, or nothing. What it must look like, whoever connects there knows.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretUrl(Zeroizing<String>);

impl SecretUrl {
    /// The URL `text`.
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The whole URL, secrets included; `None` for nothing.
    pub(crate) fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
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

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(SecretUrl::new(text).to_string(), shown);
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        check("", "");
        check("redis://127.0.0.1:6379", "redis://127.0.0.1:6379");
        check("redis://[::1]:6379/3", "redis://[::1]:6379/3");
        check("redis://:hunter2@redis:6379", "redis://:***@redis:6379");
        check("redis://app:hun@ter2@redis", "redis://app:***@redis");
        check("valkey://app:hun?ter2@redis", "valkey://app:***@redis");
        check("redis://hunter2@redis", "redis://:***@redis");
        check("redis:6379", "redis:6379");
        check("app:hunter2@redis", ":***@redis");
        check("rediss://app:hunter2@redis", "rediss://app:***@redis");
        check("redis://redis?pass=hunter2", "redis://redis?***");
        check("https://app:hunter2@issuer.example/keys?x", "https://app:***@issuer.example/keys?***");
    }
}
