//! The subscribers of a channel on a shard, and the publications that wait for them.

use crate::{
    history::{History, Skip},
    outbox::{ENTRY_COST, Kind, MAX_VECTORS, Parcel},
    recent::before,
    roster::Roster,
    shard::AT_ONCE,
};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, Delivery, Dialects, Encoding, Epoch, Event, NodeId, Position, Publication, Saving,
};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// A channel on one shard, or the broadcast to all, whose subscribers are all connections.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// `None` for the broadcast.
    pub(crate) name: Option<ChannelName>,
    pub(crate) roster: Roster,
    pub(crate) pending: VecDeque<Item>,
    /// What is being fanned out. There is never more than one, which is what keeps the order.
    pub(crate) batch: Option<Box<Batch>>,
    /// Whether the channel stands in the shard's queue of channels with work.
    pub(crate) queued: bool,
    /// Whether its turn has to wait until its batch is compressed.
    pub(crate) parked: bool,
    /// Where it stands, if it has a history and that is known.
    pub(crate) history: Option<Box<History>>,
}

/// What waits for its fan-out.
#[derive(Debug)]
pub(crate) enum Item {
    Delivery(Delivery),
    /// The notice that what stands before this place is lost.
    Lost(Position),
}

impl Item {
    /// The place behind it.
    pub(crate) fn place(&self) -> Option<&Position> {
        match self {
            Self::Delivery(delivery) => delivery.publication.position.as_ref(),
            Self::Lost(position) => Some(position),
        }
    }
}

impl Channel {
    /// A channel without subscribers.
    pub(crate) fn new(name: ChannelName) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// Whether anything is to be fanned out.
    pub(crate) fn has_work(&self) -> bool {
        self.batch.is_some() || !self.pending.is_empty()
    }

    /// Moves the head to `position`. Returns whether what stands there is news.
    pub(crate) fn advance(&mut self, position: &Position) -> bool {
        self.history.get_or_insert_with(|| Box::new(History::at(before(position), VecDeque::new()))).advance(position)
    }

    /// Sets the head where there is none, behind the epochs that have `ended`.
    pub(crate) fn stand_at(&mut self, position: Position, ended: VecDeque<Epoch>) {
        self.history.get_or_insert_with(|| Box::new(History::at(position, ended)));
    }

    /// Removes a member.
    pub(crate) fn leave(&mut self, member: usize) {
        self.roster.leave(member);
        if let Some(history) = &mut self.history {
            history.forget(member);
        }
    }

    /// The place up to which a member has everything; `None` without history.
    pub(crate) fn place_of(&self, member: usize) -> Option<&Position> {
        self.history.as_ref().map(|history| history.place_of(member, self.waits(member)))
    }

    /// Whether a member has yet to get items of the batch under way.
    pub(crate) fn waits(&self, member: usize) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.len() > 0) && self.roster.is_ahead(member)
    }

    /// Begins the next batch if none is under way: whatever has queued up, within `limit` bytes of content and entry
    /// costs (but at least one).
    pub(crate) fn begin_batch(&mut self, node: NodeId, limit: usize) {
        if self.batch.is_some() {
            return;
        }
        let mut batch = match self.pending.front() {
            None => return,
            Some(Item::Lost(position)) => {
                let batch = Batch::lost(self.name.clone(), position.clone());
                self.pending.pop_front();
                batch
            }
            Some(Item::Delivery(_)) => Batch::of(self.take_deliveries(limit), node),
        };
        if let Some(history) = &mut self.history {
            batch.first = history.begin(batch.len(), batch.last_place());
        }
        self.begin(batch);
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }

    fn take_deliveries(&mut self, limit: usize) -> Few<Delivery> {
        let mut size = 0;
        let mut fits = |item: &Item| match item {
            Item::Delivery(delivery) => {
                size += size_of(delivery) + ENTRY_COST;
                size <= limit
            }
            Item::Lost(_) => false,
        };
        let count = self.pending.iter().take(MAX_VECTORS).take_while(|item| fits(item)).count().max(1);
        let delivery = |item| match item {
            Item::Delivery(delivery) => Some(delivery),
            Item::Lost(_) => None,
        };
        self.pending.drain(..count).filter_map(delivery).collect()
    }

    /// Begins to tell all subscribers of `event`.
    pub(crate) fn begin_notice(&mut self, event: Event) {
        self.begin(Batch::notice(event));
    }

    fn begin(&mut self, batch: Batch) {
        self.roster.begin_walk();
        self.batch = Some(Box::new(batch));
    }
}

/// Nearly always one, which then needs no memory of its own.
type Few<T> = SmallVec<[T; 1]>;

/// Frames on their way to the subscribers of one channel.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Whether any of them may take long to compress.
    pub(crate) is_long: bool,
    pub(crate) publications: Few<Arc<Publication>>,
    published_at: Few<u64>,
    /// Connections of this node that are left out, by their sequence number, and of which publication.
    except: Vec<(u64, usize)>,
    /// Whether any publication has a place in a history.
    placed: bool,
    /// How manieth of the channel's items the first publication is, where there is a history.
    pub(crate) first: u64,
    /// The place behind what is lost, where that is what is told.
    lost: Option<Box<Position>>,
    /// What all are told, where that is no publication.
    event: Option<Event>,
    /// The frames of those encodings that somebody has wanted.
    frames: Vec<Encoded>,
    pub(crate) kind: Kind,
    begun: Instant,
}

