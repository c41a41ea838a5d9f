//! Whether a part of a history is whole.

use crate::Query;
use fanwire_protocol::Position;

impl Query {
    /// Whether nothing is missing between [`since`](Self::since) and what was found, which begins with the offset
    /// `first`. `newest` is where the target stands.
    pub(crate) fn is_complete(&self, newest: &Position, first: Option<u64>) -> bool {
        let Some(since) = &self.since else { return true };
        if since.epoch != newest.epoch || since.offset > newest.offset {
            return false;
        }
        let next = if self.reverse { since.offset.saturating_sub(1) } else { since.offset.saturating_add(1) };
        let exists = (1..=newest.offset).contains(&next);
        !exists || first == Some(next)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::{Epoch, Target};

    fn position(epoch: &str, offset: u64) -> Position {
        Position { epoch: Epoch::parse(epoch).unwrap(), offset }
    }

    #[track_caller]
    fn check(since: Option<(&str, u64)>, reverse: bool, newest: u64, first: Option<u64>, expected: bool) {
        let since = since.map(|(epoch, offset)| position(epoch, offset));
        let query = Query { target: Target::Broadcast, since, limit: 10, reverse };
        assert_eq!(query.is_complete(&position("a", newest), first), expected);
    }

    #[test]
    fn what_follows_a_place_must_be_there() {
        check(None, false, 9, None, true);
        check(Some(("a", 5)), false, 9, Some(6), true);
        check(Some(("a", 5)), false, 9, Some(7), false);
        check(Some(("a", 5)), false, 9, None, false);
        check(Some(("a", 9)), false, 9, None, true);
        check(Some(("a", 10)), false, 9, None, false);
        check(Some(("a", u64::MAX)), false, 9, None, false);
        check(Some(("b", 5)), false, 9, Some(6), false);
        check(Some(("a", 0)), false, 0, None, true);
        check(Some(("a", 0)), false, 1, Some(1), true);
    }

    #[test]
    fn what_precedes_a_place_must_be_there() {
        check(None, true, 9, Some(9), true);
        check(Some(("a", 5)), true, 9, Some(4), true);
        check(Some(("a", 5)), true, 9, Some(3), false);
        check(Some(("a", 5)), true, 9, None, false);
        check(Some(("a", 1)), true, 9, None, true);
        check(Some(("a", 0)), true, 9, None, true);
        check(Some(("a", 10)), true, 9, Some(9), false);
        check(Some(("b", 5)), true, 9, Some(4), false);
    }
}
