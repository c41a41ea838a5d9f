//! What a shard holds of a connection, and its write side.

use crate::{
    Activity, Transport,
    heartbeat::Heartbeat,
    interest::Subscription,
    outbox::{Kind, Outbox, Parcel, Policy, Rest, with_slices},
    recovery::Recovery,
};
use bytes::Bytes;
use fanwire_protocol::{
    CloseReason, Compression, ConnectionId, Dialect, Dialects, Encoding, Event, Publication, Target, frame,
};
use smallvec::SmallVec;
use std::{
    hint::black_box,
    io::{self, IoSlice},
    sync::Arc,
};
use tokio_util::time::delay_queue;

/// A connection as its shard sees it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) dialect: Dialect,
    pub(crate) compression: Compression,
    pub(crate) activity: Arc<Activity>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) heartbeat: Heartbeat,
    /// Its place in the shard's timers; `None` once that has run out.
    pub(crate) timer: Option<delay_queue::Key>,
    pub(crate) memberships: SmallVec<[Membership; 1]>,
    pub(crate) phase: Phase,
    /// Whether somebody waits for the socket to take more.
    pub(crate) blocked: bool,
    /// Whether the outbox is to be flushed at the end of the turn.
    pub(crate) dirty: bool,
    /// Whether it stands in the shard's queue of connections that recover.
    pub(crate) recovering: bool,
    pub(crate) recovery: Recovery,
    /// `None` where nothing waits, as nearly always: whoever is small is quickly walked past.
    outbox: Option<Box<Outbox>>,
}

/// A connection's place in a channel.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The channel's key in the shard.
    pub(crate) channel: usize,
    /// Held for as long as the place is.
    pub(crate) subscription: Subscription,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It takes publications and answers.
    Open,
    /// The same, and its timer is the one that ends it.
    Draining,
    /// Its Close frame is in the outbox or on the wire; nothing follows it.
    Closing {
        /// Whether the write side ends behind the Close frame.
        finish: bool,
    },
    /// The socket is gone; its session has yet to notice.
    Dead,
}

/// What is to be done after frames were handed to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Done,
    /// Flush at the end of the turn.
    Flush,
    /// Wait until the socket takes more.
    Wait,
    /// Close as a slow consumer.
    Full,
}

/// What holds for all connections of a shard.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The most that an outbox may cost, in bytes.
    pub(crate) limit: usize,
    /// What happens at the limit.
    pub(crate) policy: Policy,
    pub(crate) dialects: Dialects,
}

/// What a turn of the shard did, added up before it goes to the metrics.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    pub(crate) compressed: u64,
    pub(crate) saved_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) outbox_bytes: i64,
    pub(crate) dropped_full: u64,
    pub(crate) dropped_closed: u64,
}

impl Connection {
    /// A connection that has nothing to send yet.
    pub(crate) fn new(
        id: ConnectionId,
        encoding: Encoding,
        transport: Arc<dyn Transport>,
        activity: Arc<Activity>,
        heartbeat: Heartbeat,
    ) -> Self {
        Self {
            id,
            dialect: encoding.dialect,
            compression: encoding.compression,
            activity,
            transport,
            heartbeat,
            timer: None,
            memberships: SmallVec::new(),
            phase: Phase::Open,
            blocked: false,
            dirty: false,
            recovering: false,
            recovery: Recovery::default(),
            outbox: None,
        }
    }