/// The frames of a batch in one encoding.
#[derive(Debug)]
struct Encoded {
    encoding: Encoding,
    frames: Vec<Bytes>,
    saving: Saving,
}

impl Batch {
    fn of(deliveries: Few<Delivery>, node: NodeId) -> Self {
        let leaves_out = |(index, delivery): (usize, &Delivery)| {
            delivery.except.filter(|connection| connection.0 == node).map(|connection| (connection.1, index))
        };
        Self {
            is_long: deliveries.iter().any(|delivery| size_of(delivery) > AT_ONCE),
            except: deliveries.iter().enumerate().filter_map(leaves_out).collect(),
            published_at: deliveries.iter().map(|delivery| delivery.published_at).collect(),
            placed: deliveries.iter().any(|delivery| delivery.publication.position.is_some()),
            first: 0,
            lost: None,
            publications: deliveries.into_iter().map(|delivery| delivery.publication).collect(),
            event: None,
            frames: Vec::new(),
            kind: Kind::Publication,
            begun: Instant::now(),
        }
    }

    fn lost(channel: Option<ChannelName>, position: Position) -> Self {
        let event = Event::Lost { channel, position: position.clone() };
        Self { lost: Some(Box::new(position)), ..Self::notice(event) }
    }

    fn notice(event: Event) -> Self {
        Self {
            is_long: false,
            publications: Few::new(),
            published_at: Few::new(),
            except: Vec::new(),
            placed: false,
            first: 0,
            lost: None,
            event: Some(event),
            frames: Vec::new(),
            kind: Kind::Answer,
            begun: Instant::now(),
        }
    }

    /// How many of the channel's items it has.
    pub(crate) fn len(&self) -> usize {
        self.publications.len() + usize::from(self.lost.is_some())
    }

    /// The place of one of its items.
    pub(crate) fn place(&self, index: usize) -> Option<&Position> {
        match self.publications.get(index) {
            Some(publication) => publication.position.as_ref(),
            None => self.lost.as_deref(),
        }
    }

    fn last_place(&self) -> Option<&Position> {
        (0..self.len()).rev().find_map(|index| self.place(index))
    }

    /// How many bytes their contents have.
    pub(crate) fn size(&self) -> usize {
        self.publications.iter().map(|publication| publication.content.parts().1.len()).sum()
    }

    /// Whether a connection is left out of one of the publications.
    pub(crate) fn leaves_out(&self, sequence: u64) -> bool {
        self.except.iter().any(|(excepted, _)| *excepted == sequence)
    }

    /// The frames of all publications for receivers of `encoding`.
    // Every delivery passes here, and nearly all want what the first wanted.
    #[inline(always)]
    pub(crate) fn parcel(&mut self, encoding: Encoding, dialects: &Dialects) -> Parcel<'_> {
        let is_first = self.frames.first().is_some_and(|first| first.encoding == encoding);
        let at = if is_first { 0 } else { self.place_of(encoding, dialects) };
        let Encoded { frames, saving, .. } = &self.frames[at];
        let placed = self.placed && frames.len() == self.publications.len();
        Parcel { frames, kind: self.kind, placed: if placed { &self.publications } else { &[] }, saving }
    }

    /// Where the frames for receivers of `encoding` are, which are made if there are none.
    #[inline(never)]
    fn place_of(&mut self, encoding: Encoding, dialects: &Dialects) -> usize {
        let made = self.frames.iter().position(|encoded| encoded.encoding == encoding);
        made.unwrap_or_else(|| {
            let encoded = self.encode(encoding, dialects);
            self.frames.push(encoded);
            self.frames.len() - 1
        })
    }

    fn encode(&self, encoding: Encoding, dialects: &Dialects) -> Encoded {
        let mut frames: Vec<_> =
            self.event.iter().filter_map(|event| dialects.encode(encoding.dialect, event)).collect();
        let saving = dialects.frames(encoding, &self.publications, &mut frames);
        Encoded { encoding, frames, saving }
    }

    /// Which publications are for a connection that does not get all of them.
    pub(crate) fn part(&self, sequence: u64, skip: Option<&Skip>) -> Vec<usize> {
        let skipped = |index: usize| skip.is_some_and(|skip| skip.covers(self, index));
        (0..self.len()).filter(|index| !skipped(*index) && !self.except.contains(&(sequence, *index))).collect()
    }

    /// The publications at `indexes`.
    pub(crate) fn publications(&self, indexes: &[usize]) -> Vec<Arc<Publication>> {
        indexes.iter().filter_map(|index| self.publications.get(*index)).cloned().collect()
    }

    /// How long the fan-out has taken.
    pub(crate) fn duration(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How long ago each publication was published; zero where the publishing node's clock is ahead of ours.
    pub(crate) fn ages(&self) -> impl Iterator<Item = Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.published_at.iter().map(move |at| now.saturating_sub(Duration::from_micros(*at)))
    }
}

/// What a publication counts for, in bytes.
pub(crate) fn size_of(delivery: &Delivery) -> usize {
    delivery.publication.content.parts().1.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_no_larger_for_the_sake_of_histories() {
        assert_eq!(std::mem::size_of::<Item>(), std::mem::size_of::<Delivery>());
    }
}
