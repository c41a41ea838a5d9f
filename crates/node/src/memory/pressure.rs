//! When memory is short, and for how long.

use super::Reading;

/// What of the mark at which pressure begins must be free again before it ends, so that it doesn't come and go with each
/// reading: a sixteenth.
const HYSTERESIS: u64 = 16;

/// Whether memory is short, from reading to reading.
#[derive(Debug)]
pub(super) struct Pressure {
    /// The percentage of what may be used at which it begins; `None` for never.
    begins_at: Option<u8>,
    is_there: bool,
}

/// What a reading changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Begins,
    Ends,
}

impl Pressure {
    pub(super) fn new(begins_at: Option<u8>) -> Self {
        Self { begins_at, is_there: false }
    }

    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Judges a reading.
    pub(super) fn take_in(&mut self, reading: Reading) -> Option<Change> {
        let begin = self.begin(reading)?;
        let (was, mark) = (self.is_there, if self.is_there { end(begin) } else { begin });
        self.is_there = reading.used >= mark;
        match (was, self.is_there) {
            (false, true) => Some(Change::Begins),
            (true, false) => Some(Change::Ends),
            _ => None,
        }
    }

    /// How many bytes have to be freed for it to end, while it is there.
    pub(super) fn excess(&self, reading: Reading) -> Option<u64> {
        let begin = self.begin(reading).filter(|_| self.is_there)?;
        Some(reading.used.saturating_sub(end(begin)) + 1)
    }

    /// Whether it may begin soon: from three quarters of the mark on.
    pub(super) fn is_near(&self, reading: Reading) -> bool {
        self.begin(reading).is_some_and(|begin| reading.used >= begin / 4 * 3)
    }

    fn begin(&self, reading: Reading) -> Option<u64> {
        Some((reading.limit / 100).saturating_mul(u64::from(self.begins_at?)))
    }
}

fn end(begin: u64) -> u64 {
    begin - begin / HYSTERESIS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 16_000;

    fn at(used: u64) -> Reading {
        Reading { used, limit: LIMIT }
    }

    #[test]
    fn pressure_begins_at_its_share_and_ends_a_sixteenth_below() {
        let mut pressure = Pressure::new(Some(90));
        assert_eq!((pressure.take_in(at(14_399)), pressure.excess(at(14_399))), (None, None));
        assert_eq!(pressure.take_in(at(14_400)), Some(Change::Begins));
        assert_eq!((pressure.is_there(), pressure.excess(at(14_400))), (true, Some(901)));
        assert_eq!((pressure.take_in(at(13_500)), pressure.excess(at(13_500))), (None, Some(1)));
        assert_eq!(pressure.take_in(at(13_499)), Some(Change::Ends));
        assert_eq!((pressure.is_there(), pressure.excess(at(13_499))), (false, None));
        assert_eq!(pressure.take_in(at(14_399)), None);
        assert_eq!([10_799, 10_800].map(|used| pressure.is_near(at(used))), [false, true]);
    }

    #[test]
    fn a_limit_that_grows_ends_it_and_one_that_shrinks_begins_it() {
        let mut pressure = Pressure::new(Some(50));
        let with = |limit| Reading { used: 1000, limit };
        assert_eq!(pressure.take_in(with(2000)), Some(Change::Begins));
        assert_eq!(pressure.take_in(with(4000)), Some(Change::Ends));
        assert_eq!(pressure.take_in(with(1000)), Some(Change::Begins));
        assert_eq!(pressure.take_in(with(u64::MAX)), Some(Change::Ends));
    }

    #[test]
    fn without_a_share_there_is_never_any() {
        let mut pressure = Pressure::new(None);
        assert_eq!((pressure.take_in(at(2 * LIMIT)), pressure.excess(at(2 * LIMIT))), (None, None));
    }

    proptest! {
        #[test]
        fn it_changes_only_across_the_whole_gap(share in 1u8..100, readings in prop::collection::vec(0..2 * LIMIT, 1..50)) {
            let mut pressure = Pressure::new(Some(share));
            let mut last = None;
            for used in readings {
                if let Some(change) = pressure.take_in(at(used)) {
                    prop_assert_ne!(last.replace(change), Some(change));
                    prop_assert!(change == Change::Begins || last.is_some());
                }
                let excess = pressure.excess(at(used));
                prop_assert_eq!(excess.is_some(), pressure.is_there());
                // Who frees what is asked for ends it.
                if let Some(excess) = excess.filter(|excess| *excess <= used) {
                    prop_assert_eq!(pressure.take_in(at(used - excess)), Some(Change::Ends));
                    last = Some(Change::Ends);
                }
            }
        }
    }
}
