//! Commands that have been sent and not answered.

use crate::{
    Closed, Error,
    call::{Asker, Granted, Kind, Sending},
    user::User,
};
use std::collections::HashMap;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

/// Commands without an answer, beyond which none is taken up.
const MOST: usize = 1024;

/// A command that has been sent.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To subscribe to `channel`; `again` if an earlier connection was subscribed or asked to.
    Subscribe { channel: String, askers: Vec<Asker>, again: bool },
    /// To unsubscribe; `wanted` if the user had asked for the subscription.
    Unsubscribe { asker: Asker, wanted: bool },
    /// To send the broadcasts that were missed.
    RecoverBroadcasts,
    /// Anything else; with the message if it may be sent again.
    Other { kind: Kind, message: Option<Message>, asker: Asker },
}

impl Asked {
    fn is_awaited(&self) -> bool {
        match self {
            Self::Subscribe { askers, again, .. } => *again || askers.iter().any(|asker| !asker.is_closed()),
            Self::RecoverBroadcasts => true,
            Self::Unsubscribe { asker, .. } | Self::Other { asker, .. } => !asker.is_closed(),
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

    /// Settles what can be settled now that `error` has ended the connection. Subscriptions are left to the next one, and
    /// so is what may be sent again; a connection that has ended is subscribed to nothing; whatever else may have been
    /// carried out, or not.
    pub(crate) fn lose(self, error: &Error, user: &mut User) {
        let mut again: Vec<_> = self.0.into_iter().filter_map(|(id, asked)| asked.lose(id, error, user)).collect();
        again.sort_by_key(|sending| sending.id);
        user.calls.repeat(again.into_iter());
    }
}

impl Asked {
    fn lose(self, id: u64, error: &Error, user: &mut User) -> Option<Sending> {
        // Who stopped waiting doesn't want the answer.
        match self {
            Self::Subscribe { channel, askers, .. } => user.subscriptions.unanswered(&channel, askers),
            Self::Unsubscribe { asker, .. } => drop(asker.send(Ok(Granted::default()))),
            // The next connection begins with that.
            Self::RecoverBroadcasts => {}
            Self::Other { kind, message: Some(message), asker } if !blames_a_message(error) => {
                return Some(Sending { id, message, kind, asker });
            }
            Self::Other { asker, .. } => drop(asker.send(Err(error.clone()))),
        }
        None
    }
}

/// Whether the connection ended for a message that would end the next one, too.
fn blames_a_message(error: &Error) -> bool {
    matches!(error, Error::Closed(Closed { code: Some(code), .. }) if *code == u16::from(CloseCode::Size))
}
