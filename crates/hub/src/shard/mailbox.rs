//! What sessions and the node tell a shard, carried out.

use super::{
    BROADCAST, Shard,
    handle::{Admission, Ask, ConnectionKey, Entry, Largest, Message, Place, Waiting},
    millis,
};
use crate::{
    Subscription,
    channel::Channel,
    connection::{Connection, Membership, Phase},
    heartbeat::Heartbeat,
    outbox::{Kind, Parcel},
};
use bytes::Bytes;
use fanwire_protocol::{ChannelName, CloseReason, ConnectionId, Encoding, Event, Position};
use std::{cmp::Reverse, collections::HashSet, time::Duration};
use tokio::sync::oneshot;

impl Shard {
    pub(super) fn receive(&mut self, message: Message) {
        match message {
            Message::Connect(admission, reply) => self.admit(*admission, reply),
            Message::Ask(key, ask) if self.has(key) => self.grant(key.index, ask),
            Message::Ask(_, ask) => ask.end(),
            Message::Disconnect(ids, reason) => self.disconnect(&ids, reason),
            // Whoever doesn't wait any more needs no answer.
            Message::Largest(which, reply) => drop(reply.send(self.largest_outboxes(which))),
            Message::Drain(place, window) => self.drain(place, window),
        }
    }

    /// Whether the key's place is still that connection's.
    pub(super) fn has(&self, key: ConnectionKey) -> bool {
        self.connections.get(key.index).is_some_and(|connection| connection.id == key.id)
    }

    fn grant(&mut self, key: usize, ask: Ask) {
        match ask {
            Ask::Join(subscription, answer) => self.join(key, subscription, answer),
            Ask::Leave(channel, answer) => self.leave(key, &channel, answer),
            Ask::Answer(frame) => self.answer(key, frame),
            Ask::Welcome(greeting, reply) => drop(reply.send(self.welcome(key, Some(greeting)))),
            Ask::Recover(step) => self.take_step(key, step),
            Ask::PauseBroadcasts(reply) => drop(reply.send(self.pause_broadcasts(key))),
            Ask::PeerClosed(code) => self.answer_close(key, code),
            Ask::Close(reason) => self.close(key, reason),
            Ask::Gone => self.remove(key),
        }
    }

    fn admit(&mut self, admission: Admission, reply: oneshot::Sender<(ConnectionKey, Option<Position>)>) {
        let Admission { id, dialect, compression, transport, activity, entry: admitted } = admission;
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let now = self.clock.now();
        activity.arrived(now);
        let heartbeat = Heartbeat::new(self.pace, now, rand::random());
        entry.insert(Connection::new(id, Encoding { dialect, compression }, transport, activity, heartbeat));
        self.schedule(key, heartbeat.next(self.pace));
        self.metrics.connections(dialect).inc();
        let place = match admitted {
            Entry::Now(greeting) => self.welcome(key, greeting),
            Entry::Later => None,
        };
        if self.draining {
            self.drain_at(key, now);
        }
        if reply.send((ConnectionKey { index: key, id }, place)).is_err() {
            self.remove(key);
        }
    }

    /// Makes a connection one of those that get broadcasts, and returns the place behind which it gets them.
    fn welcome(&mut self, key: usize, greeting: Option<Event>) -> Option<Position> {
        self.channels[BROADCAST].roster.join(key);
        let place = self.channels[BROADCAST].place_of(key).cloned();
        if let Some(event) = greeting {
            self.greet(key, event, place.clone());
        }
        place
    }

    fn greet(&mut self, key: usize, mut event: Event, place: Option<Position>) {
        if let Event::Welcome { broadcast, .. } = &mut event {
            *broadcast = place;
        }
        let frame = self.terms.dialects.encode(self.connections[key].dialect, &event);
        frame.into_iter().for_each(|frame| self.answer(key, frame));
    }

    fn join(&mut self, key: usize, subscription: Subscription, answer: Option<Bytes>) {
        let channel = self.channel_for(subscription.channel());
        if self.channels[channel].roster.join(key) {
            self.connections[key].memberships.push(Membership { channel, subscription });
            self.metrics.subscriptions.inc();
        }
        answer.into_iter().for_each(|frame| self.answer(key, frame));
    }

