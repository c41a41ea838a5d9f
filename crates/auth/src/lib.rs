//! Who a token says that its bearer is, and what they may do.
//!
//! This crate knows no connections and no broker, and not how a token came here. It fetches keys when it is told to.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`api_keys`] | keys of the internal HTTP API |
//! | [`key`] | a key that tokens are signed or verified with, and the one algorithm that it is for |
//! | [`jwks`] | keys that an issuer publishes at an address |
//! | `provider` | the cryptography, by ring |
//! | [`claims`] | what a token says, and whether that holds now |
//! | [`rights`] | channels by patterns, and what may be done there |
//! | [`grant`] | what is left of a token when it has been verified |
//! | [`verifier`] | from a token to a grant |
//! | [`issue`] | from claims to a token |

pub mod api_keys;
pub mod claims;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod grant;
pub mod issue;
pub mod jwks;
pub mod key;
mod provider;
pub mod rights;
pub mod verifier;

pub use api_keys::{ApiKeys, InvalidApiKey};
pub use claims::Expectations;
pub use grant::Grant;
pub use jwks::PublishedKeys;
pub use key::{InvalidKey, KeySource, SigningKey};
pub use rights::{ChannelPattern, Right, Rights};
pub use verifier::{InvalidToken, Verifier};
