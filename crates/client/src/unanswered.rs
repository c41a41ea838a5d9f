//! Commands that have been sent and not answered.

use crate::{Error, call::Asker, subscriptions::Subscriptions};
use std::collections::HashMap;

/// Commands without an answer, beyond which none is taken up.
const MOST: usize = 1024;

/// A command that has been sent.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To subscribe to `channel`; `again` if an earlier connection was subscribed or asked to.
    Subscribe { channel: String, askers: Vec<Asker>, again: bool },
    /// To unsubscribe; `wanted` if the user had asked for the subscription.
    Unsubscribe { asker: Asker, wanted: bool },
    /// Anything else.
    Other(Asker),
}

impl Asked {
    fn is_awaited(&self) -> bool {
        match self {
            Self::Subscribe { askers, again, .. } => *again || askers.iter().any(|asker| !asker.is_closed()),
            Self::Unsubscribe { asker, .. } | Self::Other(asker) => !asker.is_closed(),
        }
    }
}

/// The commands of a connection that wait for their answers, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(HashMap<u64, Asked>);

impl Unanswered {
    /// Notes that a command was sent.
    pub(crate) fn insert(&mut self, id: u64, asked: Asked) {
        self.0.insert(id, asked);
    }

    /// The command that the answer with this id is for, if there is one.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Asked> {
        self.0.remove(&id)
    }

    /// Whether there is room for another command. Those that nobody waits for make room.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.0.len() >= MOST {
            self.0.retain(|_, asked| asked.is_awaited());
        }
        self.0.len() < MOST
    }

    /// Settles what can be settled now that `error` has ended the connection. Subscriptions are left to the next one,
    /// and a connection that has ended is subscribed to nothing; whatever else may have been carried out, or not.
    pub(crate) fn lose(self, error: &Error, subscriptions: &mut Subscriptions) {
        for asked in self.0.into_values() {
            // Who stopped waiting doesn't want the answer.
            match asked {
                Asked::Subscribe { channel, askers, .. } => subscriptions.unanswered(&channel, askers),
                Asked::Unsubscribe { asker, .. } => drop(asker.send(Ok(()))),
                Asked::Other(asker) => drop(asker.send(Err(error.clone()))),
            }
        }
    }
}
