//! How frames for a connection are made: those of equal encodings get the same.

use crate::{Dialect, deflate::Compression};

/// A dialect, and whether it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// How it is spelled.
    pub dialect: Dialect,
    /// Whether messages may be compressed.
    pub compression: Compression,
}

impl From<Dialect> for Encoding {
    /// The dialect, not compressed.
    fn from(dialect: Dialect) -> Self {
        Self { dialect, compression: Compression::Never }
    }
}

impl std::iter::Sum for Saving {
    fn sum<I: Iterator<Item = Self>>(savings: I) -> Self {
        savings.fold(Self::default(), |sum, one| Self { frames: sum.frames + one.frames, bytes: sum.bytes + one.bytes })
    }
}

/// What compression has saved in a number of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saving {
    /// How many of them are compressed.
    pub frames: u64,
    /// How many bytes shorter these are than they would be.
    pub bytes: u64,
}

impl Saving {
    /// None of them is compressed.
    pub const NOTHING: Self = Self { frames: 0, bytes: 0 };
}
