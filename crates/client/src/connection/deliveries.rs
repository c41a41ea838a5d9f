//! Publications on their way to the user.

use super::Connection;
use crate::{
    Content, Event, Position, Refusal, call::Granted, replay::Missing, subscriptions, track::Seen, user::User,
};

impl Connection<'_> {
    /// Tells the user a message, unless the user has it.
    pub(super) fn message(&mut self, channel: String, content: Content, offset: Option<u64>) {
        let (seen, position) = self.user.subscriptions.see(&channel, offset);
        if seen == Seen::Duplicate {
            return;
        }
        if seen == Seen::Hole {
            let before = position.as_ref().map(|place| place.with_offset(place.offset().saturating_sub(1)));
            self.tell_lost(channel.clone(), before);
        }
        self.user.events.tell(Event::Message { channel: channel.clone(), content, position });
        self.tell_live(channel);
    }

    /// Tells the user a broadcast, when its turn has come.
    pub(super) fn broadcast(&mut self, content: Content, offset: Option<u64>) {
        let User { broadcasts, events, .. } = &mut *self.user;
        broadcasts.arrived(content, offset, |event| events.tell(event));
    }

    /// Tells the user what can't be had any more.
    pub(super) fn lost(&mut self, channel: Option<String>, position: Position) {
        match channel {
            None => self.broadcasts_lost(Some(position)),
            Some(channel) => {
                if self.user.subscriptions.lost(&channel, position.clone()) {
                    self.tell_lost(channel.clone(), Some(position));
                    self.tell_live(channel);
                }
            }
        }
    }

    /// Tells the user how much was missed in `channel` up to offset `newest`, and follows.
    pub(super) fn tell_recovering(&mut self, channel: String, newest: u64) {
        if let Some(since) = self.user.subscriptions.recovering(&channel, newest) {
            self.user.events.tell(Event::Recovering { channel: Some(channel), since, newest });
        }
    }

    fn tell_live(&mut self, channel: String) {
        if self.user.subscriptions.is_live(&channel) {
            self.user.events.tell(Event::Live { channel: Some(channel) });
        }
    }

    pub(super) fn tell_lost(&mut self, channel: String, position: Option<Position>) {
        self.user.events.tell(Event::Lost { channel: Some(channel), position });
    }

    fn broadcasts_lost(&mut self, position: Option<Position>) {
        let User { broadcasts, events, .. } = &mut *self.user;
        broadcasts.give_up(position, |event| events.tell(event));
    }

    /// Takes in the answer to the question for missed broadcasts.
    pub(super) fn broadcasts_answered(&mut self, answer: Result<Granted, Refusal>) {
        self.replay.settled();
        let User { broadcasts, events, .. } = &mut *self.user;
        match answer {
            Ok(Granted { recovered: Some(true), .. }) => broadcasts.recovering(|event| events.tell(event)),
            Ok(Granted { position, .. }) => {
                broadcasts.answered();
                self.broadcasts_lost(position);
            }
            Err(refusal) if subscriptions::is_final(&refusal) => self.broadcasts_lost(None),
            Err(_) => self.replay.postponed(Missing::Broadcasts, rand::random()),
        }
    }
}
