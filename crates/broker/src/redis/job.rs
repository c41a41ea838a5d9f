//! A publication that is to be sent.

use crate::redis::{keep::Keep, names::Name, ticket::Ticket};
use redis::Pipeline;
use std::mem;

/// What to publish where, and whom to tell.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: Name,
    /// The envelope; of one that is kept, its beginning. Gone once it was sent, unless it may have to be sent again.
    pub(super) payload: Vec<u8>,
    pub(super) keep: Option<Keep>,
    pub(super) ticket: Ticket,
}

impl Job {
    /// Adds what publishes it to `request`; from here on it counts as sent. `known`: whether Redis has the script, which
    /// it has behind this.
    pub(super) fn send(mut self, request: &mut Pipeline, known: &mut bool) -> Self {
        match &self.keep {
            Some(keep) => {
                request.add_command(keep.command(&self.name, &self.payload, mem::replace(known, true)));
            }
            None => {
                request.cmd("PUBLISH").arg(&*self.name).arg(mem::take(&mut self.payload));
            }
        }
        self.ticket.mark_sent();
        self
    }
}
