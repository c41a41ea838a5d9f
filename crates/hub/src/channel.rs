//! The subscribers of a channel on a shard, and the publications that wait for them.

use crate::{
    outbox::{ENTRY_COST, Kind, MAX_VECTORS},
    roster::Roster,
};
use bytes::Bytes;
use fanwire_protocol::{ChannelName, Delivery, Dialect, Dialects, Event, NodeId, Publication, dialect};
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
    pub(crate) pending: VecDeque<Delivery>,
    /// What is being fanned out. There is never more than one, which is what keeps the order.
    pub(crate) batch: Option<Batch>,
    /// Whether the channel stands in the shard's queue of channels with work.
    pub(crate) queued: bool,
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

    /// Begins the next batch if none is under way: whatever has queued up, within `limit` bytes of content and entry
    /// costs (but at least one).
    pub(crate) fn begin_batch(&mut self, node: NodeId, limit: usize) {
        if self.batch.is_some() || self.pending.is_empty() {
            return;
        }
        let mut size = 0;
        let fits = |delivery: &&Delivery| {
            size += size_of(delivery) + ENTRY_COST;
            size <= limit
        };
        let count = self.pending.iter().take(MAX_VECTORS).take_while(fits).count().max(1);
        let batch = Batch::of(self.pending.drain(..count).collect(), node);
        self.begin(batch);
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }

    /// Begins to tell all subscribers of `event`.
    pub(crate) fn begin_notice(&mut self, event: &Event, dialects: &Dialects) {
        self.begin(Batch::notice(event, dialects));
    }

    fn begin(&mut self, batch: Batch) {
        self.roster.begin_walk();
        self.batch = Some(batch);
    }
}

/// Frames on their way to the subscribers of one channel.
#[derive(Debug)]
pub(crate) struct Batch {
    publications: Vec<Arc<Publication>>,
    published_at: Vec<u64>,
    /// Connections of this node that are left out, by their sequence number, and of which publication.
    except: Vec<(u64, usize)>,
    frames: [Option<Vec<Bytes>>; dialect::ALL.len()],
    pub(crate) kind: Kind,
    begun: Instant,
}

impl Batch {
    fn of(deliveries: Vec<Delivery>, node: NodeId) -> Self {
        let leaves_out = |(index, delivery): (usize, &Delivery)| {
            delivery.except.filter(|connection| connection.0 == node).map(|connection| (connection.1, index))
        };
        Self {
            except: deliveries.iter().enumerate().filter_map(leaves_out).collect(),
            published_at: deliveries.iter().map(|delivery| delivery.published_at).collect(),
            publications: deliveries.into_iter().map(|delivery| delivery.publication).collect(),
            frames: Default::default(),
            kind: Kind::Publication,
            begun: Instant::now(),
        }
    }

    fn notice(event: &Event, dialects: &Dialects) -> Self {
        let frames = |dialect| Some(dialects.encode(dialect, event).into_iter().collect());
        Self {
            publications: Vec::new(),
            published_at: Vec::new(),
            except: Vec::new(),
            frames: dialect::ALL.map(frames),
            kind: Kind::Answer,
            begun: Instant::now(),
        }
    }

    /// How many publications it has.
    pub(crate) fn len(&self) -> usize {
        self.publications.len()
    }

    /// How many bytes their contents have.
    pub(crate) fn size(&self) -> usize {
        self.publications.iter().map(|publication| publication.content.parts().1.len()).sum()
    }

    /// Whether a connection is left out of one of the publications.
    pub(crate) fn leaves_out(&self, sequence: u64) -> bool {
        self.except.iter().any(|(excepted, _)| *excepted == sequence)
    }

    /// The frames of all publications for receivers of `dialect`.
    pub(crate) fn frames(&mut self, dialect: Dialect, dialects: &Dialects) -> &[Bytes] {
        self.frames[dialect as usize].get_or_insert_with(|| {
            let mut frames = Vec::new();
            dialects.frames(dialect, &self.publications, &mut frames);
            frames
        })
    }

    /// The frames for one connection that is left out of some of the publications.
    pub(crate) fn frames_for(&self, sequence: u64, dialect: Dialect, dialects: &Dialects) -> Vec<Bytes> {
        let wanted = |index: usize| !self.except.contains(&(sequence, index));
        let publications: Vec<_> =
            (0..self.len()).filter(|index| wanted(*index)).map(|index| Arc::clone(&self.publications[index])).collect();
        let mut frames = Vec::new();
        dialects.frames(dialect, &publications, &mut frames);
        frames
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
