//! A publication that is to be sent.

use crate::redis::{names::Name, ticket::Ticket};

/// What to publish where, and whom to tell.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: Name,
    /// The envelope.
    pub(super) payload: Vec<u8>,
    pub(super) ticket: Ticket,
}
