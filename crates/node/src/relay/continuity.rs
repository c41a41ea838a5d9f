//! Whether what arrives of a target continues what was passed on, and what is held back until it does.
//!
//! Nothing here reads or waits: the relay carries out what is decided.

use fanwire_broker::{Delivery, Page};
use fanwire_protocol::Position;
use std::collections::VecDeque;

/// How a publication stands to the last one that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It is the next one.
    Next,
    /// It was passed on before.
    Duplicate,
    /// Others are missing before it.
    Gap,
    /// It belongs to another history.
    NewEpoch,
}

/// How what stands at `arrived` follows what was passed on up to `last`.
pub(crate) fn follows(last: &Position, arrived: &Position) -> Follows {
    if arrived.epoch != last.epoch {
        return Follows::NewEpoch;
    }
    match arrived.offset.checked_sub(last.offset) {
        None | Some(0) => Follows::Duplicate,
        Some(1) => Follows::Next,
        Some(_) => Follows::Gap,
    }
}

/// What becomes of a publication that has arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// It is passed on now.
    Passed(Delivery),
    /// Everybody has it.
    Skipped,
    /// It waits until what is missing before it was read.
    Held,
}

/// What goes on to subscribers, in this order.
#[derive(Debug)]
pub(crate) enum Passed {
    /// A publication.
    Delivery(Delivery),
    /// What is missing before this place can't be had any more.
    Lost(Position),
}

/// A target's way through the relay.
#[derive(Debug)]
pub(crate) struct Continuity {
    /// The place up to which everything was passed on, or was told as lost; unknown until the first read.
    last: Option<Position>,
    /// While something may be missing.
    filling: Option<Filling>,
}

#[derive(Debug, Default)]
struct Filling {
    held: VecDeque<Delivery>,
    /// What they count for, in bytes.
    cost: usize,
    /// How many were held when the read under way began: it tells all that came before them.
    before: usize,
    /// Whether the link was away since then.
    suspect: bool,
}

impl Filling {
    fn with(delivery: Delivery) -> Self {
        let mut filling = Self::default();
        filling.hold(delivery);
        filling
    }

    fn hold(&mut self, delivery: Delivery) {
        self.cost += cost(&delivery);
        self.held.push_back(delivery);
    }

    fn release(&mut self) -> Option<Delivery> {
        let delivery = self.held.pop_front()?;
        self.cost -= cost(&delivery);
        self.before = self.before.saturating_sub(1);
        Some(delivery)
    }
}

impl Continuity {
    /// A target whose place has to be read.
    pub(crate) fn unknown() -> Self {
        Self { last: None, filling: Some(Filling::default()) }
    }

    /// A target of which everything up to `last` was passed on.
    pub(crate) fn at(last: Position) -> Self {
        Self { last: Some(last), filling: None }
    }

    /// The place up to which everything was passed on, if it is known.
    pub(crate) fn last(&self) -> Option<&Position> {
        self.last.as_ref()
    }

