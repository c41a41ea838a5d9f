//! A message to many, encoded once per encoding.

use crate::{ChannelName, ConnectionId, Content, Dialects, Encoding, MemberChange, Position, Saving};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// Who a publication is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Every connection of the cluster.
    Broadcast,
    /// The subscribers of a channel.
    Channel(ChannelName),
}

/// A publication on its way through the cluster.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is delivered, and to whom.
    pub publication: Arc<Publication>,
    /// The connection that is left out.
    pub except: Option<ConnectionId>,
    /// When it was published, in microseconds since the Unix epoch by the publishing node's clock.
    pub published_at: u64,
}

/// A message to many. Its frames are made on first use, once per dialect and once more compressed, and shared by all
/// receivers.
#[derive(Debug)]
pub struct Publication {
    /// Who it is for.
    pub target: Target,
    /// The payload; where a change is told, what the member says of itself, or `null`.
    pub content: Content,
    /// The member that came or went, where that is what is told: such a thing never has a place.
    pub change: Option<Box<MemberChange>>,
    /// Its place in the target's history, where there is one.
    pub position: Option<Position>,
    frames: Frames,
    compressed: Frames,
}

/// Frames by dialect.
type Frames = [OnceLock<Option<Bytes>>; crate::dialect::ALL.len()];

/// Two publications are equal if they say the same, to the same, at the same place; which frames exist is no matter.
impl PartialEq for Publication {
    fn eq(&self, other: &Self) -> bool {
        (&self.target, &self.content, &self.change, &self.position)
            == (&other.target, &other.content, &other.change, &other.position)
    }
}

impl Publication {
    /// A publication of `content` to `target`.
    pub fn new(target: Target, content: Content) -> Self {
        Self {
            target,
            content,
            change: None,
            position: None,
            frames: Default::default(),
            compressed: Default::default(),
        }
    }

    /// What tells the subscribers of `channel` that a member came or went.
    pub fn of_change(channel: ChannelName, change: MemberChange) -> Self {
        let content = change.member.info.clone().unwrap_or_else(Content::null);
        Self { change: Some(Box::new(change)), ..Self::new(Target::Channel(channel), content) }
    }

    /// The same publication at a place in its target's history.
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), frames: Default::default(), compressed: Default::default(), ..self }
    }

    /// The complete frame for receivers of `encoding`; `None` where its dialect has no form for it.
    pub fn frame(&self, encoding: impl Into<Encoding>, dialects: &Dialects) -> Option<&Bytes> {
        let encoding = encoding.into();
        let plain = self.plain(encoding, dialects)?;
        if !encoding.compression.fits(plain.len()) {
            return Some(plain);
        }
        let compressed = self.compressed[encoding.dialect as usize].get_or_init(|| dialects.shorten(plain));
        Some(compressed.as_ref().unwrap_or(plain))
    }

    fn plain(&self, encoding: Encoding, dialects: &Dialects) -> Option<&Bytes> {
        let dialect = encoding.dialect;
        self.frames[dialect as usize].get_or_init(|| dialects.encode_publication(dialect, self)).as_ref()
    }

    /// Whether [`Self::frame`] would compress more than `bytes` of content now.
    pub fn is_costly(&self, encoding: Encoding, bytes: usize) -> bool {
        let length = self.content.parts().1.len();
        length > bytes
            && encoding.compression.fits(length)
            && self.compressed[encoding.dialect as usize].get().is_none()
    }

    /// What compression saves in its frame for `encoding`.
    pub(crate) fn saving(&self, encoding: Encoding, dialects: &Dialects) -> Saving {
        let lengths =
            [self.plain(encoding, dialects), self.frame(encoding, dialects)].map(|frame| frame.map_or(0, Bytes::len));
        let bytes = (lengths[0] - lengths[1]) as u64;
        Saving { frames: u64::from(bytes > 0), bytes }
    }

    /// The length of the longest form in bytes, frame header included.
    ///
    /// Encodes in every dialect where `bound` could be exceeded at all, and is an upper estimate where it can't.
    pub fn longest_frame(&self, dialects: &Dialects, bound: usize) -> usize {
        let estimate = self.content.longest_form() + ENVELOPE;
        if estimate <= bound {
            return estimate;
        }
        let forms = crate::dialect::ALL.into_iter().filter_map(|dialect| self.frame(dialect, dialects));
        forms.map(Bytes::len).max().unwrap_or_default()
    }
}

/// More than what any dialect puts around a content: keys, the longest channel name and user escaped, the frame's header. A
/// plain template may be longer, which is why the configuration bounds it.
const ENVELOPE: usize = 1024;
