//! Keys that an issuer publishes at an address (JWK Set, RFC 7517).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `jwk` | one key, and why it is not used |
//! | [`set`] | what an answer says, as a whole |
//! | [`source`] | where the answer comes from |
//! | [`published`] | the keys that are in force, and tokens that wait for others |

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jwk;
pub mod published;
pub mod set;
pub mod source;

pub use jwk::Skipped;
pub use published::PublishedKeys;
pub use set::KeySet;
pub use source::{Source, Unread};
