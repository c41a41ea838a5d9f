//! What a socket could not take yet.

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use std::{collections::VecDeque, io::IoSlice};

/// What an entry costs beside its bytes, in bytes: its place in the queue and its share of bookkeeping, rounded up.
pub const ENTRY_COST: usize = 64;

/// How many frames one system call writes at most.
pub const MAX_VECTORS: usize = 64;

/// What happens when an outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The connection is closed as a slow consumer.
    Disconnect,
    /// The oldest publications that are not begun make room; where that is not enough, or the dialect can't tell its
    /// client of losses, the connection is closed all the same.
    DropOldest,
}

/// Whether an entry may make room for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A publication.
    Publication,
    /// An answer, an event or a control frame: never left out.
    Answer,
    /// The notice that so many publications were left out. It grows with them until it is begun.
    Losses(u64),
}

#[derive(Debug)]
struct Entry {
    rest: Bytes,
    kind: Kind,
}

impl Entry {
    fn cost(&self) -> usize {
        self.rest.len() + ENTRY_COST
    }
}

/// What is still sent to a connection that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Everything that waits.
    All,
    /// Answers, but no publications.
    Answers,
    /// Nothing but the frame that is begun.
    Nothing,
}

impl Rest {
    fn keeps(self, kind: Kind) -> bool {
        self == Self::Answers && kind == Kind::Answer
    }
}

/// The frames that a socket could not take yet, in order. The first may be begun; it is always finished.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    cost: usize,
    begun: bool,
    /// No publication that may make room stands before this index.
    oldest: usize,
    left_out: u64,
}

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the entries cost, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether `frames` fit below `limit`.
    pub(crate) fn has_room(&self, frames: &[Bytes], limit: usize) -> bool {
        self.cost + cost_of(frames) <= limit
    }

    /// Adds frames of which the first `written` bytes are on the wire already.
    pub(crate) fn push_rest(&mut self, frames: &[Bytes], kind: Kind, mut written: usize) {
        for frame in frames {
            if written >= frame.len() {
                written -= frame.len();
                continue;
            }
            self.begun |= written > 0;
            self.push(frame.slice(std::mem::take(&mut written)..), kind);
        }
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, frame: Bytes, kind: Kind) {
        let entry = Entry { rest: frame, kind };
        self.cost += entry.cost();
        self.entries.push_back(entry);
    }

    /// Leaves out the oldest publications that are not begun until `frames` fit below `limit`, or none is left.
    /// Returns how many were left out.
    pub(crate) fn make_room(&mut self, frames: &[Bytes], limit: usize) -> u64 {
        let mut count = 0;
        self.oldest = self.oldest.max(usize::from(self.begun));
        while !self.has_room(frames, limit) && self.leave_out_oldest() {
            count += 1;
        }
        self.left_out += count;
        count
    }

    fn leave_out_oldest(&mut self) -> bool {
        let found = self.entries.iter().skip(self.oldest).position(|entry| entry.kind == Kind::Publication);
        self.oldest = found.map_or(self.entries.len(), |offset| self.oldest + offset);
        let Some(entry) = self.entries.remove(self.oldest) else { return false };
        self.cost -= entry.cost();
        true
    }

    /// How many publications were left out since this was last asked, and those of a notice that is not begun, which is
    /// taken back: however slowly a reader reads, at most one such notice waits.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        let (count, at) = (std::mem::take(&mut self.left_out), usize::from(self.begun));
        match self.entries.get(at).map(|entry| entry.kind) {
            Some(Kind::Losses(told)) if count > 0 => {
                self.cost -= self.entries.remove(at).map_or(0, |entry| entry.cost());
                self.oldest = self.oldest.saturating_sub(1);
                told + count
            }
            _ => count,
        }
    }

    /// Adds the notice of `count` losses before everything that is not begun.
    pub(crate) fn push_losses(&mut self, frame: Bytes, count: u64) {
        let entry = Entry { rest: frame, kind: Kind::Losses(count) };
        self.cost += entry.cost();
        self.oldest += 1;
        self.entries.insert(usize::from(self.begun), entry);
    }

    /// Leaves out all but `rest`, and with publications the notice of earlier losses. The frame that is begun stays.
    /// Returns how many publications were left out.
    pub(crate) fn keep(&mut self, rest: Rest) -> u64 {
        if rest == Rest::All {
            return 0;
        }
        self.left_out = 0;
        let mut index = 0;
        let mut publications = 0;
        let begun = self.begun;
        self.entries.retain(|entry| {
            let stays = (begun && index == 0) || rest.keeps(entry.kind);
            index += 1;
            publications += u64::from(!stays && entry.kind == Kind::Publication);
            stays
        });
        self.cost = self.entries.iter().map(Entry::cost).sum();
        publications
    }

    /// Calls `write` with the next frames to write together.
    pub(crate) fn write_with<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        with_slices(self.entries.iter().map(|entry| &entry.rest[..]), write)
    }

    /// Takes off `written` bytes.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(entry) = self.entries.front_mut() {
            if written < entry.rest.len() {
                entry.rest.advance(written);
                self.cost -= written;
                self.begun |= written > 0;
                return;
            }
            written -= entry.rest.len();
            self.cost -= entry.cost();
            self.begun = false;
            self.oldest = self.oldest.saturating_sub(1);
            self.entries.pop_front();
        }
        // An idle connection keeps no queue.
        self.entries = VecDeque::new();
    }
}

