//! A connection's being on a channel.

use super::Presence;
use fanwire_protocol::{ChannelName, ConnectionId, Member};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a subscription waits for the broker to have the member. Then it goes on, and the member follows.
const WITHIN: Duration = Duration::from_secs(2);

/// A connection that is about to be on a channel.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) presence: Arc<Presence>,
    pub(crate) channel: ChannelName,
    pub(crate) member: Member,
}

/// A connection's being on a channel: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    presence: Arc<Presence>,
    channel: ChannelName,
    connection: ConnectionId,
}

impl Entry {
    /// Enters, and waits until the broker has the member or may have it later.
    ///
    /// Boxed, for it passes through what every session has room for.
    pub(crate) async fn enter(self) -> Box<Membership> {
        let Self { presence, channel, member } = self;
        let connection = member.connection;
        let entered = presence.enter(&channel, member);
        // Made first: so the member goes if nobody waits for it any more.
        let membership = Box::new(Membership { presence, channel, connection });
        // Whether it is there, those find out who ask.
        let _ = timeout(WITHIN, entered).await;
        membership
    }
}

impl Membership {
    /// On which channel.
    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.presence.leave(&self.channel, self.connection);
    }
}
