//! A publication that is to be sent.

use crate::{
    partition::Partition,
    redis::{keep::Keep, kind::Kind, names::Name, ticket::Ticket},
};
use redis::Pipeline;
use std::mem;

/// What to publish where, and whom to tell.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: Name,
    pub(super) partition: Partition,
    /// The envelope; of one that is kept, its beginning. Gone once it was sent, unless it may have to be sent again.
    pub(super) payload: Vec<u8>,
    pub(super) keep: Option<Keep>,
    pub(super) ticket: Ticket,
}

impl Job {
    /// Adds what publishes it to `request`; from here on it counts as sent. `known`: whether Redis has the script, which
    /// it has behind this.
    pub(super) fn send(mut self, request: &mut Pipeline, kind: Kind, known: &mut bool) -> Self {
        match &self.keep {
            Some(keep) => {
                request.add_command(keep.command(&self.name, &self.payload, kind, mem::replace(known, true)));
            }
            None => {
                request.cmd(kind.publish()).arg(&*self.name).arg(&self.payload);
                // A bare PUBLISH is at home at every server.
                if kind == Kind::Plain {
                    drop(mem::take(&mut self.payload));
                }
            }
        }
        self.ticket.mark_sent();
        self
    }
    /// Whether it can be sent once more.
    pub(super) fn is_whole(&self) -> bool {
        !self.payload.is_empty()
    }
}
