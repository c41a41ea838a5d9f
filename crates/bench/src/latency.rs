//! Distributions of times.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;

const LONGEST: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// A distribution of times between 1 ns and 10 minutes, to 3 digits.
#[derive(Debug)]
pub struct Latency {
    histogram: Option<Histogram<u64>>,
}

impl Default for Latency {
    fn default() -> Self {
        // Only bounds that make no sense are refused; these do.
        Self { histogram: Histogram::new_with_bounds(1, LONGEST, DIGITS).ok() }
    }
}

impl Latency {
    /// Enters a time in nanoseconds; longer ones than 10 minutes count as 10 minutes.
    pub fn record(&mut self, nanos: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(nanos);
        }
    }

    /// How many times were entered.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// Each time that was entered, as far as it is kept, and how often.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let recorded = self.histogram.iter().flat_map(Histogram::iter_recorded);
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// Enters what another distribution gave as [`Self::counts`].
    pub fn add(&mut self, counts: &[(u64, u64)]) {
        if let Some(histogram) = &mut self.histogram {
            counts.iter().for_each(|(nanos, count)| histogram.saturating_record_n(*nanos, *count));
        }
    }

    /// The usual figures.
    pub fn summary(&self) -> Summary {
        let Some(histogram) = &self.histogram else {
            return Summary::default();
        };
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Summary {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(histogram.max()),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

/// The usual figures of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = self;
        write!(
            f,
            "mean {mean_us:.0}  p50 {p50_us:.0}  p90 {p90_us:.0}  p99 {p99_us:.0}  p99.9 {p999_us:.0}  max {max_us:.0} us"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_microseconds_to_three_digits() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|i| latency.record(i * 1000));
        let summary = latency.summary();
        assert_eq!(summary.count, 1000);
        assert!((summary.p50_us - 500.0).abs() < 1.0, "{summary}");
        assert!((summary.p99_us - 990.0).abs() < 1.0, "{summary}");
        assert!((summary.max_us - 1000.0).abs() < 1.0, "{summary}");
    }

    #[test]
    fn what_is_counted_elsewhere_can_be_added() {
        let (mut one, mut other) = (Latency::default(), Latency::default());
        (1..=500).for_each(|i| one.record(i * 1000));
        (501..=1000).for_each(|i| other.record(i * 1000));
        one.add(&other.counts());
        let summary = one.summary();
        assert_eq!(summary.count, 1000);
        assert!((summary.p90_us - 900.0).abs() < 2.0, "{summary}");
    }

    #[test]
    fn the_longest_time_is_a_bound() {
        let mut latency = Latency::default();
        latency.record(u64::MAX);
        assert_eq!(latency.count(), 1);
    }
}
