//! How fast something may come.

use std::num::NonZeroU32;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many a second in the long run.
    pub per_second: NonZeroU32,
    /// How many at once.
    pub burst: u32,
}

const MICROS: u64 = 1_000_000;

impl Rate {
    /// So many a second and so many at once; `None` for 0 a second, which stands for any number.
    pub fn new(per_second: usize, burst: usize) -> Option<Self> {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Some(Self { per_second: NonZeroU32::new(number(per_second))?, burst: number(burst) })
    }

    /// How long `count` take in the long run, in microseconds.
    fn micros(self, count: u64) -> u64 {
        count.saturating_mul(MICROS) / u64::from(self.per_second.get())
    }
}

/// A token bucket, in one word: the time at which it will be full again, in microseconds of the node's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket(u64);

impl Bucket {
    /// Takes `count` at `now`, in milliseconds of the node's clock, if they are there.
    pub(crate) fn take(&mut self, rate: Rate, count: u64, now: u64) -> bool {
        let now = now.saturating_mul(1000);
        let full_at = self.0.max(now).saturating_add(rate.micros(count));
        let fits = full_at - now <= rate.micros(rate.burst.into());
        if fits {
            self.0 = full_at;
        }
        fits
    }

    /// Takes `count` at `now`, in milliseconds of the node's clock, whether they are there or not.
    pub(crate) fn overdraw(&mut self, rate: Rate, count: u64, now: u64) {
        self.0 = self.0.max(now.saturating_mul(1000)).saturating_add(rate.micros(count));
    }

    /// How many are there at `now`, in milliseconds of the node's clock.
    pub(crate) fn left(self, rate: Rate, now: u64) -> u64 {
        let missing = self.0.saturating_sub(now.saturating_mul(1000));
        let micros = rate.micros(rate.burst.into()).saturating_sub(missing);
        micros.saturating_mul(rate.per_second.get().into()) / MICROS
    }

    /// From when on it is not overdrawn, in milliseconds of the node's clock.
    pub(crate) fn is_even_at(self, rate: Rate) -> u64 {
        self.0.saturating_sub(rate.micros(rate.burst.into())).div_ceil(1000)
    }

    /// Whether it is full at `now`, so that nothing need be remembered of it.
    pub(crate) fn is_full(self, now: u64) -> bool {
        self.0 <= now.saturating_mul(1000)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_comes_back_at_the_rate() {
        let (rate, mut bucket) = (Rate::new(10, 3).unwrap(), Bucket::default());
        let mut take = |now| bucket.take(rate, 1, now);
        assert_eq!([5, 5, 5, 5].map(&mut take), [true, true, true, false]);
        assert_eq!([104, 105, 105].map(&mut take), [false, true, false]);
        assert_eq!([10_000, 10_000, 10_000, 10_000].map(&mut take), [true, true, true, false]);
        assert!(!bucket.is_full(10_299) && bucket.is_full(10_300));
    }

    #[test]
    fn what_is_overdrawn_is_made_up_for_at_the_rate() {
        let (rate, mut bucket) = (Rate::new(1000, 100).unwrap(), Bucket::default());
        assert_eq!((bucket.is_even_at(rate), bucket.left(rate, 0)), (0, 100));
        bucket.overdraw(rate, 100, 5);
        assert!(bucket.is_even_at(rate) <= 5);
        bucket.overdraw(rate, 30, 5);
        assert_eq!((bucket.is_even_at(rate), bucket.left(rate, 35), bucket.left(rate, 50)), (35, 0, 15));
        bucket.overdraw(rate, 10, 35);
        assert_eq!(bucket.is_even_at(rate), 45);
        bucket.overdraw(rate, 110, 10_000);
        assert_eq!(bucket.is_even_at(rate), 10_010);
        bucket.overdraw(rate, u64::MAX, 0);
        assert!(bucket.is_even_at(rate) > 10_010);
    }

    #[test]
    fn what_is_more_than_a_burst_never_fits() {
        let (rate, mut bucket) = (Rate::new(1 << 30, 1 << 20).unwrap(), Bucket::default());
        assert!(!bucket.take(rate, (1 << 20) + (1 << 12), 0));
        assert!(bucket.take(rate, 1 << 20, 0) && !bucket.take(rate, 1 << 12, 0));
        assert!(!Bucket::default().take(Rate::new(1, 1).unwrap(), u64::MAX, 0));
        assert_eq!(Rate::new(0, 1), None);
    }
}
