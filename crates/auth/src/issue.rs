//! From claims to a token.

use crate::{SigningKey, claims::Claims, provider};
use jsonwebtoken::{Header, encode};
use thiserror::Error;

/// A token that could not be signed.
#[derive(Debug, Error)]
#[error("can't sign the token: {0}")]
pub struct Unsigned(String);

/// The token that says `claims`, signed with `key` and naming it.
///
/// # Errors
///
/// If the key can't sign.
pub fn issue(claims: &Claims, key: &SigningKey) -> Result<String, Unsigned> {
    provider::install();
    let mut header = Header::new(key.algorithm);
    header.kid = Some(key.id.clone());
    encode(&header, claims, &key.key).map_err(|error| Unsigned(error.to_string()))
}
