//! What was delivered to a target last, for those who are only a little behind.

use crate::channel::size_of;
use fanwire_protocol::{Delivery, Epoch, Position};
use std::collections::VecDeque;

/// How many deliveries are kept of a target.
const MAX_KEPT: usize = 256;

/// The same in bytes of content.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// How many epochs that have ended are remembered: more than can begin while something is on its way to a shard.
const MAX_ENDED: usize = 8;

/// The newest place that was passed on to the shards, and the deliveries that led there.
#[derive(Debug)]
pub(crate) struct Recent {
    newest: Position,
    /// Without gaps up to `newest`, all of one epoch.
    ring: VecDeque<Delivery>,
    bytes: usize,
    /// The epochs before that of `newest`, the last ones: what is on its way to a shard may belong to them.
    ended: VecDeque<Epoch>,
}

/// What somebody has to know to join at a place.
#[derive(Debug, Default)]
pub(crate) struct Since {
    /// What was passed on behind the place.
    pub(crate) missing: Vec<Delivery>,
    /// Epochs that have ended, of which something may yet be on its way.
    pub(crate) ended: VecDeque<Epoch>,
}

impl Recent {
    /// Nothing but a place.
    pub(crate) fn at(newest: Position) -> Self {
        Self { newest, ring: VecDeque::new(), bytes: 0, ended: VecDeque::new() }
    }

    /// Everything up to `position` is settled elsewhere. Nothing changes where that was passed on.
    pub(crate) fn skip_to(&mut self, position: &Position) {
        if !has(&self.newest, position) {
            self.forget();
            self.move_to(position);
        }
    }

    /// Notes `delivery`, which stands at `position`, unless it was passed on before.
    pub(crate) fn pass(&mut self, delivery: &Delivery, position: &Position) {
        if has(&self.newest, position) {
            return;
        }
        if self.newest.epoch != position.epoch || self.newest.offset + 1 != position.offset {
            self.forget();
        }
        self.move_to(position);
        self.bytes += size_of(delivery);
        self.ring.push_back(delivery.clone());
        while (self.ring.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES)
            && let Some(oldest) = self.ring.pop_front()
        {
            self.bytes -= size_of(&oldest);
        }
    }

    fn forget(&mut self) {
        self.ring = VecDeque::new();
        self.bytes = 0;
    }

    fn move_to(&mut self, position: &Position) {
        let before = std::mem::replace(&mut self.newest, position.clone()).epoch;
        if before != position.epoch {
            self.ended.push_back(before);
        }
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    /// What was passed on behind `place` up to `until`, or up to the newest; `None` where that isn't kept, or the place
    /// belongs to another epoch. Nothing where the place is ahead.
    pub(crate) fn since(&self, place: &Position, until: Option<&Position>) -> Option<Since> {
        let missing = self.missing(place, until.unwrap_or(&self.newest))?;
        Some(Since { missing, ended: self.ended.clone() })
    }

    fn missing(&self, place: &Position, until: &Position) -> Option<Vec<Delivery>> {
        if has(place, until) {
            return Some(Vec::new());
        }
        if place.epoch != self.newest.epoch || !has(&self.newest, until) {
            return None;
        }
        let before = self.newest.offset.saturating_sub(self.ring.len() as u64);
        let index = |position: &Position| usize::try_from(position.offset.checked_sub(before)?).ok();
        Some(self.ring.range(index(place)?..index(until)?).cloned().collect())
    }
}

/// Whether who stands at `place` has what stands at `position`, as far as offsets can tell.
pub(crate) fn has(place: &Position, position: &Position) -> bool {
    place.epoch == position.epoch && place.offset >= position.offset
}

/// The place behind which `position` comes next.
pub(crate) fn before(position: &Position) -> Position {
    Position { epoch: position.epoch.clone(), offset: position.offset.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fanwire_protocol::{Content, Publication, Target};
    use std::sync::Arc;

    fn place(epoch: &str, offset: u64) -> Position {
        Position { epoch: Epoch::parse(epoch).unwrap(), offset }
    }

    fn pass(recent: &mut Recent, epoch: &str, offset: u64, length: usize) {
        let content = Content::json(&format!("{:?}", "x".repeat(length))).unwrap();
        let publication = Arc::new(Publication::new(Target::Broadcast, content).at(place(epoch, offset)));
        let position = place(epoch, offset);
        recent.pass(&Delivery { publication, except: None, published_at: 0 }, &position);
    }

    #[track_caller]
    fn check(recent: &Recent, from: &Position, until: Option<u64>, expected: Option<std::ops::Range<u64>>) {
        let until = until.map(|offset| place("a", offset));
        let offset = |delivery: &Delivery| delivery.publication.position.as_ref().unwrap().offset;
        let got = recent.since(from, until.as_ref()).map(|since| since.missing.iter().map(offset).collect());
        assert_eq!(got, expected.map(|range| range.collect::<Vec<_>>()));
    }

    #[test]
    fn what_was_passed_on_can_be_had_from_any_place() {
        let mut recent = Recent::at(place("a", 10));
        (11..=20).for_each(|offset| pass(&mut recent, "a", offset, 1));
        pass(&mut recent, "a", 15, 1);
        check(&recent, &place("a", 10), None, Some(11..21));
        check(&recent, &place("a", 15), None, Some(16..21));
        check(&recent, &place("a", 15), Some(17), Some(16..18));
        check(&recent, &place("a", 15), Some(12), Some(0..0));
        check(&recent, &place("a", 20), None, Some(0..0));
        check(&recent, &place("a", 30), None, Some(0..0));
        check(&recent, &place("a", 9), None, None);
        check(&recent, &place("a", 15), Some(21), None);
        check(&recent, &place("b", 15), None, None);
    }

    #[test]
    fn nothing_is_kept_across_a_hole_or_an_epoch() {
        let mut recent = Recent::at(place("a", 0));
        pass(&mut recent, "a", 1, 1);
        pass(&mut recent, "a", 3, 1);
        check(&recent, &place("a", 1), None, None);
        check(&recent, &place("a", 2), None, Some(3..4));
        recent.skip_to(&place("a", 3));
        check(&recent, &place("a", 2), None, Some(3..4));
        recent.skip_to(&place("a", 5));
        check(&recent, &place("a", 4), None, None);
        pass(&mut recent, "b", 1, 1);
        check(&recent, &place("a", 5), None, None);
        check(&recent, &place("b", 0), None, Some(1..2));
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes() {
        let mut recent = Recent::at(place("a", 0));
        (1..=300).for_each(|offset| pass(&mut recent, "a", offset, 1));
        check(&recent, &place("a", 43), None, None);
        check(&recent, &place("a", 44), None, Some(45..301));
        (301..=310).for_each(|offset| pass(&mut recent, "a", offset, 100 << 10));
        check(&recent, &place("a", 308), None, Some(309..311));
        check(&recent, &place("a", 307), None, None);
        pass(&mut recent, "a", 311, MAX_KEPT_BYTES);
        check(&recent, &place("a", 310), None, None);
        assert_eq!(recent.bytes, 0);
    }
}
