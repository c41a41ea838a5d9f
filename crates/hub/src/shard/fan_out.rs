//! The way of publications to the subscribers of a shard.

use super::{BROADCAST, Shard, TURN};
use crate::{
    channel::{Batch, Item, size_of},
    history::Skip,
    outbox::Parcel,
};
use fanwire_protocol::{Delivery, Position, Target};

/// How many connections are looked up together before they are written to.
const AHEAD: usize = 16;

impl Shard {
    pub(super) fn enqueue(&mut self, delivery: Delivery) {
        // Without a key the last subscriber has left meanwhile.
        let Some(key) = self.key_of(&delivery.publication.target) else { return };
        if let Some(position) = &delivery.publication.position
            && !self.channels[key].advance(position)
        {
            return;
        }
        self.backlog.publications += 1;
        self.backlog.bytes += size_of(&delivery);
        self.channels[key].pending.push_back(Item::Delivery(delivery));
        self.call(key);
    }

    pub(super) fn enqueue_lost(&mut self, target: &Target, position: Position) {
        if let Some(key) = self.key_of(target)
            && self.channels[key].advance(&position)
        {
            self.backlog.publications += 1;
            self.channels[key].pending.push_back(Item::Lost(position));
            self.call(key);
        }
    }

    fn key_of(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Broadcast => Some(BROADCAST),
            Target::Channel(name) => self.by_name.get(name).copied(),
        }
    }

    /// Puts a channel into the queue for turns.
    fn call(&mut self, key: usize) {
        if !std::mem::replace(&mut self.channels[key].queued, true) {
            self.queue.push_back(key);
        }
    }

    pub(super) fn fan_out(&mut self) {
        self.release_held();
        let mut rest = TURN;
        while rest > 0
            && let Some(key) = self.queue.pop_front()
        {
            rest = rest.saturating_sub(self.fan_out_channel(key, rest).max(1));
            if self.channels[key].parked {
                continue;
            }
            self.channels[key].queued = false;
            if self.channels[key].has_work() {
                self.call(key);
            } else {
                self.retire(key);
            }
        }
    }

    /// Events about the link stand behind every publication that came before them.
    fn release_held(&mut self) {
        if self.backlog.publications == 0
            && self.channels[BROADCAST].batch.is_none()
            && let Some(event) = self.held.take()
        {
            self.channels[BROADCAST].begin_notice(event);
            self.call(BROADCAST);
        }
    }

    /// Serves at most `limit` subscribers of a channel and returns how many it served.
    fn fan_out_channel(&mut self, key: usize, limit: usize) -> usize {
        // While other channels wait too, a connection may be in several of them: then one write serves them all.
        let at_once = self.queue.is_empty();
        // A batch that just fits an outbox would make a slow consumer of whoever is behind by a single frame.
        self.channels[key].begin_batch(self.node, self.terms.limit / 8);
        let Some(mut batch) = self.channels[key].batch.take() else { return 0 };
        for served in 0..limit {
            if served % AHEAD == 0 {
                self.look_ahead(key);
            }
            if batch.is_long
                && let Some(encoding) = self.costly(key, &batch)
            {
                self.compress(key, batch, encoding);
                return served;
            }
            let Some(connection) = self.channels[key].roster.walk() else {
                self.finish(&batch);
                return served;
            };
            self.deliver(key, connection, &mut batch, at_once);
        }
        self.channels[key].batch = Some(batch);
        limit
    }

    /// Between two fan-outs the kernel has pushed connections out of the caches, and each would be waited for in turn.
    fn look_ahead(&self, channel: usize) {
        self.channels[channel].roster.ahead(AHEAD).for_each(|key| self.connections[key].look_up());
    }

    fn deliver(&mut self, channel: usize, key: usize, batch: &mut Batch, at_once: bool) {
        let history = self.channels[channel].history.as_mut();
        let skip = history.and_then(|history| history.skip_of(key, batch));
        let connection = &mut self.connections[key];
        if skip.is_some() || batch.leaves_out(connection.id.1) {
            return self.deliver_part(key, batch, skip.as_ref(), at_once);
        }
        let parcel = batch.parcel(connection.encoding(), &self.terms.dialects);
        let outcome = connection.send(&parcel, at_once, &self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    fn deliver_part(&mut self, key: usize, batch: &mut Batch, skip: Option<&Skip>, at_once: bool) {
        let (terms, connection) = (&self.terms, &mut self.connections[key]);
        let part = batch.part(connection.id.1, skip);
        let mut frames = Vec::new();
        let publications = batch.publications(&part);
        let saving;
        let parcel = if part.len() == batch.len() {
            batch.parcel(connection.encoding(), &terms.dialects)
        } else {
            saving = terms.dialects.frames(connection.encoding(), &publications, &mut frames);
            let placed = if frames.len() == publications.len() { &publications[..] } else { &[] };
            Parcel { frames: &frames, kind: batch.kind, placed, saving: &saving }
        };
        let outcome = connection.send(&parcel, at_once, terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    fn finish(&mut self, batch: &Batch) {
        self.backlog.publications -= batch.len();
        self.backlog.bytes -= batch.size();
        self.metrics.fan_out.observe(batch.duration().as_secs_f64());
        batch.ages().for_each(|age| self.metrics.relay_latency.observe(age.as_secs_f64()));
    }
}
