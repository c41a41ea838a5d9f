//! Whether another connection may help, and how soon.

use crate::{Closed, Error};
use std::time::Duration;

/// The least time before coming back to a node that found this client too slow.
const AFTER_TOO_SLOW: Duration = Duration::from_secs(1);

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Soon, since other nodes are known to take over.
    Soon,
    /// With the ordinary backoff.
    Backoff,
    /// With the ordinary backoff, or one as long as this time where that is longer, after this time has passed.
    NotBefore(Duration),
}

/// When to try again after `error` ended a connection or an attempt at one; `None` if that would be useless.
pub(crate) fn pace(error: &Error) -> Option<Pace> {
    match error {
        Error::Closed(Closed { code, .. }) => after_close(*code),
        Error::Http { status, retry_after, .. } => after_refusal(*status, *retry_after),
        Error::Unreachable { .. } | Error::TimedOut(_) => Some(Pace::Backoff),
        // It will be just as wrong next time, or is no end of a connection.
        Error::Url { .. }
        | Error::NotUnderstood(_)
        | Error::NotEncodable(_)
        | Error::Refused(_)
        | Error::GaveUp { .. } => None,
    }
}

/// Codes of RFC 6455, section 7.4.1, and of IANA's registry. Useless are those that blame this client for what it would
/// do again, and those that say that all is done. 1009 blames a single message, which nobody sends again.
/// From 4400 on they are Fanwire's own, with HTTP's numbers.
fn after_close(code: Option<u16>) -> Option<Pace> {
    match code {
        Some(1012) => Some(Pace::Soon),
        Some(1013) => Some(Pace::NotBefore(AFTER_TOO_SLOW)),
        // Done; protocol error; unacceptable kind of data; not UTF-8; policy; missing extension; unauthorized; forbidden;
        // the token has expired; the operator wants this client gone; no token in time.
        Some(1000 | 1002 | 1003 | 1007 | 1008 | 1010 | 3000 | 3003 | 4401 | 4403 | 4408) => None,
        _ => Some(Pace::Backoff),
    }
}

/// 408, 425 and 429 alone of the 4xx say that the same request may succeed later.
fn after_refusal(status: u16, retry_after: Option<Duration>) -> Option<Pace> {
    match status {
        400..=407 | 409..=424 | 426..=428 | 430..=499 => None,
        _ => Some(retry_after.map_or(Pace::Backoff, Pace::NotBefore)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: Option<u16>) -> Error {
        Closed { code, reason: String::new() }.into()
    }

    #[test]
    fn close_codes() {
        let too_slow = Pace::NotBefore(AFTER_TOO_SLOW);
        for (code, expected) in [
            (None, Some(Pace::Backoff)),
            (Some(1000), None),
            (Some(1001), Some(Pace::Backoff)),
            (Some(1002), None),
            (Some(1003), None),
            (Some(1005), Some(Pace::Backoff)),
            (Some(1007), None),
            (Some(1008), None),
            (Some(1009), Some(Pace::Backoff)),
            (Some(1010), None),
            (Some(1011), Some(Pace::Backoff)),
            (Some(1012), Some(Pace::Soon)),
            (Some(1013), Some(too_slow)),
            (Some(1014), Some(Pace::Backoff)),
            (Some(3000), None),
            (Some(3003), None),
            (Some(3008), Some(Pace::Backoff)),
            (Some(4000), Some(Pace::Backoff)),
            (Some(4401), None),
            (Some(4403), None),
            (Some(4408), None),
        ] {
            assert_eq!(pace(&closed(code)), expected, "{code:?}");
        }
    }

    #[test]
    fn refused_upgrades() {
        let told = Duration::from_secs(3);
        for (status, retry_after, expected) in [
            (400, None, None),
            (401, None, None),
            (403, Some(told), None),
            (404, None, None),
            (408, None, Some(Pace::Backoff)),
            (425, None, Some(Pace::Backoff)),
            (426, None, None),
            (429, Some(told), Some(Pace::NotBefore(told))),
            (431, None, None),
            (499, None, None),
            (200, None, Some(Pace::Backoff)),
            (302, None, Some(Pace::Backoff)),
            (500, None, Some(Pace::Backoff)),
            (502, None, Some(Pace::Backoff)),
            (503, Some(told), Some(Pace::NotBefore(told))),
            (503, None, Some(Pace::Backoff)),
        ] {
            let error = Error::Http { status, body: String::new(), retry_after };
            assert_eq!(pace(&error), expected, "{status}");
        }
    }

    #[test]
    fn attempts() {
        let (url, reason) = (String::new(), String::new());
        let unreachable = Error::Unreachable { url: url.clone(), reason: reason.clone() };
        assert_eq!(pace(&unreachable), Some(Pace::Backoff));
        assert_eq!(pace(&Error::TimedOut("the node's welcome")), Some(Pace::Backoff));
        assert_eq!(pace(&Error::Url { url, reason }), None);
        assert_eq!(pace(&Error::NotUnderstood(String::new())), None);
    }
}
