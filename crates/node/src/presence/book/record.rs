//! What is known of a member, and what makes it as it should be.

use fanwire_broker::Change;
use fanwire_protocol::Member;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is known of a member.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) member: Arc<Member>,
    pub(super) wanted: bool,
    pub(super) known: Known,
    pub(super) due: bool,
    /// Whether a lease is being asked for: nothing else is done about it meanwhile.
    pub(super) asked: bool,
    /// What has become of it at the broker while a batch with it was under way.
    pub(super) meanwhile: Option<Known>,
    /// Told when the broker has it.
    pub(super) entered: Option<oneshot::Sender<()>>,
}

/// What became of a question for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::presence) enum Answer {
    /// The broker has it.
    Granted,
    /// It was refused.
    Full,
    /// Nobody knows; it counts from now on.
    Kept,
    /// Nobody knows, and it is not needed any more.
    GivenUp,
}

/// What the broker has of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// Nobody knows, or it has it as it was before; if it has it, its join was told.
    Maybe,
    /// It has it, and its join was told.
    There,
    /// Its join was told, but the broker may have lost it.
    Lost,
    /// Its leave was told, but the broker may have it again.
    Gone,
}

impl Record {
    pub(super) fn new(member: Arc<Member>) -> Self {
        Self { member, wanted: false, known: Known::Nothing, due: false, asked: false, meanwhile: None, entered: None }
    }

    /// Whether the broker has what is wanted.
    pub(super) fn is_right(&self) -> bool {
        self.known == if self.wanted { Known::There } else { Known::Nothing }
    }

    /// What makes it so.
    pub(super) fn changes(&self) -> Vec<Change> {
        let (member, connection) = (|| Arc::clone(&self.member), self.member.connection);
        match (self.wanted, self.known) {
            (true, Known::There) | (false, Known::Nothing) => vec![],
            (true, Known::Nothing | Known::Maybe | Known::Gone) => vec![Change::Enter(member())],
            (true, Known::Lost) => vec![Change::Return(member())],
            (false, Known::Maybe | Known::There) => vec![Change::Leave(connection)],
            // Others believe that it is there: so it must be, to leave.
            (false, Known::Lost) => vec![Change::Return(member()), Change::Leave(connection)],
            (false, Known::Gone) => vec![Change::Vanish(connection)],
        }
    }

    pub(super) fn told(&mut self) {
        // Whoever waited may have gone.
        if let Some(entered) = self.entered.take() {
            let _ = entered.send(());
        }
    }
}

impl Known {
    /// What is known when a change has perhaps been made, that was to have the member there or not.
    pub(super) fn in_doubt(self, wanted: bool) -> Self {
        match (wanted, self) {
            // What tells nothing can be done again.
            (true, Self::Lost) | (false, Self::Gone) => self,
            _ => Self::Maybe,
        }
    }
}
