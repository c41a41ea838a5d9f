//! Places in histories.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// The longest name of an epoch, in bytes.
pub const MAX_EPOCH: usize = 32;

/// Which history an offset belongs to: a new one begins when the old is lost. 1 to [`MAX_EPOCH`] ASCII letters and
/// digits. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

/// Why a text is no epoch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an epoch has 1 to {MAX_EPOCH} ASCII letters and digits")]
pub struct InvalidEpoch;

impl Epoch {
    /// Checks `name` and makes it an epoch.
    ///
    /// # Errors
    /// [`InvalidEpoch`], for what no node has ever named so.
    pub fn parse(name: &str) -> Result<Self, InvalidEpoch> {
        let valid = (1..=MAX_EPOCH).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if valid { Ok(Self(name.into())) } else { Err(InvalidEpoch) }
    }

    /// The epoch as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A place in a history: everything up to the publication with this offset. Offset 0 is before the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// The how manieth publication, from 1; without gaps.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_short_words() {
        for valid in ["a", "Z9", &"x".repeat(MAX_EPOCH)] {
            assert_eq!(Epoch::parse(valid).map(|epoch| epoch.to_string()), Ok(valid.to_owned()));
        }
        for invalid in ["", "a-b", "a b", "é", &"x".repeat(MAX_EPOCH + 1)] {
            assert_eq!(Epoch::parse(invalid), Err(InvalidEpoch), "{invalid}");
        }
    }
}