/// What `frames` cost in an outbox, in bytes.
fn cost_of(frames: &[Bytes]) -> usize {
    frames.iter().map(|frame| frame.len() + ENTRY_COST).sum()
}

/// Calls `write` with at most [`MAX_VECTORS`] of `buffers`.
pub(crate) fn with_slices<'a, T>(
    buffers: impl Iterator<Item = &'a [u8]>,
    write: impl FnOnce(&[IoSlice<'_>]) -> T,
) -> T {
    // Nearly always there is one: an array would be filled for all before each write, and collecting would copy it.
    let mut slices = SmallVec::<[IoSlice<'_>; MAX_VECTORS]>::new();
    slices.extend(buffers.take(MAX_VECTORS).map(IoSlice::new));
    write(&slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    fn drain(outbox: &mut Outbox, at_once: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let written = outbox.write_with(|slices| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                out.extend_from_slice(&all[..at_once.min(all.len())]);
                at_once.min(all.len())
            });
            outbox.advance(written);
        }
        out
    }

    #[test]
    fn what_is_begun_stays_when_the_rest_makes_room() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&[frame(1, 10), frame(2, 10), frame(3, 10)], Kind::Publication, 4);
        let limit = outbox.cost();
        assert_eq!(outbox.make_room(&[frame(4, 10)], limit), 1);
        outbox.push(frame(4, 10), Kind::Publication);
        assert_eq!(outbox.take_left_out(), 1);
        assert_eq!(drain(&mut outbox, 7), [[1; 6].as_slice(), &[3; 10], &[4; 10]].concat());
    }

    #[test]
    fn answers_never_make_room() {
        let mut outbox = Outbox::default();
        outbox.push(frame(1, 10), Kind::Answer);
        outbox.push(frame(2, 10), Kind::Publication);
        outbox.push(frame(3, 10), Kind::Answer);
        assert_eq!(outbox.make_room(&[frame(4, 1000)], outbox.cost()), 1);
        assert!(!outbox.has_room(&[frame(4, 1000)], 200));
        assert_eq!(drain(&mut outbox, 100), [[1; 10], [3; 10]].concat());
    }

    #[test]
    fn a_notice_stands_before_everything_that_is_not_begun() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&[frame(1, 4), frame(2, 4)], Kind::Publication, 1);
        outbox.push_losses(frame(9, 2), 1);
        assert_eq!(drain(&mut outbox, 3), [1, 1, 1, 9, 9, 2, 2, 2, 2]);
    }

    #[test]
    fn a_notice_that_is_not_begun_grows() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&[frame(1, 4), frame(2, 4), frame(3, 4), frame(4, 4)], Kind::Publication, 1);
        assert_eq!(outbox.make_room(&[], outbox.cost() - 1), 1);
        assert_eq!(outbox.take_left_out(), 1);
        outbox.push_losses(frame(8, 2), 1);
        assert_eq!(outbox.take_left_out(), 0);
        assert_eq!(outbox.make_room(&[], outbox.cost() - 1), 1);
        assert_eq!(outbox.take_left_out(), 2);
        outbox.push_losses(frame(9, 2), 2);
        assert_eq!(drain(&mut outbox, 1), [1, 1, 1, 9, 9, 4, 4, 4, 4]);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn closing_keeps_only_the_begun_frame() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&[frame(1, 4), frame(2, 4), frame(3, 4)], Kind::Publication, 2);
        outbox.push(frame(4, 4), Kind::Answer);
        assert_eq!(outbox.keep(Rest::Nothing), 2);
        assert_eq!(drain(&mut outbox, 100), [1, 1]);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn a_peer_that_closes_still_gets_its_answers() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&[frame(1, 4), frame(2, 4)], Kind::Publication, 2);
        outbox.push(frame(3, 4), Kind::Answer);
        assert_eq!(outbox.keep(Rest::Answers), 1);
        assert_eq!(drain(&mut outbox, 100), [1, 1, 3, 3, 3, 3]);
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_whatever_each_write_takes(
            frames in prop::collection::vec((0..=255u8, 1..300usize), 0..100),
            written in 0..2000usize,
            at_once in 1..700usize,
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(|(byte, length)| frame(byte, length)).collect();
            let all = frames.concat();
            let written = written.min(all.len());
            let mut outbox = Outbox::default();
            outbox.push_rest(&frames, Kind::Publication, written);
            prop_assert_eq!(drain(&mut outbox, at_once), &all[written..]);
            prop_assert_eq!(outbox.cost(), 0);
        }

        #[test]
        fn room_is_made_by_whole_publications_only(
            kinds in prop::collection::vec(any::<bool>(), 1..50),
            begun in 0..9usize,
            share in 0..100usize,
        ) {
            let mut outbox = Outbox::default();
            for (index, answer) in kinds.iter().enumerate() {
                let kind = if *answer { Kind::Answer } else { Kind::Publication };
                let written = if index == 0 { begun } else { 0 };
                outbox.push_rest(&[frame(u8::try_from(index).unwrap_or_default(), 9)], kind, written);
            }
            let before = outbox.cost();
            let limit = before * share / 100;
            let left_out = outbox.make_room(&[], limit);
            prop_assert_eq!(before - outbox.cost() , usize::try_from(left_out).unwrap_or_default() * (9 + ENTRY_COST));
            let droppable = kinds.iter().skip(usize::from(begun > 0)).filter(|answer| !**answer).count() as u64;
            prop_assert!(outbox.cost() <= limit || left_out == droppable);
        }
    }
}
