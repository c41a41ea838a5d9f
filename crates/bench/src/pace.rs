//! When messages are sent, and the clock that sender and receivers share.

use std::time::{Duration, Instant};

/// The clock of a run: nanoseconds since its start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The nanoseconds from the start to `instant`, 0 for what lies before; ends after 584 years.
    pub fn nanos(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The nanoseconds from the start to now.
    pub fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }
}

/// An open loop: message `i` is due at `start + i / rate`, however late those before it were.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first message is due.
    pub start: Instant,
    /// Messages a second, above 0.
    pub rate: f64,
}

impl Schedule {
    /// When message `index` is due.
    pub fn due(&self, index: u64) -> Instant {
        self.start + Duration::from_secs_f64(index as f64 / self.rate)
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

    #[test]
    fn messages_are_due_at_even_distances_from_the_start() {
        let schedule = Schedule { start: Instant::now(), rate: 4.0 };
        let offsets = [0, 1, 2, 400].map(|index| schedule.due(index) - schedule.start);
        assert_eq!(offsets, [0, 250, 500, 100_000].map(Duration::from_millis));
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = Schedule { start: Instant::now(), rate: 3.0 };
        assert_eq!(schedule.due(3_000_000) - schedule.start, Duration::from_secs(1_000_000));
    }

    #[test]
    fn the_clock_starts_at_zero_and_knows_nothing_before() {
        let clock = Clock::start();
        assert_eq!(clock.nanos(clock.start), 0);
        assert_eq!(clock.nanos(clock.start + Duration::from_micros(3)), 3000);
        assert_eq!(clock.nanos(clock.start.checked_sub(Duration::from_secs(1)).unwrap_or(clock.start)), 0);
    }
}
