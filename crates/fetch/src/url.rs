//! Where a service is.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri, header, request};
use percent_encoding::percent_decode_str;
use std::fmt;
use thiserror::Error;
use url::{Host, Url};
use zeroize::Zeroizing;

/// The longest URL, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Why a text is no URL of a service. What the text was is not repeated, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidUrl {
    /// It is none at all.
    #[error("is no URL: {0}; expected https://HOST[:PORT]/PATH")]
    Unreadable(String),
    /// It has more bytes than a URL may.
    #[error("has {0} bytes; expected a URL of at most {MAX_LENGTH}")]
    TooLong(usize),
    /// Another scheme.
    #[error("begins neither with https:// nor with http://")]
    Scheme,
    /// What anybody on the way could change.
    #[error("is http:// to another machine, where anybody on the way can change the answer; expected https://")]
    Plain,
    /// A part that no server ever sees.
    #[error("has a fragment (#), which no server gets")]
    Fragment,
}

/// The address of a service: `https://`, or `http://` on this machine. A user and a password in it are sent as
/// `Authorization: Basic` (RFC 7617). Shown, it has neither password nor query.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    uri: Uri,
    authorization: Option<HeaderValue>,
    shown: Box<str>,
}

impl ServiceUrl {
    /// The address that is `text`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidUrl::TooLong(text.len()));
        }
        let unreadable = |error: &dyn fmt::Display| InvalidUrl::Unreadable(error.to_string());
        let mut url = Url::parse(text).map_err(|error| unreadable(&error))?;
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&url) => {}
            "http" => return Err(InvalidUrl::Plain),
            _ => return Err(InvalidUrl::Scheme),
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        let authorization = authorization(&url);
        let shown = shown(&url).into();
        // Fails only for URLs without a host, which these schemes don't have.
        let _ = (url.set_username(""), url.set_password(None));
        let uri = url.as_str().parse().map_err(|error| unreadable(&error))?;
        Ok(Self { uri, authorization, shown })
    }

    /// Whether it is asked by TLS.
    pub fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// A request to it.
    pub fn request(&self) -> request::Builder {
        let request = request::Builder::new().uri(self.uri.clone());
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let login = [decoded(url.username()), decoded(url.password().unwrap_or_default())].map(Zeroizing::new);
    let login = Zeroizing::new([login[0].as_slice(), login[1].as_slice()].join(&b':'));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*login)));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn shown(url: &Url) -> String {
    let login = match (url.username(), url.password()) {
        ("", None) => String::new(),
        // A user alone is as likely a token.
        (_, None) => "***@".to_owned(),
        (user, Some(_)) => format!("{user}:***@"),
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let query = if url.query().is_some() { "?***" } else { "" };
    format!("{}://{login}{}{port}{}{query}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str, uri: &str, authorization: Option<&str>) {
        let url = ServiceUrl::parse(text).unwrap();
        let request = url.request().body(()).unwrap();
        assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
        assert_eq!(request.uri(), uri);
        assert_eq!(request.headers().get("authorization").map(|value| value.to_str().unwrap()), authorization);
    }

    #[test]
    fn a_login_is_sent_and_not_shown() {
        check("https://a.example/keys", "https://a.example/keys", "https://a.example/keys", None);
        check("http://[::1]:80/a?b=c", "http://[::1]/a?***", "http://[::1]/a?b=c", None);
        check("http://localhost:8080", "http://localhost:8080/", "http://localhost:8080/", None);
        // RFC 7617, section 2.
        let basic = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        check("https://Aladdin:open%20sesame@a/", "https://Aladdin:***@a/", "https://a/", basic);
        check("https://token@a/", "https://***@a/", "https://a/", Some("Basic dG9rZW46"));
    }

    #[test]
    fn what_can_not_be_trusted_is_no_address() {
        for (text, wrong) in [
            ("http://a.example/keys", InvalidUrl::Plain),
            ("http://127.0.0.1.a.example/", InvalidUrl::Plain),
            ("http://localhost.a.example/", InvalidUrl::Plain),
            ("http://user@10.0.0.1/", InvalidUrl::Plain),
            ("http://0.0.0.0/", InvalidUrl::Plain),
            ("file:///etc/passwd", InvalidUrl::Scheme),
            ("redis://localhost", InvalidUrl::Scheme),
            ("https://a/#b", InvalidUrl::Fragment),
            (&format!("https://a/{}", "b".repeat(MAX_LENGTH)), InvalidUrl::TooLong(MAX_LENGTH + 10)),
        ] {
            assert_eq!(ServiceUrl::parse(text), Err(wrong), "{text}");
        }
        for text in ["", "a.example", "https://", "https://user:hunter2@", "https://a:port/"] {
            let wrong = ServiceUrl::parse(text).unwrap_err();
            assert!(matches!(wrong, InvalidUrl::Unreadable(_)), "{text}");
            assert!(!wrong.to_string().contains("hunter2"));
        }
    }
}
