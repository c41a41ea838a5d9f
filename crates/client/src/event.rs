//! What the node tells.

use crate::{Content, Error, Member, Position, Recovery, Refusal};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::mpsc;

/// What is told besides answers to commands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A publication to a channel that this connection is subscribed to.
    Message {
        /// The channel.
        channel: String,
        /// What was published.
        content: Content,
        /// Its place, if the channel has a history.
        position: Option<Position>,
    },
    /// A broadcast to every connection.
    Broadcast {
        /// What was broadcast.
        content: Content,
        /// Its place, if broadcasts have a history.
        position: Option<Position>,
    },
    /// Publications are missing here that can't be had any more: whoever keeps a state by them should read that anew. What
    /// has a history can only lose something so; what has none does it silently.
    Lost {
        /// The channel; none for broadcasts.
        channel: Option<String>,
        /// What follows comes behind this place; none if the node has no history of it any more.
        position: Option<Position>,
    },
    /// What was missed follows, once and in order: everything behind `since` up to offset `newest`. Told where that is
    /// anything, of a channel by nodes that say so.
    Recovering {
        /// The channel; none for broadcasts.
        channel: Option<String>,
        /// Where the user stands.
        since: Position,
        /// The offset of the last one that was missed; less that of `since` it is how many there are.
        newest: u64,
    },
    /// All that [`Recovering`](Self::Recovering) announced has come, or was told as lost: what follows is live.
    Live {
        /// The channel; none for broadcasts.
        channel: Option<String>,
    },
    /// Another connection has come to a channel that tells so.
    Join {
        /// The channel.
        channel: String,
        /// Who has come.
        member: Member,
        /// Whether it is its user's first connection there.
        first: bool,
    },
    /// Another connection has gone from a channel that tells so.
    Leave {
        /// The channel.
        channel: String,
        /// Who has gone.
        member: Member,
        /// Whether it was its user's last connection there.
        last: bool,
    },
    /// Messages may have been lost on their way to the node.
    Gap {
        /// How long the node's link to its broker was silent.
        duration: Duration,
    },
    /// Messages were left out because this connection read too slowly.
    Dropped {
        /// How many.
        count: u64,
    },
    /// The node refused something that it can't tie to a command.
    Refused(Refusal),
    /// The connection has ended, and another is being made. Only with [`Options::reconnect`](crate::Options::reconnect).
    Disconnected {
        /// What ended it.
        reason: Error,
    },
    /// There is a connection again, and every subscription is in force on it: whatever is published from now on arrives.
    /// What was published since [`Disconnected`](Self::Disconnected) may have arrived, may follow, or may be missing, as
    /// `recovery` says.
    Reconnected {
        /// What the node said of itself and of the new connection.
        welcome: Welcome,
        /// The time since [`Disconnected`](Self::Disconnected).
        away: Duration,
        /// What became of what was published in that time.
        recovery: Recovery,
    },
    /// A subscription has ended because a node refused it on a new connection. It is not asked for again.
    SubscriptionLost {
        /// The channel.
        channel: String,
        /// Why.
        refusal: Refusal,
    },
}

/// What the node says of itself and of the connection.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Welcome {
    /// The connection's id, unique in the cluster: the node's and a sequence number.
    pub connection: (u64, u64),
    /// The node's id.
    pub node: u64,
    /// The node's version.
    pub version: String,
    /// The time between two of the node's pings.
    pub heartbeat: Duration,
    /// The place in the history of broadcasts behind which this connection gets them, if they have one.
    pub broadcast: Option<Position>,
}

/// Why a connection ended, once it has.
pub(crate) type End = Arc<OnceLock<Error>>;

/// What the node and the connection tell, in order.
///
/// Dropping it discards events from then on; the connection lives as long as a [`Client`](crate::Client) or this.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    end: End,
}

impl Events {
    pub(crate) fn new(queue: mpsc::Receiver<Event>, end: End) -> Self {
        Self { queue, end }
    }

    /// The next event. Safe to cancel.
    ///
    /// # Errors
    /// How the connection ended for good, after all events that came before that: [`Error::Closed`] or
    /// [`Error::NotUnderstood`]; when it was to be made again, also what makes that useless: [`Error::GaveUp`],
    /// [`Error::Http`].
    pub async fn next(&mut self) -> Result<Event, Error> {
        self.queue.recv().await.ok_or_else(|| reason(&self.end))
    }
}

/// Why the connection of `end` ended.
pub(crate) fn reason(end: &End) -> Error {
    end.get().cloned().unwrap_or_else(|| crate::Closed::abrupt("its task was stopped").into())
}
