//! What the user has of the broadcasts, and how what was missed comes before what is live.

use crate::{
    Content, Event, Outcome, Position,
    track::{Seen, Track},
};
use std::collections::{BTreeSet, VecDeque};

/// Live broadcasts that are held back while missed ones come.
const HELD: usize = 1024;

/// Bytes of their contents.
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// Places of own broadcasts that are remembered until those of others lead past them.
const OWN: usize = 1024;

/// The broadcasts as the user sees them, whatever becomes of connections.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    track: Track,
    hold: Option<Hold>,
    /// Where the user's own broadcasts stand, which the user isn't told.
    own: BTreeSet<u64>,
    /// Whether the user has ever broadcast: then places are left out without any loss.
    sends: bool,
    outcome: Outcome,
}

/// The time from a welcome until all that was missed before it has come.
#[derive(Debug)]
struct Hold {
    /// The welcome's place.
    until: Position,
    stage: Stage,
    live: VecDeque<(u64, Content)>,
    bytes: usize,
}

/// How far the node is with what was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has not answered.
    Asked,
    /// It sends what there is.
    Answered,
    /// It sends everything, as the user knows.
    Recovering,
}

impl Broadcasts {
    /// The user has everything up to `place`.
    pub(crate) fn since(place: Option<Position>) -> Self {
        Self { track: Track::at(place), ..Self::default() }
    }

    /// What became of the broadcasts since [`away`](Self::away).
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The user broadcasts, too.
    pub(crate) fn sends(&mut self) {
        self.sends = true;
    }

    /// There is no connection any more.
    pub(crate) fn away(&mut self) {
        self.outcome = Outcome::Recovered;
    }

    /// A connection begins at `place` in the history of broadcasts, if there is one.
    pub(crate) fn welcomed(&mut self, place: Option<Position>, tell: impl FnMut(Event)) {
        // What an earlier connection held comes again.
        self.hold = None;
        match (self.track.place(), place) {
            (Some(own), Some(place)) if !own.reaches(&place) => {
                self.hold = Some(Hold { until: place, stage: Stage::Asked, live: VecDeque::new(), bytes: 0 });
            }
            (_, place) => self.begin(place, tell),
        }
    }

    fn begin(&mut self, place: Option<Position>, mut tell: impl FnMut(Event)) {
        let outcome = self.track.begin(place.as_ref(), None);
        self.outcome = self.outcome.max(outcome);
        if outcome == Outcome::Lost {
            self.own.clear();
            tell(Event::Lost { channel: None, position: place });
        }
    }

    /// The place to recover from, if the node is to be asked for that.
    pub(crate) fn missing_since(&self) -> Option<&Position> {
        self.hold.as_ref().filter(|hold| hold.stage == Stage::Asked).and_then(|_| self.track.place())
    }

