//! What a token says, and whether that holds now.

use crate::{Grant, InvalidToken, Rights};
use fanwire_protocol::{Content, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// The longest `info`, in bytes.
pub const MAX_INFO: usize = 1024;

/// The longest `jti`, in bytes.
pub const MAX_TOKEN_ID: usize = 128;

/// What a node expects of all tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// For whom they are made: one of `aud` must be among these. Empty: a token that names an audience is refused, for
    /// it is meant for somebody else.
    pub audiences: Vec<String>,
    /// Who makes them: `iss` must be among these, unless this is empty.
    pub issuers: Vec<String>,
    /// By how much the clocks of nodes and issuers may differ.
    pub leeway: Duration,
    /// How long from now on they may hold at most.
    pub lifetime: Duration,
}

impl Default for Expectations {
    /// Nothing in particular.
    fn default() -> Self {
        let (audiences, issuers) = (Vec::new(), Vec::new());
        Self { audiences, issuers, leeway: Duration::ZERO, lifetime: Duration::MAX }
    }
}

/// The claims of a token (RFC 7519, section 4.1), and ours. Others are of no concern.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// From when on it does not hold any more, in seconds since the Unix epoch. No token holds for ever.
    pub exp: Option<Seconds>,
    /// From when on it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Seconds>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Seconds>,
    /// For whom it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// What others may be told of the user: any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RawValue>>,
    /// What the bearer may do.
    #[serde(default)]
    pub rights: Rights,
}

/// A time in seconds since the Unix epoch, perhaps with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub f64);

/// One audience or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    fn includes(&self, name: &String) -> bool {
        match self {
            Self::One(only) => only == name,
            Self::Several(names) => names.contains(name),
        }
    }
}

impl Claims {
    /// What these grant at `now`, the time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Which of them does not hold.
    pub(crate) fn grant(self, expected: &Expectations, now: Duration) -> Result<Grant, InvalidToken> {
        let lasts = self.lasts(expected, now.as_secs_f64())?;
        self.check_audience(&expected.audiences)?;
        let issued_by_one = self.iss.as_ref().is_some_and(|issuer| expected.issuers.contains(issuer));
        if !expected.issuers.is_empty() && !issued_by_one {
            return Err(InvalidToken::Issuer);
        }
        let user = self.sub.as_deref().map(UserId::parse).transpose();
        Ok(Grant {
            user: user.map_err(|error| InvalidToken::claim("sub", error))?,
            info: self.info.as_deref().map(info).transpose()?,
            rights: self.rights,
            id: self.jti.map(token_id).transpose()?,
            lasts,
        })
    }

    /// How much longer it holds.
    fn lasts(&self, expected: &Expectations, now: f64) -> Result<Duration, InvalidToken> {
        let (leeway, lifetime) = (expected.leeway.as_secs_f64(), expected.lifetime.as_secs_f64());
        let Some(Seconds(expires)) = self.exp else { return Err(InvalidToken::NoEnd) };
        let in_future = |time: Option<Seconds>| time.is_some_and(|Seconds(time)| time > now + leeway);
        if in_future(self.nbf) || in_future(self.iat) {
            return Err(InvalidToken::NotYet);
        }
        let left = expires + leeway - now;
        if left <= 0.0 {
            return Err(InvalidToken::Expired);
        }
        if left > lifetime + 2.0 * leeway {
            return Err(InvalidToken::TooLong);
        }
        Duration::try_from_secs_f64(left).map_err(|_| InvalidToken::TooLong)
    }

    fn check_audience(&self, audiences: &[String]) -> Result<(), InvalidToken> {
        let fits = match &self.aud {
            None => audiences.is_empty(),
            Some(audience) => audiences.iter().any(|name| audience.includes(name)),
        };
        if fits { Ok(()) } else { Err(InvalidToken::Audience) }
    }
}

fn info(raw: &RawValue) -> Result<Content, InvalidToken> {
    let text = raw.get();
    if text.len() > MAX_INFO {
        return Err(InvalidToken::claim("info", format!("{} bytes are too many, at most {MAX_INFO}", text.len())));
    }
    Content::json(text).map_err(|error| InvalidToken::claim("info", error))
}

