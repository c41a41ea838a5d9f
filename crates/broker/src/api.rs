//! What the node asks of a broker.

mod lease;
mod presence;

use crate::partition::Partitions;
pub use fanwire_protocol::Delivery;
use fanwire_protocol::{ChannelName, IdempotencyKey, Position, Target};
use futures_util::future::BoxFuture;
pub use lease::Lease;
pub use presence::{
    Answered, Change, Changed, Changes, Counts, DeadNode, MAX_CHANGES, Members, Removed, Roll, Shown, Standing,
};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// A time in which messages may have been lost: from the last heartbeat that came round to the moment at which every
/// subscription was in place again, or had followed what moved to another server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// How long it was.
    pub duration: Duration,
    /// What it concerns.
    pub partitions: Partitions,
}

/// What the feed brings.
#[derive(Debug)]
pub enum FeedItem {
    /// Publications that arrived together, in order.
    Deliveries(Vec<Delivery>),
    /// The link, or a part of it, was away before what follows.
    Gap(Gap),
}

/// Everything that was published in the cluster, in order. Bounded: while nobody takes items, the broker stops
/// reading.
pub type Feed = mpsc::Receiver<FeedItem>;

/// A feed that holds at most `capacity` items, and its other end.
pub fn feed(capacity: usize) -> (mpsc::Sender<FeedItem>, Feed) {
    mpsc::channel(capacity)
}

/// Whether the broker can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Not yet; the text says why.
    Starting(String),
    /// The heartbeat comes round.
    Up,
    /// Not any more; the text says why.
    Down(String),
}

impl LinkState {
    /// What it is after an attempt to make the link, or the link itself, has ended because of `reason`.
    pub(crate) fn ended(&self, reason: String) -> Self {
        match self {
            Self::Starting(_) => Self::Starting(reason),
            Self::Up | Self::Down(_) => Self::Down(reason),
        }
    }
}

/// Why a publication was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// It was certainly not published.
    #[error("not published: {0}")]
    Unavailable(String),
    /// It was handed to the broker, which did not answer: it may yet be delivered.
    #[error("the broker did not answer in time; the message may yet be delivered")]
    Timeout,
}

/// Why a subscription was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// The link to the broker is down.
    #[error("not subscribed: {0}")]
    Unavailable(String),
    /// The broker did not confirm in time.
    #[error("the broker did not confirm the subscription in time")]
    Timeout,
}

/// What is kept of a channel, or of the broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many publications at most, at least 1.
    pub size: u32,
    /// How long after the newest publication all of it is kept, at least 1 ms. The place of the newest is known for
    /// a day more: so a target that is quiet for longer goes on in the same epoch.
    pub ttl: Duration,
}

/// How much longer than the publications the newest place is kept.
pub(crate) const PLACE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the answer to an idempotency key is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// How many publications a [`Page`] has at most, whatever is asked for.
pub const MAX_PAGE: u32 = 256;

/// A publication as the node hands it to the broker.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// What is published, and to whom.
    pub delivery: Delivery,
    /// What is kept of its target's publications; `None` for a target without history.
    pub retention: Option<Retention>,
    /// With a key, the same publication again is answered with the place of the first one, and not published, for
    /// [`REMEMBERED`]. It says nothing where there is no retention.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Which part of a history is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// Of a channel, or of the broadcasts.
    pub target: Target,
    /// What comes behind this place (with `reverse`: before it); from the oldest (newest) on where absent.
    pub since: Option<Position>,
    /// How many publications at most, and never more than [`MAX_PAGE`]; 0 asks for the newest place, and with `since`
    /// whether nothing is missing behind that.
    pub limit: u32,
    /// Newest first.
    pub reverse: bool,
}

/// A part of a history, read at one moment.
#[derive(Debug, Clone)]
pub struct Page {
    /// The newest place. A target that nobody has published to has one as well, with offset 0.
    pub newest: Position,
    /// In the order that was asked for, each at its place, without gaps among them. Where [`Query::since`] is of
    /// another epoch, they begin where they would without it.
    pub publications: Vec<Delivery>,
    /// Whether nothing is missing between [`Query::since`] and the first of them. `false` where that place is of
    /// another epoch, is ahead of the newest, or was followed (with `reverse`: preceded) by something that isn't kept
    /// any more. `true` without `since`.
    pub complete: bool,
}

