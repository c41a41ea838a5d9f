//! What the node asks of a broker.

use fanwire_protocol::ChannelName;
pub use fanwire_protocol::Delivery;
use futures_util::future::BoxFuture;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// A time in which messages may have been lost: from the last heartbeat that came round to the moment at which every
/// subscription was in place again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// How long it was.
    pub duration: Duration,
}

/// What the feed brings.
#[derive(Debug)]
pub enum FeedItem {
    /// Publications that arrived together, in order.
    Deliveries(Vec<Delivery>),
    /// The link was away before what follows.
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

/// A publication that the broker has taken in; it resolves to the outcome within 2 s of being published.
/// A sender that was dropped counts as [`PublishError::Timeout`].
pub type Accepted = oneshot::Receiver<Result<(), PublishError>>;

/// What joins the nodes of a cluster.
pub trait Broker: Send + Sync + 'static {
    /// Takes in a publication. The future resolves as soon as its place in the order is fixed: publications taken in
    /// one after the other keep their order. It waits while too many are on their way, but never longer than 2 s.
    fn publish(&self, delivery: Delivery) -> BoxFuture<'static, Result<Accepted, PublishError>>;

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

    /// Whether the broker can be used, as it changes.
    fn link(&self) -> watch::Receiver<LinkState>;
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
