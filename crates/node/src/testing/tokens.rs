//! Tokens that a fixture takes, signed by a key that it knows.

use crate::Auth;
use fanwire_auth::{Expectations, KeySource, Verifier, issue::issue};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A connection has so long to send its token.
pub(crate) const AUTH_TIMEOUT: Duration = Duration::from_secs(10);

/// A secret; any file of some length will do.
fn key() -> KeySource {
    format!("k:HS256:{}/../auth/tests/keys/p256.pem", env!("CARGO_MANIFEST_DIR")).parse().unwrap()
}

/// Takes tokens of [`token`], and connections that send theirs late.
pub(crate) fn auth() -> Auth {
    let verifier = Arc::new(Verifier::new(&[key()], Expectations::default()).unwrap());
    Auth { verifier, anonymous: false, query: false, timeout: AUTH_TIMEOUT }
}

/// A token with `claims` that holds for so many seconds from now on, by the system's clock.
pub(crate) fn token(mut claims: Value, lasts: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    claims["exp"] = (now + f64::from(lasts)).into();
    issue(&serde_json::from_value(claims).unwrap(), &key().signing().unwrap()).unwrap()
}
