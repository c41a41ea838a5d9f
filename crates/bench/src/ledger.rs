//! What one subscriber got: exactly once and in order, or what went wrong.

use std::ops::Range;

/// More separate gaps than this are not followed: their messages count as lost for good.
const MOST_GAPS: usize = 65_536;

/// One subscriber's account of the numbers it got.
#[derive(Debug, Default)]
pub struct Ledger {
    first: u64,
    next: u64,
    gaps: Vec<Range<u64>>,
    given_up: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub out_of_order: u64,
}

impl Ledger {
    /// An account that begins with number `first`.
    pub fn starting_at(first: u64) -> Self {
        Self { first, next: first, ..Self::default() }
    }

    /// Enters the arrival of `sequence`.
    pub fn record(&mut self, sequence: u64) {
        if sequence >= self.next {
            self.advance(sequence);
        } else if self.close_gap(sequence) {
            self.out_of_order += 1;
        } else {
            self.duplicated += 1;
        }
    }

    /// How many different messages arrived.
    pub fn received(&self) -> u64 {
        self.next - self.first - self.missing()
    }

    /// How many of the messages before number `end` have not arrived.
    pub fn lost(&self, end: u64) -> u64 {
        self.missing() + end.saturating_sub(self.next)
    }

    fn missing(&self) -> u64 {
        self.given_up + self.gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>()
    }

    fn advance(&mut self, sequence: u64) {
        if sequence > self.next {
            if self.gaps.len() < MOST_GAPS {
                self.gaps.push(self.next..sequence);
            } else {
                self.given_up += sequence - self.next;
            }
        }
        self.next = sequence.saturating_add(1);
    }

    fn close_gap(&mut self, sequence: u64) -> bool {
        let after = self.gaps.partition_point(|gap| gap.end <= sequence);
        let Some(gap) = self.gaps.get_mut(after).filter(|gap| gap.contains(&sequence)) else {
            return false;
        };
        let rest = sequence + 1..gap.end;
        gap.end = sequence;
        if !rest.is_empty() {
            self.gaps.insert(after + 1, rest);
        }
        self.gaps.retain(|gap| !gap.is_empty());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arrivals: &[u64], end: u64, lost: u64, duplicated: u64, out_of_order: u64) {
        let mut ledger = Ledger::starting_at(10);
        arrivals.iter().for_each(|sequence| ledger.record(*sequence));
        assert_eq!((ledger.lost(end), ledger.duplicated, ledger.out_of_order), (lost, duplicated, out_of_order));
        assert_eq!(ledger.received(), end - 10 - lost);
    }

    #[test]
    fn all_in_order_is_clean() {
        check(&[10, 11, 12], 13, 0, 0, 0);
        check(&[], 10, 0, 0, 0);
    }

    #[test]
    fn a_gap_is_a_loss_until_it_closes() {
        check(&[12, 14], 16, 4, 0, 0);
        check(&[14, 12, 10, 11, 13], 15, 0, 0, 4);
        check(&[14, 11], 15, 3, 0, 1);
    }

    #[test]
    fn what_comes_again_is_a_duplicate_wherever_it_comes() {
        check(&[10, 10, 11], 12, 0, 1, 0);
        check(&[12, 11, 11, 9], 13, 1, 2, 1);
    }

    #[test]
    fn gaps_without_end_stay_bounded() {
        let mut ledger = Ledger::starting_at(0);
        (0..2 * MOST_GAPS as u64).for_each(|i| ledger.record(2 * i + 1));
        assert_eq!(ledger.gaps.len(), MOST_GAPS);
        assert_eq!(ledger.lost(4 * MOST_GAPS as u64), 2 * MOST_GAPS as u64);
    }
}
