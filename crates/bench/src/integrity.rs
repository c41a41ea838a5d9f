//! Whether everything arrived as promised, summed over all subscribers.

use crate::{publisher::Sent, subscriber::SharedAccount};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// The most texts of errors that a result shows.
const MOST_ERRORS: usize = 8;

/// What all subscribers of a run saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Integrity {
    /// Messages published.
    pub published: u64,
    /// Messages published times subscribers.
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
        let published = sent.end - sent.first;
        let mut sum = Self { published, expected: published * accounts.len() as u64, ..Self::default() };
        for account in accounts {
            let account = account.borrow();
            sum.received += account.ledger.received();
            sum.lost += account.ledger.lost(sent.end);
            sum.duplicated += account.ledger.duplicated;
            sum.out_of_order += account.ledger.out_of_order;
            sum.told_dropped += account.dropped;
            sum.told_gaps += account.gaps;
            sum.note_end(account.ended.as_ref());
            sum.note_errors(&account.errors);
        }
        sum.note_errors(sent.failure.as_slice());
        sum
    }

    /// Adds `errors`, as far as there is room.
    pub fn note_errors(&mut self, errors: &[String]) {
        let room = MOST_ERRORS.saturating_sub(self.errors.len());
        self.errors.extend(errors.iter().take(room).cloned());
    }

    fn note_end(&mut self, ended: Option<&crate::error::Ended>) {
        if let Some(ended) = ended {
            *self.ended.entry(ended.to_string()).or_default() += 1;
        }
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