/// Why a history, or who is on a channel, could not be read, or a change of that was perhaps not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The link to the broker is down.
    #[error("not read: {0}")]
    Unavailable(String),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    Timeout,
}

/// A publication that the broker has taken in; it resolves to the outcome within 2 s of being published.
/// A sender that was dropped counts as [`PublishError::Timeout`].
/// It resolves to the publication's place, where there is a history.
pub type Accepted = oneshot::Receiver<Result<Option<Position>, PublishError>>;

/// What joins the nodes of a cluster.
pub trait Broker: Send + Sync + 'static {
    /// Takes in a publication. The future resolves as soon as its place in the order is fixed: publications taken in
    /// one after the other keep their order. It waits while too many are on their way, but never longer than 2 s.
    fn publish(&self, publishing: Publishing) -> BoxFuture<'static, Result<Accepted, PublishError>>;

    /// Brings what is published to `channel` into the feed. Resolves when the broker has confirmed it, within 2 s; at
    /// once where it is so already. What anyone publishes later arrives.
    ///
    /// The wish counts from the call. When it is refused, or the future dropped before it resolves, nothing stays
    /// subscribed for its sake. A confirmed subscription lasts until [`unsubscribe`](Self::unsubscribe), and is made
    /// again by itself when the link was away.
    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>>;

    /// Brings no more of `channel` into the feed. Takes effect in the order of calls: a later
    /// [`subscribe`](Self::subscribe) wins, whatever is on its way.
    fn unsubscribe(&self, channel: &ChannelName);

    /// Reads a part of a history, within 2 s. Whatever was acknowledged before the call is in it, if it is kept.
    fn history(&self, query: Query, retention: Retention) -> BoxFuture<'static, Result<Page, ReadError>>;

    /// Carries out changes of this node's members, each once, within 2 s. Joins and leaves come in the order in which they
    /// are carried out with all that is published to the channel; the member itself is left out. After an error any part
    /// may have been carried out, or may yet be, and it does no harm to ask again. A node whose members are to outlast no
    /// failure of its own [shows that it lives](Self::show_life) before it asks for the first.
    fn change_members(&self, changes: Changes) -> Answered<Changed>;

    /// Reads who is on a channel, on any node, within 2 s.
    fn members(&self, roll: Roll) -> Answered<Members>;

    /// Counts who is on a channel without reading them, within 2 s.
    fn count_members(&self, channel: &ChannelName) -> Answered<Counts>;

    /// Shows the other nodes that this one lives, within 4 s; to be asked every 2 s, and whenever the link has come up.
    fn show_life(&self) -> Answered<Shown>;

    /// Whether there is a place left for a connection, within 2 s; it has it then, and a connection that has one already
    /// keeps it. This never makes more than the limit, whichever nodes ask at once. After an error the connection may have
    /// the place, or may yet get it. A node that is not to keep places when it has died [shows that it
    /// lives](Self::show_life) before it asks for the first.
    fn lease(&self, lease: Lease) -> Answered<bool>;

    /// Removes the members of a dead node and tells their leaves, each once, whoever does it too; returns how many it
    /// were. `at` is now, in microseconds since the Unix epoch. When that fails, a node will be told to do it again.
    fn remove_members(&self, dead: DeadNode, at: u64) -> Answered<Removed>;

    /// This node has no members any more, and does not show that it lives any longer.
    fn resign(&self) -> Answered<()>;

    /// Whether all of the broker can be used, as it changes.
    fn link(&self) -> watch::Receiver<LinkState>;

    /// Whether what `target` needs of the broker can be used, as it changes until that moves elsewhere.
    fn link_to(&self, target: &Target) -> watch::Receiver<LinkState>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_starts_until_it_was_up() {
        let starting = LinkState::Starting("connecting".to_owned());
        assert_eq!(starting.ended("refused".to_owned()), LinkState::Starting("refused".to_owned()));
        assert_eq!(LinkState::Up.ended("reset".to_owned()), LinkState::Down("reset".to_owned()));
        let down = LinkState::Down("reset".to_owned());
        assert_eq!(down.ended("refused".to_owned()), LinkState::Down("refused".to_owned()));
    }
}