    /// Whether a read is wanted or under way.
    pub(crate) fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// What is held back counts for, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.filling.as_ref().map_or(0, |filling| filling.cost)
    }

    /// Something may be missing behind the last place.
    pub(crate) fn suspect(&mut self) {
        match &mut self.filling {
            Some(filling) => filling.suspect = true,
            None => self.filling = Some(Filling::default()),
        }
    }

    /// Takes a publication of this target that stands at `place`.
    pub(crate) fn arrive(&mut self, delivery: Delivery, place: &Position) -> Arrived {
        if let Some(filling) = &mut self.filling {
            filling.hold(delivery);
            return Arrived::Held;
        }
        match self.last.as_ref().map_or(Follows::Next, |last| follows(last, place)) {
            Follows::Next => {
                self.last = Some(place.clone());
                Arrived::Passed(delivery)
            }
            Follows::Duplicate => Arrived::Skipped,
            Follows::Gap | Follows::NewEpoch => {
                self.filling = Some(Filling::with(delivery));
                Arrived::Held
            }
        }
    }

    /// Takes a publication of this target that has no place, and gives it back if it is passed on now.
    pub(crate) fn arrive_without_place(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(filling) = self.filling.as_mut().filter(|filling| !filling.held.is_empty()) else {
            return Some(delivery);
        };
        filling.hold(delivery);
        None
    }

    /// A read begins: everything that is kept behind the place that this returns, or without one the newest place.
    pub(crate) fn begin_read(&mut self) -> Option<Position> {
        if let Some(filling) = &mut self.filling {
            filling.before = filling.held.len();
            filling.suspect = false;
        }
        self.last.clone()
    }

    /// Takes what was read. If something may still be missing afterwards, the next read is wanted.
    pub(crate) fn filled(&mut self, page: Page) -> Vec<Passed> {
        let Some(mut filling) = self.filling.take() else { return Vec::new() };
        let mut passed = Vec::new();
        let more = self.take_page(page, &mut passed);
        if !more {
            self.release(&mut filling, &mut passed);
        }
        if more || filling.suspect || !filling.held.is_empty() {
            self.filling = Some(filling);
        }
        passed
    }

    /// Goes on without what could not be read.
    pub(crate) fn give_up(&mut self) -> Vec<Passed> {
        let Some(mut filling) = self.filling.take() else { return Vec::new() };
        let mut passed = Vec::new();
        while let Some(delivery) = filling.release() {
            self.force(delivery, &mut passed);
        }
        passed
    }

    /// Passes on what was read; whether more of it can be read.
    fn take_page(&mut self, page: Page, passed: &mut Vec<Passed>) -> bool {
        let Page { newest, publications, complete } = page;
        let Some(last) = &mut self.last else {
            self.last = Some(newest);
            return false;
        };
        let first = publications.first().and_then(|first| first.publication.position.clone());
        if !complete {
            *last = first.clone().map_or_else(|| newest.clone(), before);
            passed.push(Passed::Lost(last.clone()));
        }
        for delivery in publications {
            if let Some(place) = delivery.publication.position.clone()
                && follows(last, &place) == Follows::Next
            {
                *last = place;
                passed.push(Passed::Delivery(delivery));
            }
        }
        first.is_some() && last.epoch == newest.epoch && last.offset < newest.offset
    }

    /// Passes on what was held, as far as it continues what was read.
    fn release(&mut self, filling: &mut Filling, passed: &mut Vec<Passed>) {
        while let Some(delivery) = filling.held.front() {
            let place = delivery.publication.position.as_ref();
            let follows = self.last.as_ref().zip(place).map_or(Follows::Next, |(last, place)| follows(last, place));
            let known = filling.before > 0;
            if matches!(follows, Follows::Gap | Follows::NewEpoch) && !known {
                return;
            }
            let Some(delivery) = filling.release() else { return };
            // What came before the read and is of another history than the read has found is older.
            if follows != Follows::NewEpoch {
                self.force(delivery, passed);
            }
        }
    }

    /// Passes on a publication, whatever is missing before it, unless everybody has it.
    fn force(&mut self, delivery: Delivery, passed: &mut Vec<Passed>) {
        let Some(place) = delivery.publication.position.clone() else { return passed.push(Passed::Delivery(delivery)) };
        match self.last.as_ref().map(|last| follows(last, &place)) {
            Some(Follows::Duplicate) => return,
            Some(Follows::Gap | Follows::NewEpoch) => passed.push(Passed::Lost(before(place.clone()))),
            Some(Follows::Next) | None => {}
        }
        self.last = Some(place);
        passed.push(Passed::Delivery(delivery));
    }
}

/// What a publication that is held back counts for, in bytes.
fn cost(delivery: &Delivery) -> usize {
    /// What is around the content, roughly.
    const AROUND: usize = 256;
    delivery.publication.content.parts().1.len() + AROUND
}

/// The place before the publication at `place`.
fn before(place: Position) -> Position {
    Position { offset: place.offset.saturating_sub(1), ..place }
}

#[cfg(test)]
mod tests;
