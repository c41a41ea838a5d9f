//! What was answered to idempotency keys.

use crate::REMEMBERED;
use fanwire_protocol::{IdempotencyKey, Position, Target};
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// How many answers are remembered; the oldest go first.
const MAX: usize = 100_000;

type Key = (Target, IdempotencyKey);

/// Answers, each remembered for [`REMEMBERED`].
#[derive(Debug, Default)]
pub(super) struct Answers {
    places: HashMap<Key, Position>,
    /// When each was given, oldest first.
    given: VecDeque<(Instant, Key)>,
}

impl Answers {
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Position> {
        while self.given.front().is_some_and(|(at, _)| *at + REMEMBERED <= now) {
            self.forget();
        }
        self.places.get(key).cloned()
    }

    /// `key` has no answer yet.
    pub(super) fn remember(&mut self, key: Key, place: Position, now: Instant) {
        if self.given.len() == MAX {
            self.forget();
        }
        self.given.push_back((now, key.clone()));
        self.places.insert(key, place);
    }

    fn forget(&mut self) {
        if let Some((_, key)) = self.given.pop_front() {
            self.places.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::epoch;

    #[test]
    fn answers_are_bounded() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let key = |n: usize| (Target::Broadcast, IdempotencyKey::new(&n.to_string()).unwrap());
        let place = Position { epoch: epoch::random(), offset: 1 };
        for n in 0..=MAX {
            answers.remember(key(n), place.clone(), now);
        }
        assert_eq!(answers.get(&key(0), now), None);
        assert_eq!(answers.get(&key(1), now), Some(place));
        assert_eq!(answers.get(&key(1), now + REMEMBERED), None);
        assert!(answers.places.is_empty() && answers.given.is_empty());
    }
}
