//! The header by which trusted proxies tell who the user is.

use fanwire_protocol::{UserId, member::InvalidUserId};
use http::{HeaderMap, HeaderName};
use thiserror::Error;

/// The name of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserHeader(HeaderName);

/// A text that names no header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no name of a header, such as X-User: letters, digits and - are")]
pub struct InvalidHeader(String);

/// Why a request tells no user though it has the header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum InvalidUser {
    #[error("the header {0} stands there more than once")]
    Twice(HeaderName),
    #[error("the header {0} is not UTF-8")]
    Text(HeaderName),
    #[error("the header {0}: {1}")]
    Id(HeaderName, InvalidUserId),
}

impl UserHeader {
    /// The header that is called `name`.
    ///
    /// # Errors
    ///
    /// When no header can be called so.
    pub fn parse(name: &str) -> Result<Self, InvalidHeader> {
        name.parse().map(Self).map_err(|_| InvalidHeader(name.to_owned()))
    }

    /// The user that `headers` tell, if they tell one.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Result<Option<UserId>, InvalidUser> {
        let mut values = headers.get_all(&self.0).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(InvalidUser::Twice(self.0.clone()));
        }
        let text = str::from_utf8(value.as_bytes()).map_err(|_| InvalidUser::Text(self.0.clone()))?;
        UserId::parse(text).map(Some).map_err(|error| InvalidUser::Id(self.0.clone(), error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check(values: &[&[u8]], expected: Result<Option<&str>, &str>) {
        let header = UserHeader::parse("X-User").unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-user", HeaderValue::from_bytes(value).unwrap());
        }
        let told = header.user(&headers).map_err(|error| error.to_string());
        let told = told.as_ref().map(|user| user.as_ref().map(UserId::as_str)).map_err(String::as_str);
        assert_eq!(told, expected);
    }

    #[test]
    fn a_user_is_told_once_and_legibly() {
        check(&[], Ok(None));
        check(&[b"zoe"], Ok(Some("zoe")));
        check(&["Zoë 1".as_bytes()], Ok(Some("Zoë 1")));
        check(&[b"a", b"a"], Err("the header x-user stands there more than once"));
        check(&[b"\xff"], Err("the header x-user is not UTF-8"));
        check(&[b""], Err("the header x-user: a user has 1 to 128 bytes, this one has 0"));
        let control = "the header x-user: a user has printable characters only, at byte 1 is another one";
        check(&[b"a\tb"], Err(control));
    }

    #[test]
    fn names_are_those_of_headers() {
        assert!(UserHeader::parse("X-Auth-User").is_ok());
        for bad in ["", "a b", "a:", "é"] {
            assert_eq!(UserHeader::parse(bad), Err(InvalidHeader(bad.to_owned())));
        }
    }
}
