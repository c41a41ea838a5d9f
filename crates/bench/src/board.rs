//! What all subscribers of a run write down together.

use crate::{arrivals::Arrivals, latency::Latency, pace::Clock, websocket::Scratch};
use std::cell::{Cell, RefCell};

/// Enough for what the kernel holds for a socket at the usual rates, so that a step seldom needs a second read.
pub const SCRATCH: usize = 64 * 1024;

/// What all subscribers of a run share: the read buffer, the clock, the times of delivery. One thread only.
#[derive(Debug)]
pub struct Board {
    /// The buffer to read into.
    pub scratch: Scratch,
    /// The clock of the marks.
    pub clock: Clock,
    /// How many messages arrived since the last restart.
    pub arrivals: Arrivals,
    latency: RefCell<Latency>,
    measure_from: Cell<u64>,
    last: Cell<u64>,
}

impl Board {
    /// An empty board; `clock` is that of the publisher.
    pub fn new(clock: Clock) -> Self {
        Self {
            scratch: Scratch::new(SCRATCH),
            clock,
            arrivals: Arrivals::default(),
            latency: RefCell::default(),
            measure_from: Cell::new(0),
            last: Cell::new(0),
        }
    }

    /// Forgets everything and measures from now on the messages that are marked with `nanos` or later.
    pub fn restart(&self, nanos: u64) {
        self.latency.take();
        self.measure_from.set(nanos);
        self.arrivals.restart();
    }

    /// Enters the arrival at `now` of a message marked with `sent`.
    pub fn record(&self, sent: u64, now: u64) {
        if sent >= self.measure_from.get() {
            self.latency.borrow_mut().record(now.saturating_sub(sent));
        }
        self.last.set(now);
        self.arrivals.count();
    }

    /// The times since the last restart, and when the last message arrived.
    pub fn take(&self) -> (Latency, u64) {
        (self.latency.take(), self.last.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_after_the_warm_up_is_timed() {
        let board = Board::new(Clock::start());
        board.restart(100);
        board.record(99, 200);
        board.record(100, 300);
        let (latency, last) = board.take();
        assert_eq!((latency.count(), last), (1, 300));
    }
}
