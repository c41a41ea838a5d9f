//! Commands on their way to the node, and their answers.

use super::{Connection, Stop, ended};
use crate::{
    Error, Event, Refusal,
    call::{Asker, Call},
    subscriptions::{self, Standing},
    unanswered::Asked,
    wire::{self, Command},
};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

/// Bytes that may wait for the socket before no further command is taken up.
const UNSENT: usize = 256 * 1024;

impl Connection<'_> {
    /// Whether there is room for another command.
    pub(super) fn takes_calls(&mut self) -> bool {
        self.unanswered.has_room() && self.unsent < UNSENT
    }

    pub(super) fn take(&mut self, call: Option<Call>) -> Result<(), Stop> {
        match call {
            None => Ok(()),
            Some(Call::Close) => Err(Stop::Done),
            Some(Call::Subscribe { channel, asker }) => self.subscribe(channel, Some(asker), false),
            Some(Call::Unsubscribe { channel, asker }) => {
                let wanted = self.user.subscriptions.forget(&channel);
                let id = self.ids.next();
                let command = wire::encode(self.encoding, id, Command::Unsubscribe { channel: &channel })?;
                self.send(id, command, Asked::Unsubscribe { asker, wanted })
            }
            // Nobody would learn whether it was carried out.
            Some(Call::Send { asker, .. }) if asker.is_closed() => Ok(()),
            Some(Call::Send { id, message, asker }) => self.send(id, message, Asked::Other(asker)),
        }
    }

    fn subscribe(&mut self, channel: String, asker: Option<Asker>, again: bool) -> Result<(), Stop> {
        let id = self.ids.next();
        let command = wire::encode(self.encoding, id, Command::Subscribe { channel: &channel })?;
        let mut askers = self.user.subscriptions.asked(&channel, id);
        askers.extend(asker);
        self.send(id, command, Asked::Subscribe { channel, askers, again })
    }

    fn send(&mut self, id: u64, message: Message, asked: Asked) -> Result<(), Stop> {
        self.unanswered.insert(id, asked);
        self.unsent += message.len().max(1);
        // Never blocks: what the socket doesn't take stays in its buffer, which `UNSENT` bounds.
        Ok(self.socket.start_send_unpin(message).map_err(ended)?)
    }

    /// Asks for subscriptions of earlier connections, and tells when all are settled.
    pub(super) fn subscribe_again(&mut self) -> Result<(), Stop> {
        while self.unsent < UNSENT
            && let Some(channel) = self.replay.next()
        {
            // The user may have unsubscribed from it meanwhile.
            if self.user.subscriptions.contains(&channel) {
                self.replay.asked();
                self.subscribe(channel, None, true)?;
            }
        }
        let complete = self.replay.is_done() && !self.user.events.is_full();
        if complete && let Some(since) = self.user.away_since.take() {
            let (welcome, away) = (self.welcome.clone(), since.elapsed());
            self.user.events.tell(Event::Reconnected { welcome, away });
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, id: u64, answer: Result<(), Refusal>) {
        match self.unanswered.remove(id) {
            None => {}
            Some(Asked::Subscribe { channel, askers, again }) => self.subscribed(id, channel, askers, again, answer),
            // The user had it, and this connection not yet or not now.
            Some(Asked::Unsubscribe { asker, wanted: true })
                if answer.as_ref().is_err_and(subscriptions::not_in_force) =>
            {
                let _ = asker.send(Ok(()));
            }
            Some(Asked::Unsubscribe { asker, .. } | Asked::Other(asker)) => {
                // Whoever stopped waiting doesn't want the answer.
                let _ = asker.send(answer.map_err(Error::Refused));
            }
        }
    }

    fn subscribed(
        &mut self,
        id: u64,
        channel: String,
        askers: Vec<Asker>,
        again: bool,
        mut answer: Result<(), Refusal>,
    ) {
        // The user has asked for it while it was asked for again.
        if again && answer.as_ref().is_err_and(subscriptions::in_force) {
            answer = Ok(());
        }
        let standing = self.user.subscriptions.answered(&channel, id, again, &answer);
        let mut told = false;
        for asker in askers {
            told |= asker.send(answer.clone().map_err(Error::Refused)).is_ok();
        }
        if again {
            self.replay.settled();
        }
        match (&standing, answer) {
            (Standing::Later, _) => self.replay.postponed(channel, rand::random()),
            (Standing::Lost { established }, Err(refusal)) if *established || !told => {
                self.user.events.tell(Event::SubscriptionLost { channel, refusal });
            }
            _ => {}
        }
    }
}
