//! What a client may be told, apart from publications.

use crate::{ChannelName, ConnectionId, Echo, ErrorCode, Member, NodeId, Position, Publication, RequestId};
use std::sync::Arc;

/// What a client is told, apart from publications.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event after admission.
    Welcome {
        /// This connection's id.
        connection: ConnectionId,
        /// The node that holds it.
        node: NodeId,
        /// The node's version.
        version: &'static str,
        /// Seconds between the node's WebSocket pings.
        heartbeat: f64,
        /// The place in the history of broadcasts from which on this connection gets them, where there is one.
        broadcast: Option<Position>,
    },
    /// The command with this id was carried out.
    Ok {
        /// The command's id.
        id: RequestId,
    },
    /// A publication into a history was carried out: an `ok` with its place.
    Published {
        /// The command's id.
        id: RequestId,
        /// Where it stands.
        position: Position,
    },
    /// A channel with a history was subscribed, or the recovery of broadcasts begins: an `ok` with the place behind
    /// which what follows comes.
    Subscribed {
        /// The command's id.
        id: RequestId,
        /// The place that the client asked for if `recovered`, else the newest.
        position: Position,
        /// What follows of what is behind the place that the client asked for; absent where it asked for none.
        recovered: Option<Recovered>,
    },
    /// A part of a channel's history: an `ok` with publications.
    History {
        /// The command's id.
        id: RequestId,
        /// The newest place.
        position: Position,
        /// In the order that was asked for, each at its place.
        publications: Vec<Arc<Publication>>,
    },
    /// A part of the members of a channel: an `ok` with them.
    Members {
        /// The command's id.
        id: RequestId,
        /// By their connections, in order.
        members: Vec<Member>,
        /// Whether others come behind the last of them.
        more: bool,
    },
    /// How many are on a channel: an `ok` with the numbers.
    PresenceStats {
        /// The command's id.
        id: RequestId,
        /// How many connections.
        connections: u64,
        /// How many users they belong to; those without a user don't count.
        users: u64,
    },
    /// Publications of a channel (or broadcasts) are missing here that can't be had any more: the client should ask
    /// its backend for the state. What follows comes behind the place that it names.
    Lost {
        /// The channel; absent for broadcasts.
        channel: Option<ChannelName>,
        /// Where it goes on.
        position: Position,
    },
    /// A command was refused.
    Error {
        /// The command's id, where it had one that could be read.
        id: Option<RequestId>,
        /// What a program may branch on.
        code: ErrorCode,
        /// What a person reads.
        message: String,
    },
    /// The answer to `ping`.
    Pong {
        /// The command's id, where it had one.
        id: Option<RequestId>,
    },
    /// The node's link to the broker was away; messages of that time may be missing.
    Gap {
        /// The length of the time that ends now, in seconds.
        seconds: f64,
    },
    /// The connection read too slowly (`outbox.policy = "drop_oldest"`): messages were left out before the next one.
    Dropped {
        /// How many.
        count: u64,
    },
    /// Plain and echo dialects only: what a client sent, said back to it.
    Echo(Echo),
}

/// What a client that resumes at a place gets of what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// All of it.
    All {
        /// The offset of the newest publication at this moment: what is beyond it is live.
        newest: u64,
    },
    /// None of what was published up to now.
    Nothing,
}
