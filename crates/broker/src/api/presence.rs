//! What the node asks of a broker about who is on its channels.

use super::ReadError;
use fanwire_protocol::{ChannelName, ConnectionId, Member};
use futures_util::future::BoxFuture;
use std::{ops::Add, sync::Arc};

/// How many changes a batch has at most.
pub const MAX_CHANGES: usize = 128;

/// What is to become of a member of this node. Whatever is so already is not done again, and not told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there; where it was not, its join is told.
    Enter(Arc<Member>),
    /// It is there; nothing is told, since its join was before.
    Return(Arc<Member>),
    /// It is not there; where it was, its leave is told.
    Leave(ConnectionId),
    /// It is not there, and nothing is told, since its leave was before.
    Vanish(ConnectionId),
}

/// What is to become of members of one channel, in this order; at most [`MAX_CHANGES`].
#[derive(Debug, Clone)]
pub struct Changes {
    /// The channel.
    pub channel: ChannelName,
    /// The changes.
    pub changes: Vec<Change>,
    /// Whether joins and leaves are told to the channel's subscribers.
    pub told: bool,
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
}

/// What has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// How many came.
    pub joined: u64,
    /// How many went.
    pub left: u64,
    /// How many were missing, and are there again.
    pub returned: u64,
}

/// How many members of a dead node were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// From channels that clients see.
    pub members: u64,
    /// Leases of connections of users.
    pub leases: u64,
}

impl Add for Removed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { members: self.members + other.members, leases: self.leases + other.leases }
    }
}

/// Which members of a channel are wanted.
#[derive(Debug, Clone)]
pub struct Roll {
    /// The channel.
    pub channel: ChannelName,
    /// Those behind this one, which need not be there; from the first on where absent.
    pub after: Option<ConnectionId>,
    /// How many at most, and never more than [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

/// Members of a channel, read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// In the order of their connections.
    pub members: Vec<Member>,
    /// Whether there are others behind the last of them.
    pub more: bool,
}

/// How many are on a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Users that they belong to.
    pub users: u64,
}

/// What has become of the members of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are there, as far as can be known.
    Kept,
    /// Some may have been lost. Whoever was told of them knows nothing of that.
    Lost,
    /// The node was silent for too long: others have taken it for dead, and removed them.
    Removed,
}

/// A node that has been silent for too long, whose members are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadNode(pub(crate) String);

impl DeadNode {
    /// The node that a broker calls so.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// What a sign of life has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Of the members of this node.
    pub standing: Standing,
    /// Nodes whose members this node is to remove.
    pub dead: Vec<DeadNode>,
}

/// The outcome of a question about members.
pub type Answered<T> = BoxFuture<'static, Result<T, ReadError>>;
