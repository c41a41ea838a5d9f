//! How a client can break RFC 6455 or a limit.

use super::MAX_CONTROL_PAYLOAD;
use crate::CloseReason;
use thiserror::Error;

/// What was wrong with what a client sent. Nothing more is read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// Section 5.2: no extension was agreed on that would give the bit a meaning here.
    #[error(
        "a reserved bit is set in the first byte {0:#04x} of a frame, and nothing was agreed on that would need it"
    )]
    ReservedBit(u8),
    /// Section 5.2.
    #[error("the opcode {0:#x} has no meaning; known are 0 to 2 and 8 to 10")]
    UnknownOpcode(u8),
    /// Section 5.1.
    #[error("a frame is not masked; a client masks all")]
    Unmasked,
    /// Section 5.2.
    #[error("the length {0} of a frame is not written in as few bytes as it needs")]
    LongForm(u64),
    /// Section 5.2.
    #[error("the highest bit of a frame's length is set")]
    NegativeLength,
    /// Section 5.5.
    #[error("a control frame is a fragment; it must be whole")]
    FragmentedControl,
    /// Section 5.5.
    #[error("a control frame has more than {MAX_CONTROL_PAYLOAD} bytes")]
    LongControl,
    /// Section 5.4.
    #[error("a frame continues a message, and none is begun")]
    NothingToContinue,
    /// Section 5.4.
    #[error("a message begins before the one before has ended")]
    Interrupted,
    /// Section 5.5.1.
    #[error("the body of a Close frame has one byte; it has none, or a code of two bytes and a text")]
    HalfCloseCode,
    /// Section 7.4.
    #[error("the close code {0} may not be sent; those that may are 1000 to 1003, 1007 to 1014 and 3000 to 4999")]
    CloseCode(u16),
    /// Section 8.1.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// RFC 7692, section 7.2.2.
    #[error("a compressed message is not what a compressor makes of one message alone")]
    NotDeflated,
    /// `compression.ratio`.
    #[error("a compressed message becomes more than {ratio} times longer, which is compression.ratio")]
    Bomb {
        /// The limit.
        ratio: usize,
    },
    /// `limits.message`.
    #[error("a message has more than {limit} bytes, which is limits.message")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// `limits.fragments`.
    #[error("a message has more than {limit} fragments, which is limits.fragments")]
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
}

impl Violation {
    /// Why the connection ends.
    pub fn reason(self) -> CloseReason {
        match self {
            Self::NotUtf8 => CloseReason::InvalidUtf8,
            Self::TooLong { .. } | Self::Bomb { .. } => CloseReason::MessageTooBig,
            Self::TooManyFragments { .. } => CloseReason::TooManyFragments,
            _ => CloseReason::ProtocolError,
        }
    }
}
