//! Where a channel with a history stands on a shard, and which of its subscribers are ahead of that.

use crate::{
    channel::{Batch, Item},
    recent::has,
};
use fanwire_protocol::{Epoch, Position};
use std::collections::{HashMap, VecDeque};

/// Where a channel with a history stands on a shard.
///
/// Items are counted from the moment at which the first place was known, so that one can say of each, whatever its
/// epoch, whether it comes before or behind another.
#[derive(Debug)]
pub(crate) struct History {
    /// The place of the last item that was enqueued.
    head: Position,
    /// The place of the last item that was begun, and the one before its batch.
    begun: Position,
    before: Position,
    /// How many items were begun.
    count: u64,
    /// Epochs that had ended before: what still comes of them is old.
    ended: VecDeque<Epoch>,
    /// Members who have, or are not to get, some of what comes.
    skips: HashMap<usize, Skip>,
}

/// What a member of a channel does not get.
#[derive(Debug, Clone)]
pub(crate) struct Skip {
    /// Everything up to the how manieth item.
    through: u64,
    /// Behind that, what stands at or before the place where the member joined.
    place: Position,
}

/// How somebody at a place comes to what the channel's fan-out will bring.
#[derive(Debug)]
pub(crate) enum Way {
    /// It misses something that isn't kept here.
    Behind,
    /// It needs what stands behind its place up to this one, then everything that is not begun.
    Missing(Position),
    /// It has everything that is begun, and some more.
    Ahead(Skip),
}

impl History {
    /// A history that stands at `head`, behind the epochs that have `ended`.
    pub(crate) fn at(head: Position, ended: VecDeque<Epoch>) -> Self {
        Self { begun: head.clone(), before: head.clone(), head, count: 0, ended, skips: HashMap::new() }
    }

    /// Moves the head to `position`, unless that is not news. Returns whether it is.
    pub(crate) fn advance(&mut self, position: &Position) -> bool {
        let news = !has(&self.head, position) && !self.ended.contains(&position.epoch);
        if news {
            self.head = position.clone();
        }
        news
    }

    /// Notes that `items`, of which the last that has one has the place `last`, are begun. Returns how manieth the
    /// first is.
    pub(crate) fn begin(&mut self, items: usize, last: Option<&Position>) -> u64 {
        let first = self.count + 1;
        self.count += items as u64;
        self.before = self.begun.clone();
        if let Some(position) = last {
            self.begun = position.clone();
        }
        first
    }

    /// The place up to which a member has everything; `waits` for the batch under way or not.
    pub(crate) fn place_of(&self, member: usize, waits: bool) -> &Position {
        match self.skips.get(&member) {
            Some(skip) => &skip.place,
            None if waits => &self.before,
            None => &self.begun,
        }
    }

    /// The way on from `place`. Pure: nothing has changed.
    pub(crate) fn way_from(&self, place: &Position, pending: &VecDeque<Item>) -> Way {
        if place.epoch != self.head.epoch {
            return Way::Behind;
        }
        if has(place, &self.head) {
            return self.ahead(pending.len(), place);
        }
        for (index, item) in pending.iter().enumerate().rev() {
            match (item.place(), item) {
                (Some(at), _) if at == place => return self.ahead(index + 1, place),
                (Some(at), Item::Delivery(_)) if at.epoch == place.epoch && at.offset > place.offset => {}
                (None, _) => {}
                _ => return Way::Behind,
            }
        }
        if has(&self.begun, place) { Way::Missing(self.begun.clone()) } else { Way::Behind }
    }

    fn ahead(&self, items: usize, place: &Position) -> Way {
        Way::Ahead(Skip { through: self.count + items as u64, place: place.clone() })
    }

    /// A member gets nothing any more from `place` on.
    pub(crate) fn pause(&mut self, member: usize, place: Position) {
        self.skips.insert(member, Skip { through: u64::MAX, place });
    }

    /// Whether anything that is not begun would be skipped.
    pub(crate) fn matters(&self, skip: &Skip) -> bool {
        skip.through > self.count || skip.place != self.begun
    }

    /// A member comes ahead of what is begun.
    pub(crate) fn skip(&mut self, member: usize, skip: Skip) {
        self.skips.insert(member, skip);
    }

    /// A member has everything that is begun, and will get the rest.
    pub(crate) fn skip_begun(&mut self, member: usize) {
        self.skips.insert(member, Skip { through: self.count, place: self.begun.clone() });
    }

    /// A member has left, or has caught up.
    pub(crate) fn forget(&mut self, member: usize) {
        if self.skips.remove(&member).is_some() && self.skips.is_empty() {
            self.skips = HashMap::new();
        }
    }

    /// What of `batch` a member does not get, where that is anything; it is forgotten as soon as something is due.
    pub(crate) fn skip_of(&mut self, member: usize, batch: &Batch) -> Option<Skip> {
        if self.skips.is_empty() || batch.len() == 0 {
            return None;
        }
        let skip = self.skips.get(&member)?.clone();
        if (0..batch.len()).any(|index| batch.place(index).is_some() && !skip.covers(batch, index)) {
            self.forget(member);
        }
        Some(skip)
    }
}

impl Skip {
    /// Whether the member does not get an item of `batch`.
    pub(crate) fn covers(&self, batch: &Batch, index: usize) -> bool {
        batch.first + index as u64 <= self.through || batch.place(index).is_some_and(|at| has(&self.place, at))
    }
}