    /// How its frames are made.
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding { dialect: self.dialect, compression: self.compression }
    }

    /// Whether it still takes frames.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining)
    }

    /// What its outbox costs, in bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.cost())
    }

    /// Whether so little waits that what it recovers may follow.
    pub(crate) fn rests(&self, terms: &Terms) -> bool {
        self.outbox.as_ref().is_none_or(|outbox| outbox.rests(terms.limit))
    }

    /// Reads what [`Self::send`] will need; see [`Transport::look_up`].
    pub(crate) fn look_up(&self) {
        black_box((self.phase, self.blocked, self.id.1, self.outbox.is_none()));
        self.transport.look_up();
    }

    /// Hands over frames. With `at_once` they are written now if nothing waits before them; else, and where the socket
    /// does not take them, they go to the outbox.
    pub(crate) fn send(&mut self, parcel: &Parcel<'_>, at_once: bool, terms: &Terms, tally: &mut Tally) -> Outcome {
        if !self.is_open() || parcel.frames.is_empty() {
            return Outcome::Done;
        }
        if parcel.kind != Kind::Answer {
            tally.deliveries += parcel.frames.len() as u64;
            tally.compressed += parcel.saving.frames;
            tally.saved_bytes += parcel.saving.bytes;
        }
        let outcome = if at_once && !self.blocked && self.outbox.is_none() {
            self.write_directly(parcel, terms, tally)
        } else {
            self.enqueue(parcel, terms, tally)
        };
        self.account(tally);
        outcome
    }

    fn write_directly(&mut self, parcel: &Parcel<'_>, terms: &Terms, tally: &mut Tally) -> Outcome {
        let write = |slices: &[IoSlice<'_>]| self.transport.try_write_vectored(slices);
        let result = match parcel.frames {
            [one] => write(&[IoSlice::new(one)]),
            many => with_slices(many.iter().map(|frame| &frame[..]), write),
        };
        let Ok(count) = written(result) else { return self.abort(tally) };
        tally.sent_bytes += count as u64;
        if count == parcel.length() {
            return Outcome::Done;
        }
        let held = self.transport.held();
        let outbox = self.outbox();
        outbox.push_rest(parcel, count);
        outbox.set_held(held);
        self.make_room(&[], terms, tally);
        if self.outbox().has_room(&[], terms.limit) { Outcome::Wait } else { Outcome::Full }
    }

    fn enqueue(&mut self, parcel: &Parcel<'_>, terms: &Terms, tally: &mut Tally) -> Outcome {
        let mut outcome = if self.blocked { Outcome::Done } else { Outcome::Flush };
        if parcel.kind == Kind::Page {
            self.outbox().push_rest(parcel, 0);
            return outcome;
        }
        let frames = parcel.frames;
        if !self.blocked && !self.outbox().has_room(frames, terms.limit) {
            // Perhaps full only because nobody has tried to write yet.
            outcome = self.flush(terms, tally);
            if self.phase == Phase::Dead {
                return outcome;
            }
            if self.outbox.is_none() {
                return self.write_directly(parcel, terms, tally);
            }
        }
        self.make_room(frames, terms, tally);
        if !self.outbox().has_room(frames, terms.limit) {
            tally.dropped_closed += if parcel.kind == Kind::Publication { frames.len() as u64 } else { 0 };
            return Outcome::Full;
        }
        self.outbox().push_rest(parcel, 0);
        outcome
    }

    fn make_room(&mut self, frames: &[Bytes], terms: &Terms, tally: &mut Tally) {
        if terms.policy == Policy::DropOldest && self.dialect.can_tell_losses() {
            let left_out = self.outbox().make_room(frames, terms.limit);
            self.activity.left_out(left_out);
            tally.dropped_full += left_out;
        }
    }

    /// Writes as much of the outbox as the socket takes.
    pub(crate) fn flush(&mut self, terms: &Terms, tally: &mut Tally) -> Outcome {
        self.tell_losses(&terms.dialects);
        let outcome = loop {
            let Some(outbox) = self.outbox.as_mut().filter(|outbox| !outbox.is_empty()) else { break self.flushed() };
            match written(outbox.write_with(|slices| self.transport.try_write_vectored(slices))) {
                Ok(0) => {
                    outbox.set_held(self.transport.held());
                    break Outcome::Wait;
                }
                Ok(count) => {
                    tally.sent_bytes += count as u64;
                    outbox.advance(count);
                }
                Err(_) => break self.abort(tally),
            }
        };
        self.account(tally);
        outcome
    }

    fn tell_losses(&mut self, dialects: &Dialects) {
        let Some(outbox) = &mut self.outbox else { return };
        outbox.tell_lost(|publication| dialects.encode(self.dialect, &lost(publication)?));
        let count = outbox.take_left_out();
        if count > 0 {
            let notice = dialects.encode(self.dialect, &Event::Dropped { count });
            notice.into_iter().for_each(|frame| outbox.push_losses(frame, count));
        }
    }

    fn flushed(&mut self) -> Outcome {
        if self.phase == (Phase::Closing { finish: true }) {
            self.transport.finish();
        }
        Outcome::Done
    }

    /// Puts the Close frame for `reason` into the outbox, behind what waits there or, where the peer has no use for
    /// that any more, in its place.
    pub(crate) fn close(&mut self, reason: CloseReason, tally: &mut Tally) {
        self.end(reason, self.dialect.close_frame(reason), rest_for(reason), must_finish(reason), tally);
    }

    /// Sends the answers that wait, then answers the peer's Close frame with its own code (RFC 6455, section 5.5.1), or
    /// takes it as the answer to ours.
    pub(crate) fn answer_close(&mut self, code: Option<u16>, tally: &mut Tally) {
        if self.is_open() {
            let answer = frame::close(code.unwrap_or(1005), "");
            self.end(CloseReason::PeerClosed, answer, Rest::Answers, true, tally);
        } else if self.phase == (Phase::Closing { finish: false }) {
            self.phase = Phase::Closing { finish: true };
        }
    }

    fn end(&mut self, reason: CloseReason, frame: Bytes, rest: Rest, finish: bool, tally: &mut Tally) {
        self.activity.end(reason);
        let outbox = self.outbox();
        tally.dropped_closed += outbox.keep(rest);
        outbox.push_answer(frame);
        self.account(tally);
        self.phase = Phase::Closing { finish };
        self.recovery.end();
    }

    /// Ends the socket, so that its session ends too, and gives back what waits.
    pub(crate) fn abort(&mut self, tally: &mut Tally) -> Outcome {
        self.transport.abort();
        self.die(tally);
        Outcome::Done
    }

    /// Gives back what waits, since nobody will write it any more.
    pub(crate) fn die(&mut self, tally: &mut Tally) {
        self.phase = Phase::Dead;
        tally.outbox_bytes -= self.outbox.take().map_or(0, |outbox| outbox.counted());
        self.recovery.end();
    }

    fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    /// Counts what the outbox costs now, and does without one where nothing waits.
    fn account(&mut self, tally: &mut Tally) {
        if let Some(outbox) = &mut self.outbox {
            tally.outbox_bytes += outbox.count();
            self.outbox.take_if(|outbox| outbox.is_settled());
        }
    }
}

/// What is told where publications up to this one were left out.
fn lost(publication: &Publication) -> Option<Event> {
    let channel = match &publication.target {
        Target::Broadcast => None,
        Target::Channel(name) => Some(name.clone()),
    };
    publication.position.clone().map(|position| Event::Lost { channel, position })
}

/// What a peer would still read of what waits.
fn rest_for(reason: CloseReason) -> Rest {
    match reason {
        CloseReason::SlowConsumer | CloseReason::MemoryPressure | CloseReason::HeartbeatTimeout => Rest::Nothing,
        _ => Rest::All,
    }
}

/// Whether nothing more can be read from the peer, its Close frame included.
fn must_finish(reason: CloseReason) -> bool {
    !matches!(reason, CloseReason::SlowConsumer | CloseReason::MemoryPressure | CloseReason::Draining)
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}
