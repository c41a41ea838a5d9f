//! Commands on their way to the node, and their answers.

use super::{Connection, Stop, ended};
use crate::{
    Content, Error, Event, Outcome, Position, Refusal,
    call::{Asker, Call, Granted, Sending},
    replay::Missing,
    subscriptions::{self, Standing},
    unanswered::Asked,
    wire::{self, Command, Subscribe},
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
            Some(Call::Subscribe { channel, since, info, asker }) => {
                self.subscribe_as(channel, since, info, vec![asker], false)
            }
            Some(Call::Unsubscribe { channel, asker }) => {
                let wanted = self.user.subscriptions.forget(&channel);
                self.replay.forget(&channel);
                let id = self.ids.next();
                let command = wire::encode(self.encoding, id, Command::Unsubscribe { channel: &channel })?;
                self.send(id, command, Asked::Unsubscribe { asker, wanted })
            }
            // Nobody would learn whether it was carried out.
            Some(Call::Send(sending)) if sending.asker.is_closed() => Ok(()),
            Some(Call::Send(sending)) => self.send_ready(sending),
        }
    }

    fn send_ready(&mut self, Sending { id, message, kind, asker }: Sending) -> Result<(), Stop> {
        if kind.broadcast {
            self.user.broadcasts.sends();
        }
        let again = kind.repeatable.then(|| message.clone());
        self.send(id, message, Asked::Other { kind, message: again, asker })
    }

    fn subscribe(
        &mut self,
        channel: String,
        since: Option<Position>,
        askers: Vec<Asker>,
        again: bool,
    ) -> Result<(), Stop> {
        self.subscribe_as(channel, since, None, askers, again)
    }

    fn subscribe_as(
        &mut self,
        channel: String,
        since: Option<Position>,
        info: Option<Content>,
        mut askers: Vec<Asker>,
        again: bool,
    ) -> Result<(), Stop> {
        let id = self.ids.next();
        let (place, waiting) = self.user.subscriptions.asked(&channel, since, id);
        askers.extend(waiting);
        self.user.subscriptions.introduce(&channel, info);
        let info = self.user.subscriptions.info(&channel);
        let command = Command::Subscribe(Subscribe::new(self.encoding, &channel, place.as_ref(), info));
        let command = wire::encode(self.encoding, id, command)?;
        self.send(id, command, Asked::Subscribe { channel, askers, again })
    }

    fn recover_broadcasts(&mut self) -> Result<(), Stop> {
        let Some(place) = self.user.broadcasts.missing_since() else { return Ok(()) };
        let id = self.ids.next();
        let command = wire::encode(self.encoding, id, Command::RecoverBroadcast(place))?;
        self.replay.asked();
        self.send(id, command, Asked::RecoverBroadcasts)
    }

    fn send(&mut self, id: u64, message: Message, asked: Asked) -> Result<(), Stop> {
        self.unanswered.insert(id, asked);
        self.unsent += message.len().max(1);
        // Never blocks: what the socket doesn't take stays in its buffer, which `UNSENT` bounds.
        Ok(self.socket.start_send_unpin(message).map_err(ended)?)
    }

    /// Asks for what earlier connections had, and tells when all is settled.
    pub(super) fn subscribe_again(&mut self) -> Result<(), Stop> {
        while self.unsent < UNSENT
            && let Some(missing) = self.replay.next()
        {
            match missing {
                Missing::Broadcasts => self.recover_broadcasts()?,
                // It may have been refused for good meanwhile.
                Missing::Channel(channel) if self.user.subscriptions.contains(&channel) => {
                    self.replay.asked();
                    self.subscribe(channel, None, Vec::new(), true)?;
                }
                Missing::Channel(_) => {}
            }
        }
        if self.replay.is_done() && !self.user.events.is_full() {
            self.user.reconnected(&self.welcome);
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, id: u64, answer: Result<Granted, Refusal>) -> Result<(), Stop> {
        match self.unanswered.remove(id) {
            None => {}
            Some(Asked::Subscribe { channel, askers, again }) => {
                return self.subscribed(id, channel, askers, again, answer);
            }
            Some(Asked::RecoverBroadcasts) => self.broadcasts_answered(answer),
            // The user had it, and this connection not yet or not now.
            Some(Asked::Unsubscribe { asker, wanted: true })
                if answer.as_ref().is_err_and(subscriptions::not_in_force) =>
            {
                tell(asker, Ok(Granted::default()));
            }
            Some(Asked::Unsubscribe { asker, .. }) => tell(asker, answer),
            Some(Asked::Other { kind, asker, .. }) => {
                if let (true, Ok(Granted { position: Some(place), .. })) = (kind.broadcast, &answer) {
                    self.user.broadcasts.sent(place);
                }
                tell(asker, answer);
            }
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        id: u64,
        channel: String,
        askers: Vec<Asker>,
        again: bool,
        answer: Result<Granted, Refusal>,
    ) -> Result<(), Stop> {
        let standing = self.user.subscriptions.answered(&channel, id, again, &answer);
        if standing == Standing::Placeless {
            return self.subscribe(channel, None, askers, again);
        }
        if again {
            self.replay.settled();
        }
        let place = self.user.subscriptions.place(&channel);
        let mut told = false;
        for asker in askers {
            told |= asker.send(shown(&answer, again, place.as_ref())).is_ok();
        }
        match (standing, answer) {
            (Standing::Later, _) => self.replay.postponed(Missing::Channel(channel), rand::random()),
            (Standing::Granted(Outcome::Lost), _) => self.tell_lost(channel, place),
            (Standing::Granted(Outcome::Recovered), Ok(Granted { newest: Some(newest), .. })) => {
                self.tell_recovering(channel, newest);
            }
            (Standing::Lost { established }, Err(refusal)) if established || !told => {
                self.user.events.tell(Event::SubscriptionLost { channel, refusal });
            }
            _ => {}
        }
        Ok(())
    }
}

/// What an asker is told of a subscription that is at `place`.
fn shown(answer: &Result<Granted, Refusal>, again: bool, place: Option<&Position>) -> Result<Granted, Error> {
    match answer {
        Ok(_) => Ok(Granted::at(place.cloned())),
        // The user has asked for it while it was asked for again.
        Err(refusal) if again && subscriptions::in_force(refusal) => Ok(Granted::at(place.cloned())),
        Err(refusal) => Err(Error::Refused(refusal.clone())),
    }
}

fn tell(asker: Asker, answer: Result<Granted, Refusal>) {
    // Whoever stopped waiting doesn't want the answer.
    let _ = asker.send(answer.map_err(Error::Refused));
}
