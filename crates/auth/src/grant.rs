//! What is left of a token when it has been verified.

use crate::Rights;
use fanwire_protocol::{Content, UserId};
use std::time::Duration;

/// What its bearer may do, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Whom it was made out to.
    pub user: Option<UserId>,
    /// What others may be told of its bearer.
    pub info: Option<Content>,
    /// What its bearer may do.
    pub rights: Rights,
    /// The token's own name (`jti`), if it has one.
    pub id: Option<Box<str>>,
    /// For how long it holds from the moment on at which it was verified.
    pub lasts: Duration,
}
