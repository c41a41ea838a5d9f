//! Tokens that were revoked.

use std::collections::HashMap;

/// How many are kept. Beyond that the one goes that would have gone first.
pub(crate) const MAX: usize = 10_000;

/// The names (`jti`) of tokens that grant nothing any more, each for a while: until the token ends anyway.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// Until when, in microseconds since the Unix epoch.
    until: HashMap<Box<str>, u64>,
}

impl Revoked {
    /// Adds a token, for whichever time is longest; what is past `now` goes.
    pub(crate) fn add(&mut self, id: &str, until: u64, now: u64) {
        if until <= now {
            return;
        }
        if self.until.len() >= MAX && !self.until.contains_key(id) {
            self.make_room(now);
        }
        let entry = self.until.entry(id.into()).or_default();
        *entry = until.max(*entry);
    }

    fn make_room(&mut self, now: u64) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() < MAX {
            return;
        }
        let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone());
        if let Some(id) = first {
            self.until.remove(&id);
        }
    }

    /// Whether the token called `id` is one of them at `now`.
    pub(crate) fn holds(&self, id: &str, now: u64) -> bool {
        self.until.get(id).is_some_and(|until| *until > now)
    }

    /// How many there are at `now`.
    pub(crate) fn count(&self, now: u64) -> usize {
        self.until.values().filter(|until| **until > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_revoked_until_its_time_is_over() {
        let mut revoked = Revoked::default();
        revoked.add("a", 10, 0);
        revoked.add("a", 5, 0);
        revoked.add("past", 3, 3);
        assert!(revoked.holds("a", 9) && !revoked.holds("a", 10) && !revoked.holds("b", 0));
        assert_eq!((revoked.count(0), revoked.count(10), revoked.until.len()), (1, 0, 1));
    }

    #[test]
    fn beyond_the_bound_the_one_goes_that_ends_first() {
        let mut revoked = Revoked::default();
        (1..=MAX as u64).rev().for_each(|until| revoked.add(&until.to_string(), until, 0));
        revoked.add("new", u64::MAX, 0);
        assert!(revoked.holds("new", 0) && revoked.holds("2", 0) && !revoked.holds("1", 0));
        revoked.add("newer", u64::MAX, 5000);
        assert_eq!(revoked.until.len(), MAX - 4999 + 1);
    }
}
