//! The way of connections to what they missed, one step at a time.

use super::{BROADCAST, Shard, TURN};
use crate::{
    connection::{Connection, Membership},
    history::Way,
    outbox::{ENTRY_COST, Kind, Parcel},
    recent::Since,
    recovery::{Join, Page, Step, Stream},
};
use bytes::Bytes;
use fanwire_protocol::{Delivery, Position};
use std::sync::Arc;

impl Shard {
    /// Takes in what a session asks for its recovery.
    pub(super) fn take_step(&mut self, key: usize, step: Step) {
        let connection = &mut self.connections[key];
        if connection.is_open() {
            connection.recovery.push(step);
            self.call_recovery(key);
        } else {
            step.end();
        }
    }

    fn call_recovery(&mut self, key: usize) {
        if !std::mem::replace(&mut self.connections[key].recovering, true) {
            self.recovering.push_back(key);
        }
    }

    /// Goes on with a connection's recovery later in its turn, if its outbox rests.
    pub(super) fn go_on(&mut self, key: usize) {
        let connection = &self.connections[key];
        if !connection.recovery.is_empty() && connection.rests(&self.terms) {
            self.call_recovery(key);
        }
    }

    /// Goes on with recoveries, as many frames as a fan-out serves connections.
    pub(super) fn recover(&mut self) {
        let mut rest = TURN;
        while rest > 0
            && let Some(key) = self.recovering.pop_front()
        {
            rest = rest.saturating_sub(self.recover_one(key, rest).max(1));
        }
    }

    /// Takes one step of a connection, sending it about `limit` frames at most, and returns how many it were.
    fn recover_one(&mut self, key: usize, limit: usize) -> usize {
        // The key may be another connection's by now.
        let called = |connection: &mut Connection| std::mem::take(&mut connection.recovering);
        if !self.connections.get_mut(key).is_some_and(called) {
            return 0;
        }
        let Some(step) = self.connections[key].recovery.pop() else { return 0 };
        let (step, served) = match step {
            Step::Page(page) => self.send_page(key, page, limit),
            Step::Join(join) => self.join_at(key, join),
        };
        self.put_back(key, step);
        served
    }

    fn put_back(&mut self, key: usize, step: Option<Step>) {
        let connection = &mut self.connections[key];
        match step {
            Some(step) if connection.is_open() => connection.recovery.put_back(step),
            Some(step) => step.end(),
            None => {}
        }
        self.go_on(key);
    }

    /// Sends the next part of a page, if the outbox rests. Gives back what is not done.
    fn send_page(&mut self, key: usize, mut page: Page, limit: usize) -> (Option<Step>, usize) {
        if page.is_given_up() {
            return (None, 0);
        }
        if !self.connections[key].rests(&self.terms) {
            return (Some(Step::Page(page)), 0);
        }
        let frames = self.part(key, &mut page, limit);
        if frames.is_empty() {
            page.done();
            return (None, 0);
        }
        self.send_frames(key, &frames);
        (Some(Step::Page(page)), frames.len())
    }

    /// What makes a resting outbox rest no more, or the rest of the page.
    fn part(&self, key: usize, page: &mut Page, limit: usize) -> Vec<Bytes> {
        let mut room = self.terms.limit / 4 + 1 - self.connections[key].waiting();
        let mut fits = |frame: &&Bytes| {
            let before = room;
            room = room.saturating_sub(frame.len() + ENTRY_COST);
            before > 0
        };
        let frames = page.frames.as_slice().iter().take(limit);
        let count = frames.take_while(&mut fits).count();
        page.frames.by_ref().take(count).collect()
    }

    fn send_frames(&mut self, key: usize, frames: &[Bytes]) {
        let parcel = Parcel::new(frames, Kind::Page);
        let outcome = self.connections[key].send(&parcel, false, &self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    /// Lets a connection join at its place. Gives the wish back where it has to wait.
    fn join_at(&mut self, key: usize, join: Box<Join>) -> (Option<Step>, usize) {
        if join.what.is_given_up() {
            return (None, 0);
        }
        let channel = self.channel_of(&join.what);
        if matches!(join.what, Stream::Channel(..)) && channel.is_some_and(|at| self.channels[at].roster.has(key)) {
            join.answer.into_iter().for_each(|frame| self.answer(key, frame));
            drop(join.what.joined());
            return (None, 0);
        }
        let Some((since, way)) = self.way_from(channel, &join) else {
            join.what.behind();
            return (None, 0);
        };
        if !since.missing.is_empty() && !self.connections[key].rests(&self.terms) {
            return (Some(Step::Join(join)), 0);
        }
        let served = since.missing.len();
        self.admit_to(key, *join, since, way);
        (None, served)
    }

    fn channel_of(&self, what: &Stream) -> Option<usize> {
        match what.channel() {
            None => Some(BROADCAST),
            Some(name) => self.by_name.get(name).copied(),
        }
    }

    /// What the connection misses, and how it goes on behind that; `None` where that can't be had here.
    fn way_from(&self, channel: Option<usize>, join: &Join) -> Option<(Since, Option<Way>)> {
        let channel = channel.map(|at| &self.channels[at]);
        let name = join.what.channel();
        let way = channel.and_then(|channel| Some(channel.history.as_ref()?.way_from(&join.place, &channel.pending)));
        let since = match &way {
            None => self.interest.since(name, &join.place, None)?,
            Some(Way::Behind) => return None,
            Some(Way::Missing(until)) => self.interest.since(name, &join.place, Some(until))?,
            Some(Way::Ahead(_)) => Since::default(),
        };
        Some((since, way))
    }

    fn admit_to(&mut self, key: usize, join: Join, since: Since, way: Option<Way>) {
        let Join { what, place, answer } = join;
        answer.into_iter().for_each(|frame| self.answer(key, frame));
        self.send_missing(key, &since.missing);
        let last = since.missing.last().and_then(|delivery| delivery.publication.position.clone());
        let channel = what.channel().cloned().map_or(BROADCAST, |name| self.channel_for(&name));
        self.channels[channel].stand_at(last.unwrap_or(place), since.ended);
        self.channels[channel].roster.join(key);
        self.stand_member(channel, key, way);
        if let Some(subscription) = what.joined() {
            self.connections[key].memberships.push(Membership { channel, subscription });
            self.metrics.subscriptions.inc();
        }
    }

    fn send_missing(&mut self, key: usize, missing: &[Delivery]) {
        let connection = &self.connections[key];
        let wanted = missing.iter().filter(|delivery| delivery.except != Some(connection.id));
        let publications: Vec<_> = wanted.map(|delivery| Arc::clone(&delivery.publication)).collect();
        let mut frames = Vec::new();
        self.terms.dialects.frames(connection.dialect, &publications, &mut frames);
        self.send_frames(key, &frames);
    }

    /// Notes what a member has of what comes.
    fn stand_member(&mut self, channel: usize, key: usize, way: Option<Way>) {
        let channel = &mut self.channels[channel];
        let waits = channel.waits(key);
        if let Some(history) = &mut channel.history {
            match way {
                Some(Way::Ahead(skip)) if waits || history.matters(&skip) => history.skip(key, skip),
                // The batch under way is among what it has.
                _ if waits => history.skip_begun(key),
                _ => history.forget(key),
            }
        }
    }

    /// Holds broadcasts back from a connection.
    pub(super) fn pause_broadcasts(&mut self, key: usize) -> Option<Position> {
        let channel = &mut self.channels[BROADCAST];
        let place = channel.place_of(key)?.clone();
        channel.history.as_mut()?.pause(key, place.clone());
        Some(place)
    }
}
