//! How long to wait before the next attempt.

use crate::{Reconnect, retry::Pace};
use std::time::Duration;

/// The longest first wait after a close that says that others take over.
const SOON: Duration = Duration::from_millis(200);

/// A connection that was closed so after this time was a good one: in a rolling restart the next node drains, too, only a
/// little later.
const LASTED: Duration = Duration::from_secs(1);

/// The longest range of random waits that the time a node asks for calls for.
const SPREAD: Duration = Duration::from_secs(30);

/// No bound of waits is shorter, so that a setting of zero doesn't keep a node busy.
const LEAST: Duration = Duration::from_millis(10);

/// Waits whose bound doubles with each failure, each drawn from the whole range between zero and its bound, so that
/// clients that were cut off together don't come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    /// Whether the last connection was a good one.
    lasted: bool,
}

impl Backoff {
    /// Waits between the bounds of `reconnect`, with no failure yet.
    pub(crate) fn new(reconnect: &Reconnect) -> Self {
        Self { first: reconnect.first, most: reconnect.most, failures: 0, lasted: false }
    }

    /// A connection has ended that lasted for `lived`. One that ends soon counts as a failure, or a node that takes
    /// connections only to end them would be asked at the shortest pace for ever.
    pub(crate) fn ended(&mut self, lived: Duration) {
        self.lasted = lived >= LASTED;
        if lived >= self.most {
            self.failures = 0;
        }
    }

    /// How long to wait now; `random` is in 0 to 1. Counts a failure for the next time.
    pub(crate) fn wait(&mut self, pace: Pace, random: f64) -> Duration {
        let (least, bound) = match pace {
            Pace::Soon if self.failures == 0 || self.lasted => (Duration::ZERO, self.bound().min(SOON)),
            Pace::Soon | Pace::Backoff => (Duration::ZERO, self.bound()),
            // Many may have been told the same, at once.
            Pace::NotBefore(least) => (least, self.bound().max(least.min(SPREAD))),
        };
        self.failures = self.failures.saturating_add(1);
        self.lasted = false;
        least.saturating_add(bound.mul_f64(random.clamp(0.0, 1.0)))
    }

    fn bound(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures);
        self.first.max(LEAST).saturating_mul(factor).min(self.most.max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff(first: u64, most: u64) -> Backoff {
        let (first, most) = (Duration::from_millis(first), Duration::from_millis(most));
        Backoff::new(&Reconnect { first, most, give_up_after: None })
    }

    /// The waits that `paces` lead to when chance takes the longest.
    #[track_caller]
    fn check(mut backoff: Backoff, paces: &[Pace], expected: &[u128]) {
        let waits: Vec<_> = paces.iter().map(|pace| backoff.wait(*pace, 1.0).as_millis()).collect();
        assert_eq!(waits, expected);
    }

    #[test]
    fn bounds_double_up_to_the_most() {
        check(backoff(500, 10_000), &[Pace::Backoff; 7], &[500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        check(backoff(3000, 1000), &[Pace::Backoff; 2], &[1000, 1000]);
        check(backoff(0, 0), &[Pace::Backoff; 2], &[10, 10]);
    }

    #[test]
    fn a_drained_node_is_left_soon_but_not_again_and_again() {
        check(backoff(500, 10_000), &[Pace::Soon, Pace::Soon, Pace::Backoff], &[200, 1000, 2000]);
        check(backoff(50, 10_000), &[Pace::Soon], &[50]);
    }

    #[test]
    fn so_is_the_next_one_that_drains_a_little_later() {
        let mut backoff = backoff(500, 10_000);
        for lived in [0, 1000, 5000] {
            backoff.ended(Duration::from_millis(lived));
            assert_eq!(backoff.wait(Pace::Soon, 1.0), SOON, "{lived}");
        }
        assert_eq!(backoff.wait(Pace::Backoff, 1.0), Duration::from_secs(4));
        backoff.ended(Duration::from_millis(999));
        assert_eq!(backoff.wait(Pace::Soon, 1.0), Duration::from_secs(8));
    }

    #[test]
    fn what_a_node_asks_for_is_waited_at_least() {
        let told = Pace::NotBefore(Duration::from_secs(3));
        check(backoff(500, 10_000), &[told, told, told, told], &[6000, 6000, 6000, 7000]);
        assert_eq!(backoff(500, 10_000).wait(told, 0.0), Duration::from_secs(3));
        check(backoff(500, 10_000), &[Pace::NotBefore(Duration::from_secs(3600))], &[3_630_000]);
        check(backoff(500, 10_000), &[Pace::NotBefore(Duration::ZERO)], &[500]);
    }

    #[test]
    fn a_connection_that_lasted_begins_anew() {
        let mut backoff = backoff(500, 10_000);
        backoff.wait(Pace::Backoff, 1.0);
        backoff.ended(Duration::from_millis(9_999));
        assert_eq!(backoff.wait(Pace::Backoff, 1.0), Duration::from_secs(1));
        backoff.ended(Duration::from_secs(10));
        assert_eq!(backoff.wait(Pace::Backoff, 1.0), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn no_setting_overflows(first: Duration, most: Duration, failures: u32, random in 0.0..=1.0) {
            let mut backoff = Backoff { first, most, failures, lasted: false };
            prop_assert!(backoff.wait(Pace::Backoff, random) <= most.max(LEAST));
            prop_assert!(backoff.wait(Pace::NotBefore(Duration::MAX), random) == Duration::MAX);
        }
    }
}