    fn leave(&mut self, key: usize, channel: &ChannelName, answer: Option<Bytes>) {
        let memberships = &mut self.connections[key].memberships;
        if let Some(at) = memberships.iter().position(|membership| membership.subscription.channel() == channel) {
            let membership = memberships.swap_remove(at);
            self.end_membership(key, &membership);
        }
        answer.into_iter().for_each(|frame| self.answer(key, frame));
    }

    pub(super) fn answer(&mut self, key: usize, frame: Bytes) {
        let frames = [frame];
        let parcel = Parcel::new(&frames, Kind::Answer);
        let outcome = self.connections[key].send(&parcel, false, &self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    fn answer_close(&mut self, key: usize, code: Option<u16>) {
        let connection = &mut self.connections[key];
        let first = connection.is_open();
        connection.answer_close(code, &mut self.tally);
        if first {
            self.limit_close(key);
        }
        self.mark_dirty(key);
    }

    pub(super) fn close(&mut self, key: usize, reason: CloseReason) {
        let connection = &mut self.connections[key];
        if connection.is_open() {
            connection.close(reason, &mut self.tally);
            self.limit_close(key);
            self.mark_dirty(key);
        }
    }

    fn disconnect(&mut self, ids: &HashSet<ConnectionId>, reason: CloseReason) {
        // Asked for so rarely that it is cheaper to look than to remember.
        let found = self.connections.iter().filter(|(_, connection)| ids.contains(&connection.id));
        let keys: Vec<_> = found.map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close(key, reason));
    }

    fn largest_outboxes(&self, which: Largest) -> Vec<Waiting> {
        let open = self.connections.iter().filter(|(_, connection)| connection.is_open());
        let waiting = open.map(|(index, connection)| Waiting {
            connection: ConnectionKey { index, id: connection.id },
            bytes: connection.waiting(),
        });
        let mut largest: Vec<_> = waiting.filter(|waiting| waiting.bytes >= which.least.max(1)).collect();
        largest.sort_unstable_by_key(|waiting| Reverse(waiting.bytes));
        largest.truncate(which.most);
        largest
    }

    fn limit_close(&mut self, key: usize) {
        self.schedule(key, self.clock.now() + self.close_timeout);
    }

    fn remove(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        connection.activity.end(CloseReason::PeerVanished);
        if let Some(timer) = connection.timer.take() {
            self.timers.remove(&timer);
        }
        if connection.blocked {
            // Resolves the waiter, which holds the socket.
            connection.transport.abort();
        }
        connection.die(&mut self.tally);
        self.channels[BROADCAST].leave(key);
        std::mem::take(&mut connection.memberships).iter().for_each(|membership| self.end_membership(key, membership));
        self.metrics.connections(connection.dialect).dec();
        self.metrics.disconnected(connection.activity.ended_by().unwrap_or(CloseReason::PeerVanished));
    }

    fn drain(&mut self, place: Place, window: Duration) {
        self.draining = true;
        let (now, window) = (self.clock.now(), millis(window));
        let slots = self.connections.len() as u64 * place.of;
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for (index, key) in (0u64..).zip(keys) {
            self.drain_at(key, now + window * (index * place.of + place.index) / slots);
        }
    }

    fn drain_at(&mut self, key: usize, at: u64) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Open {
            connection.phase = Phase::Draining;
            self.schedule(key, at);
        }
    }

    pub(super) fn channel_for(&mut self, name: &ChannelName) -> usize {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        let key = self.channels.insert(Channel::new(name.clone()));
        self.by_name.insert(name.clone(), key);
        self.metrics.channels.inc();
        key
    }

    fn end_membership(&mut self, key: usize, membership: &Membership) {
        self.channels[membership.channel].leave(key);
        self.metrics.subscriptions.dec();
        self.retire(membership.channel);
    }

    /// Forgets a channel that nobody listens to, unless its turn is yet to come: then it is asked again.
    pub(super) fn retire(&mut self, key: usize) {
        let channel = &self.channels[key];
        if channel.queued || !channel.roster.is_empty() {
            return;
        }
        if let Some(name) = &channel.name {
            self.by_name.remove(name);
            self.channels.remove(key);
            self.metrics.channels.dec();
        }
    }
}
