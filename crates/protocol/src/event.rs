//! What a client may be told, apart from publications.

use crate::{ConnectionId, ErrorCode, NodeId, RequestId};
use serde::Serialize;

/// What a client is told, apart from publications. Serialised, it is the event of the native dialects.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
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
    },
    /// The command with this id was carried out.
    Ok {
        /// The command's id.
        id: RequestId,
    },
    /// A command was refused.
    Error {
        /// The command's id, where it had one that could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// What a program may branch on.
        code: ErrorCode,
        /// What a person reads.
        message: String,
    },
    /// The answer to `ping`.
    Pong {
        /// The command's id, where it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
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
    /// Plain dialect only: a text said back to its sender.
    #[serde(skip)]
    Echo {
        /// The text as received.
        text: String,
        /// Whether it is valid JSON.
        json: bool,
    },
}
