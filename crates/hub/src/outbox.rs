//! What a socket could not take yet.

use bytes::{Buf, Bytes};
use fanwire_protocol::{Publication, Saving};
use smallvec::SmallVec;
use std::{collections::VecDeque, io::IoSlice, sync::Arc};

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

/// What frames carry, and so whether they may make room for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Publications.
    Publication,
    /// A part of a history that its reader waits for: never left out, and whoever gets it is not slow because of it.
    Page,
    /// An answer, an event or a control frame: never left out.
    Answer,
}

/// Frames that are handed to a connection together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel<'a> {
    pub(crate) frames: &'a [Bytes],
    pub(crate) kind: Kind,
    /// The publications of the frames, each at the same index, where they may have places in a history; else nothing.
    pub(crate) placed: &'a [Arc<Publication>],
    /// What compression saves in the frames.
    pub(crate) saving: &'a Saving,
}

impl<'a> Parcel<'a> {
    /// Frames without places.
    pub(crate) fn new(frames: &'a [Bytes], kind: Kind) -> Self {
        Self { frames, kind, placed: &[], saving: &Saving::NOTHING }
    }

    /// How many bytes the frames have.
    pub(crate) fn length(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }

    fn tag(&self, index: usize) -> Tag {
        match (self.kind, self.placed.get(index)) {
            (Kind::Publication, Some(publication)) if publication.position.is_some() => {
                Tag::Placed(Arc::clone(publication))
            }
            (Kind::Publication, _) => Tag::Publication,
            (Kind::Page, _) => Tag::Page,
            (Kind::Answer, _) => Tag::Answer,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone)]
enum Tag {
    Publication,
    /// A publication with a place in a history.
    Placed(Arc<Publication>),
    Page,
    Answer,
    /// The notice that so many publications were left out. It grows with them until it is begun.
    Losses(u64),
    /// The notice that publications up to this one were left out of its channel, in their place. It moves on with them
    /// until it is begun; without bytes until it is told.
    Lost(Arc<Publication>),
}

impl Tag {
    fn may_make_room(&self) -> bool {
        matches!(self, Self::Publication | Self::Placed(_))
    }

    fn is_lost(&self, publication: &Publication) -> bool {
        matches!(self, Self::Lost(lost) if lost.target == publication.target)
    }
}

#[derive(Debug)]
struct Entry {
    rest: Bytes,
    tag: Tag,
}

impl Entry {
    fn cost(&self) -> usize {
        self.rest.len() + ENTRY_COST
    }

