//! Whether everything arrived as promised, summed over all subscribers.

use crate::{
    publisher::Sent,
    subscriber::{Account, SharedAccount},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The most texts of errors that a result shows.
const MOST_ERRORS: usize = 8;

/// What all subscribers of a run saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Integrity {
    /// Messages published.
    pub published: u64,
    /// Messages published times subscribers of their channels.
    pub expected: u64,
    /// Different messages that arrived.
    pub received: u64,
    /// Those that did not.
    pub lost: u64,
    /// Arrivals of what had arrived before.
    pub duplicated: u64,
    /// Arrivals after a later message.
    pub out_of_order: u64,
    /// Messages that the node said it left out.
    pub told_dropped: u64,
    /// Times that subscribers were told of a gap.
    pub told_gaps: u64,
    /// Connections that ended, by how.
    pub ended: BTreeMap<String, u64>,
    /// The first errors.
    pub errors: Vec<String>,
}

impl Integrity {
    /// Sums up `accounts` over the messages `sent`.
    pub fn of(accounts: &[SharedAccount], sent: &Sent) -> Self {
        let mut sum = Self { published: sent.end - sent.first, ..Self::default() };
        accounts.iter().for_each(|account| sum.take(&account.borrow(), sent.first, sent.end));
        sum.note_errors(sent.failure.as_slice());
        sum
    }

    /// Sums up `accounts` over the messages from number `first` to before number `end`, whoever published them.
    pub fn between(accounts: &[SharedAccount], first: u64, end: u64) -> Self {
        let mut sum = Self::default();
        accounts.iter().for_each(|account| sum.take(&account.borrow(), first, end));
        sum
    }

    fn take(&mut self, account: &Account, first: u64, end: u64) {
        let until = account.lane.before(end);
        self.expected += until - account.lane.before(first);
        self.received += account.ledger.received();
        self.lost += account.ledger.lost(until);
        self.duplicated += account.ledger.duplicated;
        self.out_of_order += account.ledger.out_of_order;
        self.told_dropped += account.dropped;
        self.told_gaps += account.gaps;
        if let Some(ended) = &account.ended {
            *self.ended.entry(ended.to_string()).or_default() += 1;
        }
        self.note_errors(&account.errors);
    }

    /// Adds what other subscribers of the same messages saw.
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.told_dropped += other.told_dropped;
        self.told_gaps += other.told_gaps;
        other.ended.iter().for_each(|(how, count)| *self.ended.entry(how.clone()).or_default() += count);
        self.note_errors(&other.errors);
    }

    /// Adds `errors`, as far as there is room.
    pub fn note_errors(&mut self, errors: &[String]) {
        let room = MOST_ERRORS.saturating_sub(self.errors.len());
        self.errors.extend(errors.iter().take(room).cloned());
    }

    /// Whether every subscriber got every message exactly once and in order, and nothing else was wrong.
    pub fn is_clean(&self) -> bool {
        self.received == self.expected
            && self.lost + self.duplicated + self.out_of_order + self.told_dropped + self.told_gaps == 0
            && self.ended.is_empty()
            && self.errors.is_empty()
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, expected, received, lost, duplicated, out_of_order, .. } = self;
        write!(f, "published {published}, deliveries expected {expected}, received {received}, ")?;
        write!(f, "lost {lost}, duplicated {duplicated}, out of order {out_of_order}")?;
        if self.told_dropped + self.told_gaps > 0 {
            write!(f, "\n  told by the node: {} dropped, {} gaps", self.told_dropped, self.told_gaps)?;
        }
        for (how, count) in &self.ended {
            write!(f, "\n  {count} connections {how}")?;
        }
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Ended, latency::Latency, ledger::Ledger};

    fn sent() -> Sent {
        Sent { first: 0, end: 3, lag: Latency::default(), failure: None }
    }

    fn account(arrivals: &[u64]) -> SharedAccount {
        let account = SharedAccount::default();
        account.borrow_mut().ledger = Ledger::starting_at(0);
        arrivals.iter().for_each(|sequence| account.borrow_mut().ledger.record(*sequence));
        account
    }

    #[test]
    fn all_in_order_everywhere_is_clean() {
        let sum = Integrity::of(&[account(&[0, 1, 2]), account(&[0, 1, 2])], &sent());
        assert_eq!((sum.expected, sum.received, sum.is_clean()), (6, 6, true));
    }

    #[test]
    fn sums_of_two_groups_are_those_of_all() {
        let groups = [account(&[0, 1, 2]), account(&[0, 2, 2])];
        let mut sum = Integrity::between(&groups[..1], 0, 3);
        sum.add(&Integrity::between(&groups[1..], 0, 3));
        assert_eq!(sum, Integrity { published: 0, ..Integrity::of(&groups, &sent()) });
        assert_eq!((sum.expected, sum.received, sum.lost, sum.duplicated), (6, 5, 1, 1));
    }

    #[test]
    fn a_lane_expects_its_own_messages_only() {
        let account = Account::shared(crate::lane::Lane::new(1, 3));
        account.borrow_mut().restart(3);
        [4, 7].iter().for_each(|sequence| account.borrow_mut().record(*sequence));
        let sum = Integrity::between(std::slice::from_ref(&account), 3, 11);
        assert_eq!((sum.expected, sum.received, sum.lost), (3, 2, 1));
        account.borrow_mut().record(5);
        assert!(!Integrity::between(&[account], 3, 9).is_clean());
    }

    #[test]
    fn one_fault_of_any_kind_is_not_clean() {
        assert!(!Integrity::of(&[account(&[0, 1])], &sent()).is_clean());
        assert!(!Integrity::of(&[account(&[0, 1, 2, 2])], &sent()).is_clean());
        assert!(!Integrity::of(&[account(&[0, 2, 1])], &sent()).is_clean());
        assert!(!Integrity::of(&[account(&[0, 1, 2, 3])], &sent()).is_clean());
        let ended = account(&[0, 1, 2]);
        ended.borrow_mut().ended = Some(Ended::Closed(1012));
        assert!(!Integrity::of(&[ended], &sent()).is_clean());
        assert!(!Integrity::of(&[account(&[0, 1, 2])], &Sent { failure: Some("x".into()), ..sent() }).is_clean());
    }
}
