//! How long to wait before keys are read again.

use std::time::Duration;

/// The least time from one read to another that a token asks for: anybody can name keys that there are not.
pub(super) const COOLDOWN: Duration = Duration::from_secs(5);

/// The longest wait after a first failure; it doubles up to [`CAP`].
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait after any.
const CAP: Duration = Duration::from_secs(30);

/// Waits between reads.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    failures: u32,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// Drawn from the last tenth of the interval, so that the nodes of a cluster don't come together; `random` is in 0
    /// to 1.
    pub(super) fn after_success(&mut self, random: f64) -> Duration {
        self.failures = 0;
        self.interval.mul_f64(0.9 + 0.1 * random.clamp(0.0, 1.0))
    }

    /// Drawn from the upper half of the range, for the same reason; `random` is in 0 to 1.
    pub(super) fn after_failure(&mut self, random: f64) -> Duration {
        let longest = (FIRST * 2u32.pow(self.failures.min(16))).min(CAP);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_until_a_read_succeeds() {
        let mut pace = Pace::new(Duration::from_secs(300));
        let seconds = |wait: Duration| wait.as_secs_f64();
        let longest: Vec<_> = (0..7).map(|_| seconds(pace.after_failure(1.0))).collect();
        assert_eq!(longest, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(seconds(pace.after_failure(0.0)), 15.0);
        assert_eq!((seconds(pace.after_success(0.0)), seconds(pace.after_success(1.0))), (270.0, 300.0));
        assert_eq!(seconds(pace.after_failure(0.0)), 0.5);
    }
}
