//! permessage-deflate (RFC 7692): what is agreed on in the handshake, and messages made shorter and long again.
//!
//! No message refers to another, in neither direction: so a publication is compressed once for all its readers, and a
//! connection that is idle holds nothing for it. What compresses and what inflates is one of each for a thread.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `extensions` | the header by which extensions are offered |
//! | `agreement` | what is answered to the offers |
//! | `deflater` | the way out |
//! | `inflater` | the way in |

mod agreement;
mod deflater;
mod extensions;
mod inflater;

pub use agreement::Agreement;
pub use extensions::MalformedExtensions;
pub use inflater::NEVER_A_BOMB;

pub(crate) use deflater::shorten;
pub(crate) use inflater::inflate;

/// What a sender leaves out at the end of a message, since it is always the same (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The largest window, as the logarithm of its bytes.
pub const LARGEST_WINDOW: u8 = 15;

/// How messages are compressed for those who want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// From 1, the fastest, to 9, the shortest.
    pub level: u32,
    /// The shortest message that is compressed, in bytes.
    pub least: usize,
}

/// Whether a connection's messages may be compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// They never are.
    #[default]
    Never,
    /// They may be.
    Deflate {
        /// How far back a message to the client may refer, as the logarithm of bytes: 8 to 15.
        window: u8,
    },
}

impl Compression {
    /// Whether a message of `length` bytes to the client may be compressed, by whatever window: it can't refer further
    /// back than to its own beginning.
    pub(crate) fn fits(self, length: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Deflate { window } => window >= LARGEST_WINDOW || length <= 1 << window,
        }
    }
}
