//! Ids of nodes and connections.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A node of the cluster: a random number below 2^53, so that JavaScript reads it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(u64);

impl NodeId {
    /// The first number that a JSON reader which keeps numbers as doubles could confuse with another.
    pub const LIMIT: u64 = 1 << 53;

    /// The id made of the low 53 bits of `random`.
    pub fn from_random(random: u64) -> Self {
        Self(random % Self::LIMIT)
    }

    /// The id that is `number`, unless no node can have it.
    pub fn new(number: u64) -> Option<Self> {
        (number < Self::LIMIT).then_some(Self(number))
    }

    /// The id as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A connection, unique in the cluster: the node that holds it and its sequence number there (from 1).
///
/// On the wire it is an array of the two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId(pub NodeId, pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}
