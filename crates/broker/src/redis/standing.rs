//! What a server is.

use redis::Value;
use std::fmt;

/// What a server says of itself to HELLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) version: String,
    /// `standalone`, `sentinel` or `cluster`.
    pub(super) mode: String,
    /// `master` or `replica`; Sentinels have none.
    pub(super) role: String,
}

impl Standing {
    /// The answer to HELLO in RESP2: names and values in turn.
    pub(super) fn read(hello: &Value) -> Option<Self> {
        let field = |name: &str| pair(hello, name).and_then(text);
        Some(Self { version: field("version")?, mode: field("mode")?, role: field("role").unwrap_or_default() })
    }

    /// Why a node can't work with this server, if it can't.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        match (self.mode.as_str(), self.role.as_str()) {
            ("sentinel", _) => Some("is a Sentinel and no Redis: redis.mode = \"sentinel\" is for its primary"),
            (_, "master") => None,
            _ => Some("is a replica, which takes no publications"),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.role == "master" { "primary" } else { &self.role };
        write!(f, "version {}, {}, {role}", self.version, self.mode)
    }
}

/// The value beside `name` in a list of names and values.
pub(super) fn pair<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Array(items) = list else { return None };
    let mut pairs = items.chunks_exact(2);
    pairs.find(|pair| matches!(&pair[0], Value::BulkString(found) if found == name.as_bytes())).map(|pair| &pair[1])
}

/// A text as a server sends it.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(mode: &str, role: &str) -> Value {
        let bulk = |text: &str| Value::BulkString(text.into());
        let known = [("server", "redis"), ("version", "7.0.15"), ("mode", mode), ("role", role)];
        let mut list: Vec<_> = known.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
        list.extend([bulk("proto"), Value::Int(2), bulk("modules"), Value::Array(Vec::new())]);
        Value::Array(list)
    }

    #[track_caller]
    fn check(mode: &str, role: &str, shown: &str, fits: bool) {
        let standing = Standing::read(&hello(mode, role));
        assert_eq!(standing.as_ref().map(ToString::to_string).as_deref(), Some(shown));
        assert_eq!(standing.map(|standing| standing.unfit().is_none()), Some(fits));
    }

    #[test]
    fn only_a_primary_is_fit() {
        check("standalone", "master", "version 7.0.15, standalone, primary", true);
        check("standalone", "replica", "version 7.0.15, standalone, replica", false);
        check("cluster", "master", "version 7.0.15, cluster, primary", true);
    }

    #[test]
    fn a_sentinel_has_no_role() {
        let bulk = |text: &str| Value::BulkString(text.into());
        let hello = ["version", "7.0.15", "mode", "sentinel"].map(bulk);
        let standing = Standing::read(&Value::Array(hello.to_vec()));
        assert!(standing.and_then(|standing| standing.unfit()).is_some_and(|unfit| unfit.contains("Sentinel")));
    }

    #[test]
    fn what_is_no_answer_to_hello_says_nothing() {
        assert_eq!(Standing::read(&Value::Okay), None);
        assert_eq!(Standing::read(&Value::Array(vec![Value::Nil, Value::Nil, Value::Int(1)])), None);
    }
}
