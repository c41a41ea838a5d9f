//! Names of channels.

use crate::UserId;
use std::{borrow::Borrow, fmt, sync::Arc};
use thiserror::Error;

/// The longest channel name, in bytes.
pub const MAX_LENGTH: usize = 200;

/// Names that begin so are for the nodes' own use.
pub const RESERVED_PREFIX: &str = "$fanwire";

/// The channel by which nodes tell each other what to do.
const CONTROL: &str = "$fanwire:control";

/// What the names begin with under which nodes keep the leases of users' connections.
const LEASES: &str = "$fanwire:user:";

/// The namespace of a name without `:`.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A channel's name: 1 to [`MAX_LENGTH`] printable ASCII bytes without space, `{`, `}` and `*`, not beginning with
/// [`RESERVED_PREFIX`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is no channel name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidChannelName {
    /// It has no byte.
    #[error("a channel name has at least 1 byte")]
    Empty,
    /// It has more than [`MAX_LENGTH`] bytes.
    #[error("a channel name has at most {MAX_LENGTH} bytes, this one has {0}")]
    TooLong(usize),
    /// A character is outside the alphabet: which, and at which byte.
    #[error("{0:?} at byte {1} can't stand in a channel name: printable ASCII without space, '{{', '}}' and '*' can")]
    Character(char, usize),
    /// It begins with [`RESERVED_PREFIX`].
    #[error("channel names that begin with \"{RESERVED_PREFIX}\" are reserved")]
    Reserved,
}

impl ChannelName {
    /// Checks `name` and makes it a channel name.
    pub fn parse(name: &str) -> Result<Self, InvalidChannelName> {
        if name.is_empty() {
            return Err(InvalidChannelName::Empty);
        }
        if name.len() > MAX_LENGTH {
            return Err(InvalidChannelName::TooLong(name.len()));
        }
        if let Some((at, character)) = name.char_indices().find(|(_, c)| !is_allowed(*c)) {
            return Err(InvalidChannelName::Character(character, at));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(InvalidChannelName::Reserved);
        }
        Ok(Self(name.into()))
    }

    /// The channel by which nodes tell each other what to do. No client can name it.
    pub fn control() -> Self {
        Self(CONTROL.into())
    }

    /// The channel whose members are the connections of `user`, on all nodes, where those are limited. Nobody subscribes to
    /// it, and no client can name it.
    pub fn leases(user: &UserId) -> Self {
        Self(format!("{LEASES}{user}").into())
    }

    /// Checks `name` as [`Self::parse`], but for those of [`Self::control`] and [`Self::leases`]: of a name that a node has
    /// written.
    pub fn parse_of_node(name: &str) -> Result<Self, InvalidChannelName> {
        match name.strip_prefix(LEASES).map(UserId::parse) {
            Some(Ok(user)) => Ok(Self::leases(&user)),
            _ if name == CONTROL => Ok(Self::control()),
            _ => Self::parse(name),
        }
    }

    /// Whether this is one of [`Self::leases`].
    pub fn is_of_leases(&self) -> bool {
        self.0.starts_with(LEASES)
    }

    /// Whether this is [`Self::control`].
    pub fn is_control(&self) -> bool {
        *self.0 == *CONTROL
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `:`, which picks the channel's options; [`DEFAULT_NAMESPACE`] where there is none.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or(DEFAULT_NAMESPACE, |(namespace, _)| namespace)
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '{' | '}' | '*')
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<&str, InvalidChannelName>) {
        let got = ChannelName::parse(name);
        assert_eq!(got.as_ref().map(ChannelName::namespace), expected.as_ref().copied());
    }

    #[test]
    fn names_within_the_rules_have_a_namespace() {
        check("news", Ok("default"));
        check("default:news", Ok("default"));
        check("chat:room:1", Ok("chat"));
        check(":x", Ok(""));
        check("!~$", Ok("default"));
        check(&"a".repeat(MAX_LENGTH), Ok("default"));
    }

    #[test]
    fn names_outside_the_rules_are_refused_with_the_place() {
        check("", Err(InvalidChannelName::Empty));
        check(&"a".repeat(MAX_LENGTH + 1), Err(InvalidChannelName::TooLong(201)));
        check("a b", Err(InvalidChannelName::Character(' ', 1)));
        check("a{b", Err(InvalidChannelName::Character('{', 1)));
        check("news*", Err(InvalidChannelName::Character('*', 4)));
        check("r\u{e9}", Err(InvalidChannelName::Character('\u{e9}', 1)));
        check("a\r\nSUBSCRIBE", Err(InvalidChannelName::Character('\r', 1)));
        check("$fanwire:beat", Err(InvalidChannelName::Reserved));
        check(CONTROL, Err(InvalidChannelName::Reserved));
    }

    #[test]
    fn nodes_alone_name_the_channel_of_nodes() {
        assert_eq!(ChannelName::parse_of_node(CONTROL), Ok(ChannelName::control()));
        assert_eq!(ChannelName::parse_of_node("news"), ChannelName::parse("news"));
        assert_eq!(ChannelName::parse_of_node("$fanwire:beat"), Err(InvalidChannelName::Reserved));
        let leases = ChannelName::leases(&UserId::parse("Zo\u{eb} {1}").unwrap());
        assert_eq!(leases.as_str(), "$fanwire:user:Zo\u{eb} {1}");
        assert_eq!(ChannelName::parse_of_node(leases.as_str()), Ok(leases.clone()));
        assert!(leases.is_of_leases() && !ChannelName::control().is_of_leases());
        for bad in ["$fanwire:user:", "$fanwire:user:\u{7f}", &format!("$fanwire:user:{}", "x".repeat(129))] {
            assert!(ChannelName::parse_of_node(bad).is_err(), "{bad}");
        }
    }
}
