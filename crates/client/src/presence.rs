//! Who is on a channel.

use crate::Content;

/// A connection on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The connection's id: the node's and a sequence number.
    pub connection: (u64, u64),
    /// Whom it belongs to, if the node knows.
    pub user: Option<String>,
    /// What it said of itself; see [`Client::subscribe_as`](crate::Client::subscribe_as).
    pub info: Option<Content>,
}

/// Which members to read. Unless set, from the first on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MembersQuery {
    /// Only those behind this connection, which need not be there any more.
    pub after: Option<(u64, u64)>,
    /// How many at most: 1 to 1,000, and 100 unless set. An answer may hold fewer although there are more.
    pub limit: Option<u32>,
}

/// A part of the members of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Members {
    /// In the order of their connections.
    pub members: Vec<Member>,
    /// Whether there are more behind the last of them.
    pub more: bool,
}

/// How many are on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PresenceStats {
    /// Connections.
    pub connections: u64,
    /// Users that they belong to; connections without a user have none.
    pub users: u64,
}
