//! What a server of a cluster answers that has done nothing, and who may do it.

use crate::redis::{slot::SLOTS, topology::is_host};
use redis::{ServerError, Value};

/// Why a command had no effect and may have one when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Again {
    /// The server does not have the script.
    Unknown,
    /// Another server has the slot.
    Elsewhere(Redirect),
    /// The server can't do it now: the slot is on its way to another one, nobody serves it, or the server starts.
    ///
    /// ASK is among these. What is published at the server that a slot is on its way to is heard by nobody, since
    /// nobody can be subscribed there before it has arrived.
    Later,
}

/// Where a slot is, as a server says that hasn't got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) slot: u16,
    /// Empty for the host of the server that said it.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Again {
    /// Whether it may be sent again, according to the code of an error and what follows it.
    pub(super) fn read(code: &str, rest: Option<&str>) -> Option<Self> {
        match code {
            "NOSCRIPT" => Some(Self::Unknown),
            "MOVED" => Some(rest.and_then(Redirect::read).map_or(Self::Later, Self::Elsewhere)),
            "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => Some(Self::Later),
            _ => None,
        }
    }

    /// Whether what was answered with `reply` may be sent again.
    pub(super) fn in_reply(reply: &Value) -> Option<Self> {
        match reply {
            Value::ServerError(error) => Self::of(error),
            _ => None,
        }
    }

    pub(super) fn of(error: &ServerError) -> Option<Self> {
        Self::read(error.code(), error.details())
    }
}

impl Redirect {
    /// What stands behind MOVED: slot, host and port.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (slot, place) = text.split_once(' ')?;
        let (host, port) = place.rsplit_once(':')?;
        let host = if host == "?" { "" } else { host };
        let slot = slot.parse().ok().filter(|slot| *slot < SLOTS)?;
        is_host(host).then_some(Self { slot, host: host.to_owned(), port: port.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, rest: Option<&str>, expected: Option<&Again>) {
        assert_eq!(Again::read(code, rest).as_ref(), expected);
    }

    #[test]
    fn what_had_no_effect_is_told_apart() {
        let redirect = |host: &str| Again::Elsewhere(Redirect { slot: 3999, host: host.to_owned(), port: 6381 });
        check("MOVED", Some("3999 127.0.0.1:6381"), Some(&redirect("127.0.0.1")));
        check("MOVED", Some("3999 :6381"), Some(&redirect("")));
        check("MOVED", Some("3999 ?:6381"), Some(&redirect("")));
        check("MOVED", Some("3999 fe80::1:6381"), Some(&redirect("fe80::1")));
        check("MOVED", Some("16384 127.0.0.1:6381"), Some(&Again::Later));
        check("MOVED", Some("3999 a\u{7}:6381"), Some(&Again::Later));
        check("MOVED", Some("nonsense"), Some(&Again::Later));
        check("MOVED", None, Some(&Again::Later));
        check("NOSCRIPT", Some("No matching script."), Some(&Again::Unknown));
        for later in ["ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN"] {
            check(later, Some("text"), Some(&Again::Later));
        }
        for other in ["ERR", "NOPERM", "OOM", "READONLY", "CROSSSLOT"] {
            check(other, None, None);
        }
    }
}
