//! How long to wait before the link is made again.

use std::time::Duration;

/// The longest wait: Redis must be found within 3 s of being back.
const CAP: Duration = Duration::from_secs(1);

/// The longest first wait: a link that was only cut is made again at once.
const FIRST: Duration = Duration::from_millis(50);

/// Waits that double up to [`CAP`], each drawn from its whole range so that the nodes of a cluster don't come together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a link that could be used for `lived`; `random` is in 0 to 1.
    pub(super) fn after(&mut self, lived: Duration, random: f64) -> Duration {
        // A link that breaks as soon as it is made counts as a failure, or its making would never slow down.
        self.failures = if lived > CAP { 0 } else { self.failures.saturating_add(1) };
        let doublings = self.failures.saturating_sub(1).min(16);
        (FIRST * 2u32.pow(doublings)).min(CAP).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew_after_a_good_link() {
        let mut backoff = Backoff::default();
        let longest: Vec<_> = (0..8).map(|_| backoff.after(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(backoff.after(Duration::from_secs(60), 1.0), FIRST);
        assert_eq!(backoff.after(Duration::from_millis(10), 1.0), FIRST);
        assert_eq!(backoff.after(Duration::from_millis(10), 1.0), FIRST * 2);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(failures in any::<u32>(), lived in 0u64..5_000, random in any::<f64>()) {
            let random = if random.is_nan() { 0.5 } else { random };
            let wait = Backoff { failures }.after(Duration::from_millis(lived), random);
            prop_assert!(wait <= CAP);
        }
    }
}
