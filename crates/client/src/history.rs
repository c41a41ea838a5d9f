//! Reading a channel's history.

use crate::{Content, Error, Position, call::Granted};

/// What to read of a history. Unless set, the oldest that is kept comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryQuery {
    /// Only what comes behind this place; with `reverse`, only what comes before the publication there.
    pub since: Option<Position>,
    /// How many publications at most: 1 to 1,000, and 100 unless set. An answer may hold fewer although more are kept.
    pub limit: Option<u32>,
    /// Newest first.
    pub reverse: bool,
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The newest place of the history.
    pub newest: Position,
    /// The publications, in the order that was asked for.
    pub publications: Vec<Publication>,
}

/// A publication in a history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// Its place.
    pub position: Position,
    /// What was published.
    pub content: Content,
}

impl Page {
    /// The page that an answer holds.
    pub(crate) fn of(granted: Granted) -> Result<Self, Error> {
        let newest =
            granted.position.ok_or_else(|| Error::NotUnderstood("a page of a history without its place".to_owned()))?;
        let placed = |(offset, content)| Publication { position: newest.with_offset(offset), content };
        let publications = granted.publications.into_iter().map(placed).collect();
        Ok(Self { newest, publications })
    }
}