    fn paged(&self) -> usize {
        if matches!(self.tag, Tag::Page) { self.cost() } else { 0 }
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
    fn keeps(self, tag: &Tag) -> bool {
        self == Self::Answers && matches!(tag, Tag::Answer)
    }
}

/// The frames that a socket could not take yet, in order. The first may be begun; it is always finished.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    cost: usize,
    /// What the pages among the entries cost.
    paged: usize,
    /// Bytes that the transport keeps of what has left the entries.
    held: usize,
    begun: bool,
    /// Whether there is a [`Tag::Lost`] without bytes.
    untold: bool,
    /// No publication that may make room stands before this index.
    oldest: usize,
    left_out: u64,
    /// What it cost when that was last counted.
    counted: usize,
}

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nothing waits, and nothing is to be told.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_empty() && self.left_out == 0
    }

    /// By how much its cost has changed since this was last asked, in bytes.
    pub(crate) fn count(&mut self) -> i64 {
        let before = self.counted();
        self.counted = self.cost();
        self.counted() - before
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> i64 {
        self.counted.cast_signed() as i64
    }

    /// What the entries cost, and what the transport keeps of those before them, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.cost + self.held
    }

    /// Notes how many bytes the transport keeps of what has left the entries. It counts until they are written or the
    /// outbox is empty.
    pub(crate) fn set_held(&mut self, bytes: usize) {
        self.held = bytes;
    }

    /// Whether so little waits, of `limit`, that another part of a page may follow.
    pub(crate) fn rests(&self, limit: usize) -> bool {
        self.cost() <= limit / 4
    }

    /// Whether `frames` fit below `limit`, pages aside.
    pub(crate) fn has_room(&self, frames: &[Bytes], limit: usize) -> bool {
        let pages = self.entries.front().map_or(0, Entry::paged);
        let held = if pages > 0 { 0 } else { self.held };
        self.cost - self.paged + held + cost_of(frames) <= limit
    }

    /// Adds frames of which the first `written` bytes are on the wire already.
    pub(crate) fn push_rest(&mut self, parcel: &Parcel<'_>, mut written: usize) {
        for (index, frame) in parcel.frames.iter().enumerate() {
            if written >= frame.len() {
                written -= frame.len();
                continue;
            }
            self.begun |= written > 0;
            self.push(frame.slice(std::mem::take(&mut written)..), parcel.tag(index));
        }
    }

    /// Adds a frame that is never left out.
    pub(crate) fn push_answer(&mut self, frame: Bytes) {
        self.push(frame, Tag::Answer);
    }

    fn push(&mut self, frame: Bytes, tag: Tag) {
        let entry = Entry { rest: frame, tag };
        self.cost += entry.cost();
        self.paged += entry.paged();
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
        count
    }

    fn leave_out_oldest(&mut self) -> bool {
        let found = self.entries.iter().skip(self.oldest).position(|entry| entry.tag.may_make_room());
        self.oldest = found.map_or(self.entries.len(), |offset| self.oldest + offset);
        let Some(entry) = self.remove(self.oldest) else { return false };
        match entry.tag {
            Tag::Placed(publication) => self.note_lost(publication),
            _ => self.left_out += 1,
        }
        true
    }

    /// Puts the notice of what was lost up to `publication` where that was, in place of an earlier one.
    fn note_lost(&mut self, publication: Arc<Publication>) {
        let begun = usize::from(self.begun);
        let earlier = self.entries.range(begun..self.oldest).rposition(|entry| entry.tag.is_lost(&publication));
        if let Some(at) = earlier {
            self.remove(begun + at);
            self.oldest -= 1;
        }
        let entry = Entry { rest: Bytes::new(), tag: Tag::Lost(publication) };
        self.cost += entry.cost();
        self.entries.insert(self.oldest, entry);
        self.untold = true;
    }

    /// Gives the notices of what was lost the frames that `encode` makes for the last publication that each covers.
    pub(crate) fn tell_lost(&mut self, encode: impl Fn(&Publication) -> Option<Bytes>) {
        if !std::mem::take(&mut self.untold) {
            return;
        }
        for entry in &mut self.entries {
            if let Tag::Lost(publication) = &entry.tag
                && entry.rest.is_empty()
            {
                entry.rest = encode(publication).unwrap_or_default();
                self.cost += entry.rest.len();
            }
        }
    }

    fn remove(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        self.cost -= entry.cost();
        self.paged -= entry.paged();
        Some(entry)
    }

    /// How many publications were left out since this was last asked, and those of a notice that is not begun, which is
    /// taken back: however slowly a reader reads, at most one such notice waits.
    pub(crate) fn take_left_out(&mut self) -> u64 {
        let (count, at) = (std::mem::take(&mut self.left_out), usize::from(self.begun));
        match self.entries.get(at).map(|entry| &entry.tag) {
            Some(&Tag::Losses(told)) if count > 0 => {
                self.remove(at);
                self.oldest = self.oldest.saturating_sub(1);
                told + count
            }
            _ => count,
        }
    }

    /// Adds the notice of `count` losses before everything that is not begun.
    pub(crate) fn push_losses(&mut self, frame: Bytes, count: u64) {
        let entry = Entry { rest: frame, tag: Tag::Losses(count) };
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
            let stays = (begun && index == 0) || rest.keeps(&entry.tag);
            index += 1;
            publications += u64::from(!stays && (entry.tag.may_make_room() || matches!(entry.tag, Tag::Page)));
            stays
        });
        self.cost = self.entries.iter().map(Entry::cost).sum();
        self.paged = self.entries.iter().map(Entry::paged).sum();
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
                self.paged -= if matches!(entry.tag, Tag::Page) { written } else { 0 };
                self.begun |= written > 0;
                return;
            }
            written -= entry.rest.len();
            self.cost -= entry.cost();
            self.paged -= entry.paged();
            self.begun = false;
            self.oldest = self.oldest.saturating_sub(1);
            self.entries.pop_front();
        }
        // An idle connection keeps no queue.
        self.entries = VecDeque::new();
        self.held = 0;
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
    #![allow(clippy::expect_used)]
    use super::*;
    use fanwire_protocol::{Content, Epoch, Position, Target};
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
        outbox.push_rest(&Parcel::new(&[frame(1, 10), frame(2, 10), frame(3, 10)], Kind::Publication), 4);
        let limit = outbox.cost();
        assert_eq!(outbox.make_room(&[frame(4, 10)], limit), 1);
        outbox.push(frame(4, 10), Tag::Publication);
        assert_eq!(outbox.take_left_out(), 1);
        assert_eq!(drain(&mut outbox, 7), [[1; 6].as_slice(), &[3; 10], &[4; 10]].concat());
    }

    #[test]
    fn answers_never_make_room() {
        let mut outbox = Outbox::default();
        outbox.push_answer(frame(1, 10));
        outbox.push(frame(2, 10), Tag::Publication);
        outbox.push_answer(frame(3, 10));
        assert_eq!(outbox.make_room(&[frame(4, 1000)], outbox.cost()), 1);
        assert!(!outbox.has_room(&[frame(4, 1000)], 200));
        assert_eq!(drain(&mut outbox, 100), [[1; 10], [3; 10]].concat());
    }

    #[test]
    fn a_notice_stands_before_everything_that_is_not_begun() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&Parcel::new(&[frame(1, 4), frame(2, 4)], Kind::Publication), 1);
        outbox.push_losses(frame(9, 2), 1);
        assert_eq!(drain(&mut outbox, 3), [1, 1, 1, 9, 9, 2, 2, 2, 2]);
    }

    #[test]
    fn a_notice_that_is_not_begun_grows() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&Parcel::new(&[frame(1, 4), frame(2, 4), frame(3, 4), frame(4, 4)], Kind::Publication), 1);
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
        outbox.push_rest(&Parcel::new(&[frame(1, 4), frame(2, 4), frame(3, 4)], Kind::Publication), 2);
        outbox.push_answer(frame(4, 4));
        assert_eq!(outbox.keep(Rest::Nothing), 2);
        assert_eq!(drain(&mut outbox, 100), [1, 1]);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn a_peer_that_closes_still_gets_its_answers() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&Parcel::new(&[frame(1, 4), frame(2, 4)], Kind::Publication), 2);
        outbox.push_answer(frame(3, 4));
        assert_eq!(outbox.keep(Rest::Answers), 1);
        assert_eq!(drain(&mut outbox, 100), [1, 1, 3, 3, 3, 3]);
    }

    fn placed(offset: u64) -> Arc<Publication> {
        let position = Position { epoch: Epoch::parse("e").expect("letters are an epoch"), offset };
        let content = Content::json("1").expect("a number is JSON");
        Arc::new(Publication::new(Target::Broadcast, content).at(position))
    }

    fn tell(publication: &Publication) -> Option<Bytes> {
        let offset = publication.position.as_ref()?.offset;
        Some(frame(100 + u8::try_from(offset).ok()?, 2))
    }

    #[test]
    fn what_is_lost_is_told_in_its_place_and_once() {
        let mut outbox = Outbox::default();
        outbox.push_answer(frame(9, 1));
        let placed: Vec<_> = (1..=4).map(placed).collect();
        let frames = [frame(1, 4), frame(2, 4), frame(3, 4), frame(4, 4)];
        outbox.push_rest(&Parcel { placed: &placed, ..Parcel::new(&frames, Kind::Publication) }, 0);
        outbox.push_answer(frame(8, 1));
        assert_eq!(outbox.make_room(&[], outbox.cost() - 1), 1);
        outbox.tell_lost(tell);
        assert_eq!(outbox.make_room(&[], outbox.cost() - ENTRY_COST - 16), 2);
        outbox.tell_lost(tell);
        assert_eq!(outbox.take_left_out(), 0);
        assert_eq!(drain(&mut outbox, 100), [9, 103, 103, 4, 4, 4, 4, 8]);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn pages_count_but_fill_nothing() {
        let mut outbox = Outbox::default();
        let frames = [frame(1, 1000), frame(2, 1000)];
        outbox.push_rest(&Parcel::new(&frames, Kind::Page), 0);
        assert_eq!(outbox.cost(), 2 * (1000 + ENTRY_COST));
        assert!(outbox.has_room(&[frame(3, 10)], 10 + ENTRY_COST) && !outbox.rests(4 * 1000));
        outbox.advance(500);
        assert!(outbox.has_room(&[frame(3, 10)], 10 + ENTRY_COST));
        assert_eq!(outbox.make_room(&[frame(3, 10)], 10), 0);
        outbox.advance(500);
        outbox.push_answer(frame(3, 10));
        assert!(!outbox.has_room(&[frame(3, 10)], 10 + ENTRY_COST));
        assert_eq!(outbox.keep(Rest::Answers), 1);
        assert_eq!((outbox.cost(), outbox.paged), (10 + ENTRY_COST, 0));
    }

    #[test]
    fn what_the_transport_keeps_counts_until_the_outbox_is_empty() {
        let mut outbox = Outbox::default();
        outbox.push_rest(&Parcel::new(&[frame(1, 1000)], Kind::Publication), 999);
        outbox.set_held(500);
        assert_eq!(outbox.cost(), 500 + 1 + ENTRY_COST);
        assert!(!outbox.has_room(&[frame(2, 10)], 500 + 10 + 2 * ENTRY_COST));
        assert!(outbox.has_room(&[frame(2, 10)], 500 + 11 + 2 * ENTRY_COST));
        outbox.advance(1);
        assert_eq!(outbox.cost(), 0);
        outbox.push_rest(&Parcel::new(&[frame(1, 1000)], Kind::Page), 999);
        outbox.set_held(500);
        assert!(outbox.has_room(&[frame(2, 10)], 10 + ENTRY_COST) && !outbox.rests(4 * 500));
    }

    #[test]
    fn an_entry_costs_no_more_than_is_counted() {
        assert!(size_of::<Entry>() <= ENTRY_COST * 3 / 4);
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
            outbox.push_rest(&Parcel::new(&frames, Kind::Publication), written);
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
                outbox.push_rest(&Parcel::new(&[frame(u8::try_from(index).unwrap_or_default(), 9)], kind), written);
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
