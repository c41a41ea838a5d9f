//! Where the user stands in a history, and what that makes of what a node tells.

use crate::{Outcome, Position};

/// The place up to which the user has everything, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Track {
    place: Option<Position>,
    /// Up to where a node sends what was missed.
    newest: Option<Position>,
}

/// What a publication is to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The next one, or one whose place can't be judged.
    Accept,
    /// One that the user has.
    Duplicate,
    /// A later one than the next: what is between is missing.
    Hole,
}

impl Track {
    /// Begins at `place`.
    pub(crate) fn at(place: Option<Position>) -> Self {
        Self { place, newest: None }
    }

    /// The place, if one is known.
    pub(crate) fn place(&self) -> Option<&Position> {
        self.place.as_ref()
    }

    /// Judges publication `offset`, and goes there unless the user has it.
    pub(crate) fn see(&mut self, offset: u64) -> Seen {
        let Some(place) = &mut self.place else { return Seen::Accept };
        let before = place.offset();
        if offset <= before {
            return Seen::Duplicate;
        }
        *place = place.with_offset(offset);
        if offset - before == 1 { Seen::Accept } else { Seen::Hole }
    }

    /// A subscription is in force: what follows comes behind `granted`, if that has a history, and the node may have said
    /// whether everything behind the user's place is `recovered`.
    pub(crate) fn begin(&mut self, granted: Option<&Position>, recovered: Option<bool>) -> Outcome {
        let outcome = match (&self.place, granted, recovered) {
            (None, ..) => Outcome::Unknown,
            (Some(_), Some(_), Some(true)) => Outcome::Recovered,
            // Nobody was asked, but nothing has happened.
            (Some(place), Some(granted), None) if place.reaches(granted) => Outcome::Recovered,
            _ => Outcome::Lost,
        };
        if outcome != Outcome::Recovered {
            self.place = granted.cloned();
        }
        self.newest = None;
        outcome
    }

    /// The node can't give what is up to `place`, and goes on behind it. Returns whether the user misses any of it.
    pub(crate) fn lost(&mut self, place: Position) -> bool {
        let has_it = self.place.as_ref().is_some_and(|own| own.reaches(&place));
        if !has_it {
            self.place = Some(place);
        }
        !has_it
    }

    /// A node sends what was missed up to offset `newest`. Returns behind which place, if that is anything.
    pub(crate) fn recovering(&mut self, newest: u64) -> Option<&Position> {
        let since = self.place.as_ref().filter(|place| place.offset() < newest)?;
        self.newest = Some(since.with_offset(newest));
        Some(since)
    }

    /// Whether the user has got, since the last call, to the end of what was missed, or can't get there any more.
    pub(crate) fn is_live(&mut self) -> bool {
        let place = self.place.as_ref();
        let over = |newest: &mut Position| place.is_none_or(|own| own.reaches(newest) || own.epoch() != newest.epoch());
        self.newest.take_if(over).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(epoch: &str, offset: u64) -> Position {
        Position::new(epoch, offset)
    }

    #[test]
    fn offsets_are_judged() {
        for (place, offset, expected) in [
            (Some(5), 6, Seen::Accept),
            (Some(5), 5, Seen::Duplicate),
            (Some(5), 1, Seen::Duplicate),
            (Some(5), 7, Seen::Hole),
            (Some(0), 1, Seen::Accept),
            (Some(u64::MAX), u64::MAX, Seen::Duplicate),
            (Some(0), u64::MAX, Seen::Hole),
            (None, 7, Seen::Accept),
        ] {
            let mut track = Track::at(place.map(|place| at("a", place)));
            assert_eq!(track.see(offset), expected, "{offset} at {place:?}");
            let after = place.map(|place| at("a", place.max(offset)));
            assert_eq!(track.place(), after.as_ref());
        }
    }

    #[test]
    fn what_an_answer_means() {
        use Outcome::{Lost, Recovered, Unknown};
        let (own, same, later, other) = (at("a", 5), at("a", 5), at("a", 9), at("b", 5));
        for (place, granted, recovered, expected, after) in [
            (None, None, None, Unknown, None),
            (None, Some(&later), None, Unknown, Some(&later)),
            (Some(&own), Some(&same), Some(true), Recovered, Some(&own)),
            (Some(&own), Some(&later), Some(false), Lost, Some(&later)),
            (Some(&own), Some(&other), Some(false), Lost, Some(&other)),
            // A place that the node's history has never had.
            (Some(&later), Some(&own), Some(false), Lost, Some(&own)),
            // Nodes that don't recover, and nodes that have no history.
            (Some(&own), Some(&same), None, Recovered, Some(&own)),
            (Some(&later), Some(&own), None, Recovered, Some(&later)),
            (Some(&own), Some(&later), None, Lost, Some(&later)),
            (Some(&own), Some(&other), None, Lost, Some(&other)),
            (Some(&own), None, None, Lost, None),
        ] {
            let mut track = Track::at(place.cloned());
            assert_eq!(track.begin(granted, recovered), expected, "{place:?} {granted:?} {recovered:?}");
            assert_eq!(track.place(), after);
        }
    }

    #[test]
    fn a_loss_that_is_behind_is_none() {
        for (place, lost, expected) in [
            (Some(at("a", 5)), at("a", 5), false),
            (Some(at("a", 6)), at("a", 5), false),
            (Some(at("a", 4)), at("a", 5), true),
            (Some(at("b", 9)), at("a", 5), true),
            (None, at("a", 5), true),
        ] {
            let mut track = Track::at(place.clone());
            assert_eq!(track.lost(lost.clone()), expected);
            assert_eq!(track.place(), Some(if expected { &lost } else { place.as_ref().unwrap_or(&lost) }));
        }
    }

    #[test]
    fn who_has_what_was_missed_is_live_once() {
        let mut track = Track::at(Some(at("a", 5)));
        assert_eq!(track.recovering(5), None);
        assert!(!track.is_live());
        assert_eq!(track.recovering(7), Some(&at("a", 5)));
        track.see(6);
        assert!(!track.is_live());
        track.see(7);
        assert_eq!((track.is_live(), track.is_live()), (true, false));
    }

    #[test]
    fn so_is_who_has_lost_it() {
        for (lost, expected) in [(at("a", 6), false), (at("a", 7), true), (at("a", 9), true), (at("b", 1), true)] {
            let mut track = Track::at(Some(at("a", 5)));
            track.recovering(7);
            track.lost(lost.clone());
            assert_eq!(track.is_live(), expected, "{lost}");
        }
        let mut track = Track::at(Some(at("a", 5)));
        track.recovering(7);
        // Another connection begins.
        track.begin(Some(&at("a", 5)), Some(true));
        track.see(7);
        assert!(!track.is_live());
    }

    proptest! {
        #[test]
        fn nothing_is_handed_over_twice_and_every_hole_is_told(start in 0..20_u64, offsets: Vec<u8>) {
            let mut track = Track::at(Some(at("a", start)));
            let mut has: Vec<bool> = (0..=256).map(|offset| offset <= start).collect();
            for offset in offsets.into_iter().map(u64::from) {
                let index = usize::try_from(offset).unwrap_or_default();
                let missing = has[..index].contains(&false);
                match track.see(offset) {
                    Seen::Accept => prop_assert!(!has[index] && !missing),
                    Seen::Hole => prop_assert!(!has[index] && missing),
                    Seen::Duplicate => prop_assert!(has[index]),
                }
                // What a hole has told counts as settled.
                has[..=index].fill(true);
            }
        }
    }
}
