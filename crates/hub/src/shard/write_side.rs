//! When a shard writes, and when time is up.

use super::{Shard, handle::ConnectionKey};
use crate::{
    connection::{Outcome, Phase},
    heartbeat::Beat,
    outbox::{Kind, Parcel},
};
use fanwire_protocol::CloseReason;
use std::sync::Arc;

impl Shard {
    #[inline]
    pub(super) fn conclude(&mut self, key: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Flush => self.mark_dirty(key),
            Outcome::Wait => self.wait(key),
            Outcome::Full => self.close(key, CloseReason::SlowConsumer),
        }
    }

    pub(super) fn mark_dirty(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if !connection.blocked && !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(key);
        }
    }

    fn wait(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if !std::mem::replace(&mut connection.blocked, true) {
            let writable = Arc::clone(&connection.transport).writable();
            let key = ConnectionKey { index: key, id: connection.id };
            self.waiters.push(Box::pin(async move {
                writable.await;
                key
            }));
        }
    }

    pub(super) fn on_writable(&mut self, key: ConnectionKey) {
        if self.has(key) {
            self.connections[key.index].blocked = false;
            self.flush(key.index);
        }
    }

    fn flush(&mut self, key: usize) {
        let outcome = self.connections[key].flush(&self.terms, &mut self.tally);
        self.conclude(key, outcome);
        self.go_on(key);
    }

    pub(super) fn flush_dirty(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let dirty = self.connections.get_mut(key).is_some_and(|connection| std::mem::take(&mut connection.dirty));
            if dirty && !self.connections[key].blocked {
                self.flush(key);
            }
        }
    }

    pub(super) fn schedule(&mut self, key: usize, at: u64) {
        let connection = &mut self.connections[key];
        if let Some(timer) = connection.timer.take() {
            self.timers.remove(&timer);
        }
        connection.timer = Some(self.timers.insert_at(key, self.clock.at(at)));
    }

    pub(super) fn on_timer(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        connection.timer = None;
        match connection.phase {
            Phase::Open => self.beat(key),
            Phase::Draining => self.close(key, CloseReason::Draining),
            Phase::Closing { .. } => {
                connection.abort(&mut self.tally);
                self.metrics.close_timeouts.inc();
            }
            Phase::Dead => {}
        }
    }

    fn beat(&mut self, key: usize) {
        let (now, pace) = (self.clock.now(), self.pace);
        let connection = &mut self.connections[key];
        let beat = connection.heartbeat.beat(pace, now, connection.activity.last_arrival());
        let next = connection.heartbeat.next(pace);
        match beat {
            Beat::Dead => return self.close(key, CloseReason::HeartbeatTimeout),
            Beat::Ping => self.ping(key),
            Beat::Wait => {}
        }
        if self.connections[key].phase == Phase::Open {
            self.schedule(key, next);
        }
    }

    /// Writes at once: answers may have company at the end of the turn, pings have none.
    fn ping(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let frames = [connection.dialect.heartbeat_frame()];
        let outcome = connection.send(&Parcel::new(&frames, Kind::Answer), true, &self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    pub(super) fn publish_tally(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        self.metrics.deliveries.inc_by(tally.deliveries);
        self.metrics.compressed.inc_by(tally.compressed);
        self.metrics.saved_bytes.inc_by(tally.saved_bytes);
        self.metrics.sent_bytes.inc_by(tally.sent_bytes);
        self.metrics.outbox_bytes.add(tally.outbox_bytes);
        self.metrics.dropped_full.inc_by(tally.dropped_full);
        self.metrics.dropped_closed.inc_by(tally.dropped_closed);
    }
}
