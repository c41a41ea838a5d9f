//! Who may use the internal port for more than metrics and health.

use crate::origins::{Scheme, is_loopback};
use fanwire_auth::ApiKeys;
use http::{HeaderMap, StatusCode, header, uri::Authority};
use std::net::IpAddr;

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No key, or a wrong one.
    Key,
    /// No key is configured, and this is not the machine itself.
    Elsewhere,
    /// No key is configured, and a browser could have been made to ask: another `Host` than this machine.
    Host,
    /// The same: a page of somewhere else.
    Origin,
}

impl Denied {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Key => StatusCode::UNAUTHORIZED,
            Self::Elsewhere | Self::Host | Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Key => "expected Authorization: Bearer with one of the keys in api.keys",
            Self::Elsewhere => "without api.keys this is for the node's own machine alone",
            Self::Host => "without api.keys Host must be localhost or a loopback address",
            Self::Origin => "without api.keys this is not for web pages of other origins",
        }
    }
}

/// Whether a request from `peer` with `headers`, sent over `scheme`, may be answered.
pub(super) fn check(keys: &ApiKeys, scheme: Scheme, peer: IpAddr, headers: &HeaderMap) -> Result<(), Denied> {
    if !keys.is_empty() {
        return if bearer(headers).is_some_and(|key| keys.include(key)) { Ok(()) } else { Err(Denied::Key) };
    }
    if !peer.to_canonical().is_loopback() {
        return Err(Denied::Elsewhere);
    }
    let Some(host) = host(headers).filter(|host| is_loopback(host.host())) else { return Err(Denied::Host) };
    let own = format!("{}://{host}", scheme.as_str());
    let is_own =
        headers.get_all(header::ORIGIN).iter().all(|origin| origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()));
    if is_own { Ok(()) } else { Err(Denied::Origin) }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut lines = headers.get_all(header::HOST).iter();
    let only = lines.next().filter(|_| lines.next().is_none())?;
    Authority::try_from(only.as_bytes()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "a key of the tests that is long enough";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, value.parse().unwrap());
            headers
        })
    }

    #[track_caller]
    fn denied(keys: &[&str], peer: &str, lines: &[(&'static str, &str)], expected: Option<Denied>) {
        let keys = ApiKeys::new(keys.iter().map(|key| key.as_bytes())).unwrap();
        assert_eq!(
            check(&keys, Scheme::Http, peer.parse().unwrap(), &headers(lines)).err(),
            expected,
            "{peer} {lines:?}"
        );
    }

    #[test]
    fn without_keys_it_is_for_this_machine_alone() {
        denied(&[], "127.0.0.1", &[("host", "localhost:8766")], None);
        denied(&[], "::ffff:127.0.0.1", &[("host", "[::1]")], None);
        denied(&[], "10.0.0.1", &[("host", "localhost:8766")], Some(Denied::Elsewhere));
        denied(&[], "127.0.0.1", &[("host", "evil.example:8766")], Some(Denied::Host));
        denied(&[], "127.0.0.1", &[], Some(Denied::Host));
        denied(&[], "127.0.0.1", &[("host", "localhost"), ("host", "localhost")], Some(Denied::Host));
        let origin = |origin| [("host", "localhost:8766"), ("origin", origin)];
        denied(&[], "127.0.0.1", &origin("http://localhost:8766"), None);
        denied(&[], "127.0.0.1", &origin("http://localhost:3000"), Some(Denied::Origin));
        denied(&[], "127.0.0.1", &origin("https://localhost:8766"), Some(Denied::Origin));
        denied(&[], "127.0.0.1", &origin("http://evil.example"), Some(Denied::Origin));
        denied(&[], "127.0.0.1", &origin("null"), Some(Denied::Origin));
    }

    #[test]
    fn over_tls_its_own_pages_are_those_of_https() {
        let check = |scheme, origin| {
            let headers = headers(&[("host", "localhost"), ("origin", origin)]);
            check(&ApiKeys::default(), scheme, IpAddr::from([127, 0, 0, 1]), &headers)
        };
        assert_eq!(check(Scheme::Https, "https://localhost"), Ok(()));
        assert_eq!(check(Scheme::Https, "http://localhost"), Err(Denied::Origin));
    }

    #[test]
    fn with_keys_it_is_for_those_who_have_one_wherever_they_are() {
        let bearer = |value: &'static str| [("authorization", value)];
        let (right, wrong) =
            ("Bearer a key of the tests that is long enough", "Bearer a key of the tests that is long enough too");
        denied(&["other key that is long enough as well", KEY], "10.0.0.1", &bearer(right), None);
        denied(&[KEY], "10.0.0.1", &bearer(wrong), Some(Denied::Key));
        denied(&[KEY], "127.0.0.1", &[("host", "localhost")], Some(Denied::Key));
        denied(&[KEY], "127.0.0.1", &bearer(KEY), Some(Denied::Key));
        denied(&[KEY], "127.0.0.1", &bearer("Bearer "), Some(Denied::Key));
    }
}