fn token_id(id: String) -> Result<Box<str>, InvalidToken> {
    if (1..=MAX_TOKEN_ID).contains(&id.len()) {
        return Ok(id.into());
    }
    Err(InvalidToken::claim("jti", format!("expected 1 to {MAX_TOKEN_ID} bytes")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn grant(claims: Value) -> Result<Grant, InvalidToken> {
        let expected = Expectations {
            audiences: vec!["fanwire".to_owned(), "other".to_owned()],
            issuers: vec!["issuer".to_owned()],
            leeway: Duration::from_secs(10),
            ..Expectations::default()
        };
        let claims: Claims = serde_json::from_value(claims).unwrap();
        claims.grant(&expected, NOW)
    }

    /// Claims that hold, but for these.
    fn with(changes: &Value) -> Result<Grant, InvalidToken> {
        let mut claims = json!({ "sub": "u", "exp": 1_000_060, "aud": "fanwire", "iss": "issuer", "more": {} });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        grant(claims)
    }

    #[test]
    fn what_holds_grants() {
        let granted = with(&json!({ "jti": "t", "info": { "a": 1 }, "rights": { "broadcast": true } })).unwrap();
        assert_eq!(granted.user, UserId::parse("u").ok());
        assert_eq!((granted.id.as_deref(), granted.lasts), (Some("t"), Duration::from_secs(70)));
        assert_eq!(granted.info, Content::json(r#"{"a":1}"#).ok());
        assert!(granted.rights.broadcast);
        assert!(with(&json!({ "aud": ["x", "other"] })).is_ok());
        assert!(with(&json!({ "sub": null })).unwrap().user.is_none());
    }

    #[test]
    fn times_hold_with_some_leeway() {
        assert_eq!(with(&json!({ "exp": 999_990.5 })).unwrap().lasts, Duration::from_millis(500));
        assert_eq!(with(&json!({ "exp": 999_990 })), Err(InvalidToken::Expired));
        assert_eq!(with(&json!({ "exp": -1e300 })), Err(InvalidToken::Expired));
        assert_eq!(with(&json!({ "exp": 1e300 })), Err(InvalidToken::TooLong));
        assert_eq!(with(&json!({ "exp": null })), Err(InvalidToken::NoEnd));
        for time in ["nbf", "iat"] {
            assert!(with(&json!({ time: 1_000_010 })).is_ok());
            assert_eq!(with(&json!({ time: 1_000_011 })), Err(InvalidToken::NotYet));
        }
    }

    #[test]
    fn no_token_lasts_longer_than_it_may() {
        let expected = Expectations {
            leeway: Duration::from_secs(10),
            lifetime: Duration::from_secs(100),
            ..Expectations::default()
        };
        let lasts = |exp: f64| {
            let claims: Claims = serde_json::from_value(json!({ "exp": exp })).unwrap();
            claims.grant(&expected, NOW).map(|grant| grant.lasts)
        };
        assert_eq!(lasts(1_000_110.0), Ok(Duration::from_secs(120)));
        for exp in [1_000_111.0, 1e300] {
            assert_eq!(lasts(exp), Err(InvalidToken::TooLong));
        }
    }

    #[test]
    fn who_made_it_and_for_whom_must_be_expected() {
        for aud in [json!("x"), json!(["x"]), json!([]), json!(null)] {
            assert_eq!(with(&json!({ "aud": aud })), Err(InvalidToken::Audience));
        }
        for iss in [json!("x"), json!(null)] {
            assert_eq!(with(&json!({ "iss": iss })), Err(InvalidToken::Issuer));
        }
        let grant =
            |claims: Value| serde_json::from_value::<Claims>(claims).unwrap().grant(&Expectations::default(), NOW);
        assert!(grant(json!({ "exp": 1_000_060, "iss": "any" })).is_ok());
        assert_eq!(grant(json!({ "exp": 1_000_060, "aud": "any" })), Err(InvalidToken::Audience));
    }

    #[test]
    fn what_a_node_would_have_to_keep_is_bounded() {
        for claims in [
            json!({ "sub": "" }),
            json!({ "sub": "x".repeat(129) }),
            json!({ "jti": "x".repeat(129) }),
            json!({ "jti": "" }),
            json!({ "info": "x".repeat(MAX_INFO) }),
        ] {
            assert!(matches!(with(&claims), Err(InvalidToken::Claim(..))));
        }
    }
}
