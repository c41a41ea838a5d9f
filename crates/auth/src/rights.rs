//! Channels by patterns, and what may be done there.

use fanwire_protocol::{ChannelName, channel};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;
use thiserror::Error;

/// The most patterns that a right may have.
pub const MAX_PATTERNS: usize = 100;

/// The most stars that a pattern may have.
pub const MAX_STARS: usize = 4;

/// Channels whose names look alike: in a pattern `*` stands for any characters, none too; all else stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ChannelPattern(Box<str>);

/// A text that is no pattern of channels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no pattern of channels: expected a channel's name of at most {max} bytes, in which up to {MAX_STARS} * stand \
     for any characters",
    max = channel::MAX_LENGTH
)]
pub struct InvalidPattern(String);

impl ChannelPattern {
    /// The pattern that is `text`.
    ///
    /// # Errors
    ///
    /// If no channel could have such a name.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        // A star stands for any character of a name, so another one in its place shows whether the rest is one.
        let name = ChannelName::parse(&text.replace('*', "-"));
        let is_valid = name.is_ok() && text.matches('*').count() <= MAX_STARS;
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidPattern(text.to_owned())) }
    }

    /// Whether `channel` is one of these.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        let Some((first, rest)) = self.0.split_once('*') else { return *self.0 == *name };
        let (middle, last) = rest.rsplit_once('*').map_or(("", rest), |(middle, last)| (middle, last));
        let behind = name.strip_prefix(first).and_then(|behind| behind.strip_suffix(last));
        // The first place at which a part of the middle stands leaves the most room for the others.
        let passes = |rest: Option<_>, part| rest.and_then(|rest: &str| Some(rest.split_once(part)?.1));
        middle.split('*').filter(|part| !part.is_empty()).fold(behind, passes).is_some()
    }
}

impl<'de> Deserialize<'de> for ChannelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What may be done at a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Get what is published.
    Subscribe,
    /// Publish.
    Publish,
    /// See who is there.
    Presence,
    /// Read what was published before.
    History,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
        })
    }
}

/// What the bearer of a token may do. Rights of a newer version's tokens that are not known here grant nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// Channels that may be subscribed to.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub subscribe: Patterns,
    /// Channels that may be published to.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub publish: Patterns,
    /// Channels whose members may be seen.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub presence: Patterns,
    /// Channels whose history may be read.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub history: Patterns,
    /// Whether everybody may be sent something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
}

impl Rights {
    /// Whether these grant `right` at `channel`.
    pub fn grant(&self, right: Right, channel: &ChannelName) -> bool {
        let patterns = match right {
            Right::Subscribe => &self.subscribe,
            Right::Publish => &self.publish,
            Right::Presence => &self.presence,
            Right::History => &self.history,
        };
        patterns.0.iter().any(|pattern| pattern.matches(channel))
    }
}

/// At most [`MAX_PATTERNS`] patterns; a channel is among these if it matches any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Patterns(Box<[ChannelPattern]>);

/// More patterns than [`MAX_PATTERNS`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} patterns of channels are too many: a right has at most {MAX_PATTERNS}")]
pub struct TooManyPatterns(usize);

impl Patterns {
    /// These patterns.
    ///
    /// # Errors
    ///
    /// If they are too many.
    pub fn new(patterns: Vec<ChannelPattern>) -> Result<Self, TooManyPatterns> {
        let count = patterns.len();
        if count <= MAX_PATTERNS { Ok(Self(patterns.into())) } else { Err(TooManyPatterns(count)) }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let got = ChannelPattern::parse(pattern).unwrap().matches(&ChannelName::parse(name).unwrap());
        assert_eq!(got, expected, "{pattern} and {name}");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        check("news", "news", true);
        check("news", "newsroom", false);
        check("chat:*", "chat:1", true);
        check("chat:*", "chat:", true);
        check("chat:*", "chat", false);
        check("chat:*", "chats:1", false);
        check("*", "anything:at:all", true);
        check("user:*:inbox", "user:7:inbox", true);
        check("user:*:inbox", "user:7:inbox:x", false);
        check("user:*:inbox", "user:inbox", false);
        check("a*b*c", "abc", true);
        check("a*b*c", "axbyc", true);
        check("a*b*c", "acb", false);
        check("a*bb*b", "abbb", true);
        check("a*bb*b", "abb", false);
        check("*a*b*", "xaybz", true);
        check("*a*b*", "ba", false);
        check("ab*ba", "aba", false);
        check("**", "x", true);
    }

    #[test]
    fn what_no_channel_could_be_called_is_no_pattern() {
        for text in ["", "a b", "a{b", "$fanwire*", "é", "*****", &"x".repeat(201)] {
            assert_eq!(ChannelPattern::parse(text), Err(InvalidPattern(text.to_owned())));
        }
    }

    #[test]
    fn each_right_has_its_own_channels() {
        let rights: Rights = serde_json::from_str(r#"{"subscribe":["a","b:*"],"publish":["a"],"newer":1}"#).unwrap();
        let granted = |right, name| rights.grant(right, &ChannelName::parse(name).unwrap());
        assert!(granted(Right::Subscribe, "a") && granted(Right::Subscribe, "b:1") && granted(Right::Publish, "a"));
        assert!(!granted(Right::Publish, "b:1") && !granted(Right::History, "a") && !granted(Right::Presence, "a"));
        assert!(!rights.broadcast);
    }

    #[test]
    fn rights_are_bounded() {
        let rights = |count| serde_json::from_value::<Rights>(serde_json::json!({ "subscribe": vec!["a"; count] }));
        assert!(rights(MAX_PATTERNS).is_ok() && rights(MAX_PATTERNS + 1).is_err());
    }
}
