//! What has been freed and is counted as used all the same, because the allocator keeps it for what comes next.
//!
//! An allocator gives memory back late, or never, where something else still lies between. Without knowing what is spare,
//! a node that has closed enough would go on closing, and refuse clients long after.

use super::Reading;

/// By which part of the limit the use may grow before what was thought to be spare is known not to be.
const TOLERANCE: u64 = 128;

/// What of the memory that is used is known to be spare, from reading to reading.
#[derive(Debug, Default)]
pub(super) struct Spare {
    bytes: u64,
    /// The least that was used since there was anything spare.
    least: u64,
    used: u64,
    outboxes: u64,
}

impl Spare {
    /// What is in use and not spare at `reading`, when outboxes cost `outboxes` bytes.
    ///
    /// What outboxes have lost is spare unless it was given back, and what they gain comes out of that. How much of it
    /// lies in several of them, so that it was not freed at all, is not known; so nothing is spare any more as soon as
    /// more is taken from the kernel.
    pub(super) fn besides(&mut self, reading: Reading, outboxes: u64) -> u64 {
        let given_back = self.used.saturating_sub(reading.used);
        let (lost, gained) = (self.outboxes.saturating_sub(outboxes), outboxes.saturating_sub(self.outboxes));
        let was_none = self.bytes == 0;
        self.bytes = self.bytes.saturating_add(lost).saturating_sub(gained).saturating_sub(given_back);
        self.least = if was_none { reading.used } else { self.least.min(reading.used) };
        if reading.used - self.least > reading.limit / TOLERANCE {
            self.bytes = 0;
        }
        (self.used, self.outboxes) = (reading.used, outboxes);
        reading.used.saturating_sub(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 12_800;

    /// What is in use, from reading to reading of what is used and what outboxes cost.
    fn check(readings: &[(u64, u64)], expected: &[u64]) {
        let mut spare = Spare::default();
        let besides =
            readings.iter().map(|(used, outboxes)| spare.besides(Reading { used: *used, limit: LIMIT }, *outboxes));
        assert_eq!(besides.collect::<Vec<_>>(), expected, "{readings:?}");
    }

    #[test]
    fn what_is_given_back_is_not_spare() {
        check(&[(1000, 900), (500, 400), (100, 0)], &[1000, 500, 100]);
    }

    #[test]
    fn what_is_kept_is_spare_until_it_is_used_again() {
        check(
            &[(1000, 900), (1000, 400), (800, 400), (800, 600), (800, 700), (800, 650)],
            &[1000, 500, 500, 700, 800, 750],
        );
    }

    #[test]
    fn nothing_is_spare_when_more_is_taken() {
        check(&[(1000, 900), (1000, 400), (1100, 400), (1101, 400), (1101, 300)], &[1000, 500, 600, 1101, 1001]);
        check(&[(1000, 900), (1000, 400), (900, 400), (1001, 400)], &[1000, 500, 500, 1001]);
    }

    proptest! {
        #[test]
        fn it_hides_no_growth(readings in prop::collection::vec((0..2 * LIMIT, 0..2 * LIMIT), 1..40)) {
            let (mut spare, mut last) = (Spare::default(), None);
            for (used, outboxes) in readings {
                let besides = spare.besides(Reading { used, limit: LIMIT }, outboxes);
                prop_assert!(besides <= used);
                if last.is_some_and(|last| used > last + LIMIT / TOLERANCE) {
                    prop_assert!(spare.bytes == 0 || spare.least == used);
                }
                last = Some(used);
            }
        }
    }
}
