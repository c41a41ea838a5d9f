//! Who is on a channel.

use crate::{ConnectionId, Content};
use serde::Serialize;
use std::{fmt, sync::Arc};
use thiserror::Error;

/// The longest id of a user, in bytes.
pub const MAX_USER_LENGTH: usize = 128;

/// Whom a connection belongs to, as told by whoever has authenticated it: 1 to [`MAX_USER_LENGTH`] bytes without
/// control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UserId(Arc<str>);

/// Why a text names no user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidUserId {
    /// It has no byte, or too many: how many.
    #[error("a user has 1 to {MAX_USER_LENGTH} bytes, this one has {0}")]
    Length(usize),
    /// A character can't be printed: at which byte.
    #[error("a user has printable characters only, at byte {0} is another one")]
    Character(usize),
}

impl UserId {
    /// Checks `text` and makes it the id of a user.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidUserId> {
        if !(1..=MAX_USER_LENGTH).contains(&text.len()) {
            return Err(InvalidUserId::Length(text.len()));
        }
        match text.char_indices().find(|(_, c)| c.is_control()) {
            Some((at, _)) => Err(InvalidUserId::Character(at)),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection that is on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub connection: ConnectionId,
    /// Whom it belongs to, where that is known.
    pub user: Option<UserId>,
    /// What it said of itself.
    pub info: Option<Content>,
}

/// What a member did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It has come.
    Join,
    /// It has gone.
    Leave,
}

/// A member that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// What it did.
    pub kind: ChangeKind,
    /// The member.
    pub member: Member,
    /// Whether its user came with it, or went: it is the user's first connection on the channel, or was the last one.
    /// `false` without a user.
    pub with_user: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn users_are_short_and_printable() {
        for valid in ["a", "Zoë 1", "a\"b\\c", &"x".repeat(MAX_USER_LENGTH)] {
            assert_eq!(UserId::parse(valid).unwrap().as_str(), valid);
        }
        assert_eq!(UserId::parse(""), Err(InvalidUserId::Length(0)));
        let long = "é".repeat(MAX_USER_LENGTH / 2 + 1);
        assert_eq!(UserId::parse(&long), Err(InvalidUserId::Length(MAX_USER_LENGTH + 2)));
        assert_eq!(UserId::parse("é\u{7f}"), Err(InvalidUserId::Character(2)));
    }
}
