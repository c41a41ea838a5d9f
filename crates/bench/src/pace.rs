//! When messages are sent, and the clock that sender and receivers share, whichever process they are in.

use nix::time::{ClockId, clock_gettime};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// So often the clock is read, since a thread may have to wait between two calls.
const READINGS: usize = 32;

/// The machine's monotonic clock, in nanoseconds: the same in all processes.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_nanos: u64,
}

impl Clock {
    /// The clock: always the same within a process, and in others to less than [`Self::DOUBT`].
    pub fn start() -> Self {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        *CLOCK.get_or_init(Self::read)
    }

    /// By how much the clocks of two processes may differ, in nanoseconds.
    pub const DOUBT: u64 = 1000;

    /// Of several readings the one between whose beginning and end the least time passed.
    fn read() -> Self {
        let readings = (0..READINGS).map(|_| {
            let before = Instant::now();
            // It is there on every Linux; without it, one process still agrees with itself.
            let nanos = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
            let took = before.elapsed();
            (took, Self { start: before + took / 2, start_nanos: to_nanos(nanos) })
        });
        let best = readings.min_by_key(|(took, _)| *took);
        best.map_or(Self { start: Instant::now(), start_nanos: 0 }, |(_, clock)| clock)
    }

    /// What the clock shows at `instant`; 0 for what lies before it began.
    pub fn nanos(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.start) {
            Some(after) => self.start_nanos.saturating_add(to_nanos(after)),
            None => self.start_nanos.saturating_sub(to_nanos(self.start - instant)),
        }
    }

    /// What the clock shows now.
    pub fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }
}

/// `duration` in nanoseconds, at most 584 years.
pub fn to_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// An open loop: messages are due at even distances, or several at a time, however late those before them were.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first message is due.
    pub start: Instant,
    /// Messages a second, above 0.
    pub rate: f64,
    /// So many are due together, at least 1.
    pub burst: u64,
}

impl Schedule {
    /// When message `index` is due.
    pub fn due(&self, index: u64) -> Instant {
        let first_of_burst = index - index % self.burst;
        self.start + Duration::from_secs_f64(first_of_burst as f64 / self.rate)
    }
}

/// How a publisher is paced.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// By the clock.
    Open(Schedule),
    /// By confirmations: at most this many messages are unconfirmed.
    Window(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: f64, burst: u64) -> Schedule {
        Schedule { start: Instant::now(), rate, burst }
    }

    #[test]
    fn messages_are_due_at_even_distances_from_the_start() {
        let schedule = schedule(4.0, 1);
        let offsets = [0, 1, 2, 400].map(|index| schedule.due(index) - schedule.start);
        assert_eq!(offsets, [0, 250, 500, 100_000].map(Duration::from_millis));
    }

    #[test]
    fn bursts_keep_the_rate() {
        let schedule = schedule(4.0, 2);
        let offsets = [0, 1, 2, 3, 4].map(|index| schedule.due(index) - schedule.start);
        assert_eq!(offsets, [0, 0, 500, 500, 1000].map(Duration::from_millis));
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = schedule(3.0, 1);
        assert_eq!(schedule.due(3_000_000) - schedule.start, Duration::from_secs(1_000_000));
    }

    #[test]
    fn two_clocks_agree() {
        let (one, other) = (Clock::read(), Clock::read());
        let instant = one.start + Duration::from_secs(3);
        // Generous, should the machine be so busy that not one reading was undisturbed.
        assert!(one.nanos(instant).abs_diff(other.nanos(instant)) < 1_000_000_000);
        assert_eq!(Clock::start().nanos(instant), Clock::start().nanos(instant));
        assert_eq!(one.nanos(instant) - one.nanos(one.start), 3_000_000_000);
        assert_eq!(one.nanos(one.start) - one.nanos(one.start - Duration::from_nanos(5)), 5);
    }
}