    /// The node has answered, and sends what was missed as far as it is kept.
    pub(crate) fn answered(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.stage = Stage::Answered;
        }
    }

    /// The node has answered, and sends all that was missed.
    pub(crate) fn recovering(&mut self, mut tell: impl FnMut(Event)) {
        if let Some((hold, since)) = self.hold.as_mut().zip(self.track.place().cloned()) {
            hold.stage = Stage::Recovering;
            tell(Event::Recovering { channel: None, since, newest: hold.until.offset() });
        }
    }

    /// What was missed can't be had, or what is up to `place`, behind which the node goes on: with the rest of what was
    /// missed, or with what is live.
    pub(crate) fn give_up(&mut self, place: Option<Position>, mut tell: impl FnMut(Event)) {
        let rest_follows = |hold: &mut Hold| place.as_ref().is_some_and(|place| hold.is_ahead_of(place));
        if let Some(hold) = self.hold.take_if(|hold| !rest_follows(hold)) {
            self.lose(hold.until.clone(), &mut tell);
            self.release(hold, &mut tell);
        }
        if let Some(place) = place {
            self.lose(place, &mut tell);
        }
    }

    fn lose(&mut self, place: Position, tell: &mut impl FnMut(Event)) {
        if self.track.lost(place.clone()) {
            self.outcome = Outcome::Lost;
            self.own.clear();
            tell(Event::Lost { channel: None, position: Some(place) });
        }
    }

    /// A broadcast has come.
    pub(crate) fn arrived(&mut self, content: Content, offset: Option<u64>, mut tell: impl FnMut(Event)) {
        match (&mut self.hold, offset) {
            (_, None) => tell(Event::Broadcast { content, position: None }),
            (Some(hold), Some(offset)) if hold.stage == Stage::Asked => {
                if !hold.keep(offset, content) {
                    self.give_up(None, tell);
                }
            }
            (_, Some(offset)) => {
                self.release_before(offset, &mut tell);
                self.hand_over(offset, content, &mut tell);
                self.catch_up(&mut tell);
            }
        }
    }

    /// Where one of the user's own broadcasts stands.
    pub(crate) fn sent(&mut self, place: &Position) {
        let Some(own) = self.track.place().filter(|own| own.epoch() == place.epoch()) else { return };
        if own.offset() >= place.offset() || self.own.len() >= OWN {
            return;
        }
        self.own.insert(place.offset());
        if self.hold.is_none() {
            self.skip_own();
        }
    }

    /// Goes past own broadcasts that come next.
    fn skip_own(&mut self) {
        while let Some(next) = self.track.place().and_then(|place| place.offset().checked_add(1))
            && self.own.remove(&next)
        {
            self.track.see(next);
        }
    }

    fn hand_over(&mut self, offset: u64, content: Content, tell: &mut impl FnMut(Event)) {
        let is_own = self.own.remove(&offset);
        let seen = self.track.see(offset);
        self.own = self.own.split_off(&offset);
        self.skip_own();
        if seen == Seen::Duplicate || is_own {
            return;
        }
        let position = self.track.place().map(|place| place.with_offset(offset));
        if seen == Seen::Hole && !self.sends {
            let before = position.as_ref().map(|place| place.with_offset(offset - 1));
            tell(Event::Lost { channel: None, position: before });
        }
        tell(Event::Broadcast { content, position });
    }

    fn release_before(&mut self, offset: u64, tell: &mut impl FnMut(Event)) {
        while let Some((offset, content)) = self.hold.as_mut().and_then(|hold| hold.next_before(offset)) {
            self.hand_over(offset, content, tell);
        }
    }

    /// Goes on with the live ones once everything before them has come.
    fn catch_up(&mut self, tell: &mut impl FnMut(Event)) {
        let place = self.track.place();
        if let Some(hold) = self.hold.take_if(|hold| place.is_some_and(|place| place.reaches(&hold.until))) {
            self.release(hold, tell);
        }
    }

    fn release(&mut self, hold: Hold, tell: &mut impl FnMut(Event)) {
        if hold.stage == Stage::Recovering {
            tell(Event::Live { channel: None });
        }
        for (offset, content) in hold.live {
            self.hand_over(offset, content, tell);
        }
    }
}

impl Hold {
    /// Whether the welcome's place is in the same history as `place`, behind that.
    fn is_ahead_of(&self, place: &Position) -> bool {
        self.until.epoch() == place.epoch() && !place.reaches(&self.until)
    }

    /// Keeps a live broadcast; false where there is no room for another.
    fn keep(&mut self, offset: u64, content: Content) -> bool {
        self.bytes = self.bytes.saturating_add(content.len());
        self.live.push_back((offset, content));
        self.live.len() <= HELD && self.bytes <= HELD_BYTES
    }

    fn next_before(&mut self, offset: u64) -> Option<(u64, Content)> {
        if self.live.front()?.0 < offset { self.live.pop_front() } else { None }
    }
}

#[cfg(test)]
#[path = "broadcasts_tests.rs"]
mod tests;
