//! What is answered to the offers of a client (RFC 7692, sections 5.1 and 7.1).

use super::{
    Compression, LARGEST_WINDOW, MalformedExtensions,
    extensions::{Offer, parse},
};
use std::fmt;

const NAME: &str = "permessage-deflate";

/// An offer that was accepted. Shown, it is the value of `Sec-WebSocket-Extensions` in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The bound on our window, where the client has set one.
    server_window: Option<u8>,
}

impl Agreement {
    /// Accepts the first acceptable offer in `header`, which is `Sec-WebSocket-Extensions` of a request, all of its lines
    /// joined with commas; `None` where there is none.
    ///
    /// An offer with a parameter that the standard doesn't know, or doubled, or with a value that it doesn't allow, is
    /// declined, and the next one looked at.
    pub fn of(header: &str) -> Result<Option<Self>, MalformedExtensions> {
        Ok(parse(header)?.iter().find_map(accept))
    }

    /// What the agreement means for messages to the client.
    pub fn compression(self) -> Compression {
        Compression::Deflate { window: self.server_window.unwrap_or(LARGEST_WINDOW) }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Both may be said whether or not they were asked for (sections 7.1.1.1 and 7.1.1.2). Of the client's window
        // nothing need be said: any can be inflated.
        write!(f, "{NAME}; server_no_context_takeover; client_no_context_takeover")?;
        self.server_window.map_or(Ok(()), |bits| write!(f, "; server_max_window_bits={bits}"))
    }
}

fn accept(offer: &Offer<'_>) -> Option<Agreement> {
    if offer.name != NAME {
        return None;
    }
    let mut seen = Vec::new();
    let mut server_window = None;
    for (key, value) in &offer.parameters {
        if seen.contains(key) {
            return None;
        }
        seen.push(*key);
        match (*key, value.as_deref()) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) => drop(window(bits)?),
            ("server_max_window_bits", Some(bits)) => server_window = Some(window(bits)?),
            _ => return None,
        }
    }
    Some(Agreement { server_window })
}

/// 8 to 15, without leading zeros (section 7.1.2).
fn window(bits: &str) -> Option<u8> {
    (8..=LARGEST_WINDOW).find(|window| window.to_string() == bits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[track_caller]
    fn check(header: &str, expected: Option<&str>) {
        let answer = Agreement::of(header).unwrap().map(|agreement| agreement.to_string());
        assert_eq!(answer.as_deref(), expected, "{header}");
    }

    #[test]
    fn what_browsers_and_libraries_offer_is_accepted() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"10\"",
        ] {
            check(offer, Some(BOTH));
        }
        let bounded = format!("{BOTH}; server_max_window_bits=12");
        check("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", Some(&bounded));
    }

    #[test]
    fn an_offer_that_is_invalid_is_declined_and_the_next_one_considered() {
        for parameter in [
            "unknown",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "client_max_window_bits=0",
            "client_max_window_bits=x",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=9; server_max_window_bits=9",
        ] {
            let offer = format!("permessage-deflate; {parameter}");
            check(&offer, None);
            check(&format!("{offer}, permessage-deflate"), Some(BOTH));
        }
    }

    #[test]
    fn the_first_acceptable_offer_counts() {
        let bounded = |bits| format!("{BOTH}; server_max_window_bits={bits}");
        check("permessage-deflate; server_max_window_bits=9, permessage-deflate", Some(&bounded(9)));
        check("x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=15", Some(&bounded(15)));
        check("x-webkit-deflate-frame", None);
        check("", None);
    }

    #[test]
    fn a_window_bounds_how_long_a_message_may_be() {
        let fits = |header, length| Agreement::of(header).unwrap().unwrap().compression().fits(length);
        assert!(fits("permessage-deflate", 1 << 20));
        assert!(fits("permessage-deflate; server_max_window_bits=15", 1 << 20));
        assert!(fits("permessage-deflate; server_max_window_bits=9", 512));
        assert!(!fits("permessage-deflate; server_max_window_bits=9", 513));
        assert!(!Compression::Never.fits(1));
    }
}
