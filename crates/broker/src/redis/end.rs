//! How a link ends.

use crate::redis::outlet::FeedClosed;

/// Why a link ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody takes from the feed any more: there is no use for another link.
    FeedClosed,
    /// It broke; the text says how.
    Lost(String),
}

impl From<FeedClosed> for End {
    fn from(_: FeedClosed) -> Self {
        Self::FeedClosed
    }
}
