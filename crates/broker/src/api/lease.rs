//! What the node asks of a broker about the connections of users.

use fanwire_protocol::{ChannelName, ConnectionId, Member, UserId};
use std::sync::Arc;

/// A place that a connection of this node wants among those that its user may have on all nodes together. Once granted
/// it is a member of [`ChannelName::leases`], and is kept and given back as members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose connection it is.
    pub user: UserId,
    /// Which.
    pub connection: ConnectionId,
    /// How many the user may have.
    pub limit: usize,
}

impl Lease {
    /// Where it is kept.
    pub fn channel(&self) -> ChannelName {
        ChannelName::leases(&self.user)
    }

    /// As what it is kept.
    pub fn member(&self) -> Arc<Member> {
        Arc::new(Member { connection: self.connection, user: None, info: None })
    }
}
