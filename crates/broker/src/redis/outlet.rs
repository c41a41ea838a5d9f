//! From the reader into the feed.

use crate::{Delivery, FeedItem, Gap, partition::Partitions};
use std::{mem, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// How many publications one item of the feed has at most.
const MAX_DELIVERIES: usize = 256;

/// How many bytes of envelopes one item of more than one publication has at most.
const MAX_BYTES: usize = 1024 * 1024;

/// How many bytes of envelopes are held while a link is being made. What is beyond counts as lost in the gap.
const MAX_HELD: usize = 8 * 1024 * 1024;

/// Nobody takes from the feed any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FeedClosed;

/// Puts into one item what arrived together.
///
/// What comes before the link is up is held, since the gap stands before it and its length is not yet known.
#[derive(Debug)]
pub(super) struct Outlet {
    feed: mpsc::Sender<FeedItem>,
    deliveries: Vec<Delivery>,
    bytes: usize,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    items: Vec<Vec<Delivery>>,
    bytes: usize,
    since: Instant,
    overflowed: bool,
}

impl Outlet {
    pub(super) fn new(feed: mpsc::Sender<FeedItem>) -> Self {
        let held = Held { items: Vec::new(), bytes: 0, since: Instant::now(), overflowed: false };
        Self { feed, deliveries: Vec::new(), bytes: 0, held: Some(held) }
    }

    /// Adds a publication whose envelope has `bytes` bytes. Waits while an item is full and the feed too.
    pub(super) async fn push(&mut self, delivery: Delivery, bytes: usize) -> Result<(), FeedClosed> {
        if self.deliveries.len() == MAX_DELIVERIES || (!self.deliveries.is_empty() && self.bytes + bytes > MAX_BYTES) {
            self.flush().await?;
        }
        self.deliveries.push(delivery);
        self.bytes += bytes;
        Ok(())
    }

    /// Ends the item. Waits while the feed is full.
    pub(super) async fn flush(&mut self) -> Result<(), FeedClosed> {
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let (deliveries, bytes) = (mem::take(&mut self.deliveries), mem::take(&mut self.bytes));
        match &mut self.held {
            Some(held) => {
                held.add(deliveries, bytes);
                Ok(())
            }
            None => self.send(FeedItem::Deliveries(deliveries)).await,
        }
    }

    /// Whether what comes is held.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Lets go of what was held, after `gap`; returns the gap that was put into the feed.
    pub(super) async fn open(&mut self, gap: Option<Gap>) -> Result<Option<Gap>, FeedClosed> {
        self.flush().await?;
        let Some(held) = self.held.take() else { return Ok(None) };
        let gap = gap.or_else(|| held.overflowed.then(|| Gap { duration: held.age(), partitions: Partitions::all() }));
        if let Some(gap) = gap {
            self.send(FeedItem::Gap(gap)).await?;
        }
        for deliveries in held.items {
            self.send(FeedItem::Deliveries(deliveries)).await?;
        }
        Ok(gap)
    }

    /// Puts `gap` behind what has come.
    pub(super) async fn tell(&mut self, gap: Gap) -> Result<(), FeedClosed> {
        self.flush().await?;
        self.send(FeedItem::Gap(gap)).await
    }

    async fn send(&self, item: FeedItem) -> Result<(), FeedClosed> {
        self.feed.send(item).await.map_err(|_| FeedClosed)
    }
}

impl Held {
    fn add(&mut self, deliveries: Vec<Delivery>, bytes: usize) {
        // Once something was left out, all that follows is too: what is in the feed has no holes outside the gap.
        self.overflowed |= self.bytes + bytes > MAX_HELD;
        if !self.overflowed {
            self.items.push(deliveries);
            self.bytes += bytes;
        }
    }

    fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{Feed, feed};
    use fanwire_protocol::{Content, Publication, Target};
    use std::sync::Arc;

    fn delivery(at: u64) -> Delivery {
        let publication = Arc::new(Publication::new(Target::Broadcast, Content::string("x")));
        Delivery { publication, except: None, published_at: at }
    }

    async fn opened(capacity: usize) -> (Outlet, Feed) {
        let (sender, feed) = feed(capacity);
        let mut outlet = Outlet::new(sender);
        outlet.open(None).await.unwrap();
        (outlet, feed)
    }

    fn times(item: FeedItem) -> Vec<u64> {
        let FeedItem::Deliveries(deliveries) = item else { panic!("a gap") };
        deliveries.iter().map(|delivery| delivery.published_at).collect()
    }

    #[tokio::test]
    async fn what_arrives_together_is_one_item_up_to_the_bounds() {
        let (mut outlet, mut feed) = opened(8).await;
        for at in 0..300 {
            outlet.push(delivery(at), 10).await.unwrap();
        }
        outlet.flush().await.unwrap();
        outlet.flush().await.unwrap();
        assert_eq!(times(feed.recv().await.unwrap()), (0..256).collect::<Vec<_>>());
        assert_eq!(times(feed.recv().await.unwrap()), (256..300).collect::<Vec<_>>());
        for at in [1, 2, 3] {
            outlet.push(delivery(at), MAX_BYTES / 2).await.unwrap();
        }
        outlet.push(delivery(4), 2 * MAX_BYTES).await.unwrap();
        outlet.flush().await.unwrap();
        assert_eq!(times(feed.recv().await.unwrap()), [1, 2]);
        assert_eq!(times(feed.recv().await.unwrap()), [3]);
        assert_eq!(times(feed.recv().await.unwrap()), [4]);
        assert!(feed.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_gap_stands_before_what_was_held() {
        let (sender, mut feed) = feed(8);
        let mut outlet = Outlet::new(sender);
        outlet.push(delivery(1), 1).await.unwrap();
        outlet.flush().await.unwrap();
        outlet.push(delivery(2), 1).await.unwrap();
        assert!(feed.try_recv().is_err());
        let gap = Gap { duration: Duration::from_secs(3), partitions: Partitions::all() };
        assert_eq!(outlet.open(Some(gap)).await, Ok(Some(gap)));
        assert!(matches!(feed.recv().await, Some(FeedItem::Gap(g)) if g == gap));
        assert_eq!(times(feed.recv().await.unwrap()), [1]);
        assert_eq!(times(feed.recv().await.unwrap()), [2]);
    }

    #[tokio::test]
    async fn what_can_not_be_held_is_a_gap_even_on_the_first_link() {
        let (sender, mut feed) = feed(8);
        let mut outlet = Outlet::new(sender);
        for (at, bytes) in [(1, MAX_HELD), (2, 1), (3, 1)] {
            outlet.push(delivery(at), bytes).await.unwrap();
            outlet.flush().await.unwrap();
        }
        assert!(outlet.open(None).await.unwrap().is_some());
        assert!(matches!(feed.recv().await, Some(FeedItem::Gap(_))));
        assert_eq!(times(feed.recv().await.unwrap()), [1]);
        assert!(feed.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_full_feed_makes_the_reader_wait() {
        let (mut outlet, mut feed) = opened(1).await;
        outlet.push(delivery(1), 1).await.unwrap();
        outlet.flush().await.unwrap();
        outlet.push(delivery(2), 1).await.unwrap();
        let flush = tokio::spawn(async move {
            outlet.flush().await.unwrap();
        });
        tokio::task::yield_now().await;
        assert!(!flush.is_finished());
        assert_eq!(times(feed.recv().await.unwrap()), [1]);
        flush.await.unwrap();
        assert_eq!(times(feed.recv().await.unwrap()), [2]);
    }

    #[tokio::test]
    async fn a_feed_that_nobody_takes_from_is_noticed() {
        let (mut outlet, feed) = opened(1).await;
        drop(feed);
        outlet.push(delivery(1), 1).await.unwrap();
        assert_eq!(outlet.flush().await, Err(FeedClosed));
    }
}
