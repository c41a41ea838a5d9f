//! The embedded broker: joins a node with itself. What it keeps lasts as long as the process.

mod answers;
mod archive;
mod members;
mod schedule;

use crate::{
    Accepted, Answered, Broker, Changed, Changes, Counts, DeadNode, Delivery, Feed, FeedItem, Lease, LinkState,
    Members, Page, PublishError, Publishing, Query, ReadError, Removed, Retention, Roll, Shown, Standing,
    SubscribeError, feed, metrics::BrokerMetrics,
};
use archive::Archive;
use fanwire_protocol::{ChannelName, IdempotencyKey, Position, Target};
use futures_util::future::{BoxFuture, ready};
use members::Roster;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

/// How many publications may wait for the relay.
const CAPACITY: usize = 1_024;

/// How long a publication waits for room. The publisher is promised an answer within 2 s; the rest is for its way.
const PATIENCE: Duration = Duration::from_millis(1_900);

/// Joins a node with itself: what is published goes straight into the feed. Its link is always up.
#[derive(Debug)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
    link: watch::Sender<LinkState>,
}

#[derive(Debug)]
struct Shared {
    feed: mpsc::Sender<FeedItem>,
    subscribed: Mutex<HashSet<ChannelName>>,
    archive: Mutex<Archive>,
    roster: Mutex<Roster>,
    metrics: BrokerMetrics,
}

impl MemoryBroker {
    /// A broker and its feed.
    pub fn start(metrics: BrokerMetrics) -> (Arc<Self>, Feed) {
        let (sender, receiver) = feed(CAPACITY);
        metrics.link_up.set(1);
        let (subscribed, archive, roster) = Default::default();
        let shared = Arc::new(Shared { feed: sender, subscribed, archive, roster, metrics });
        (Arc::new(Self { shared, link: watch::Sender::new(LinkState::Up) }), receiver)
    }

    fn change(&self, apply: impl FnOnce(&mut HashSet<ChannelName>)) {
        let mut subscribed = self.shared.subscribed();
        apply(&mut subscribed);
        self.shared.metrics.subscriptions.set(i64::try_from(subscribed.len()).unwrap_or(i64::MAX));
    }
}

impl Shared {
    async fn publish(&self, publishing: Publishing) -> Result<Option<Position>, PublishError> {
        let room = self.room().await.map_err(|reason| PublishError::Unavailable(reason.to_owned()))?;
        let Publishing { delivery, retention, idempotency_key } = publishing;
        let Some(retention) = retention else {
            self.deliver(delivery, room);
            return Ok(None);
        };
        Ok(Some(self.keep(&delivery, retention, idempotency_key, room)))
    }

    /// Room for an item of the feed; or why there is none.
    async fn room(&self) -> Result<mpsc::Permit<'_, FeedItem>, &'static str> {
        match timeout(PATIENCE, self.feed.reserve()).await {
            Ok(room) => room.map_err(|_| "the node is stopping"),
            Err(_) => Err("the node is behind; try again later"),
        }
    }

    async fn change_members(&self, changes: Changes) -> Result<Changed, ReadError> {
        let room = self.room().await.map_err(|reason| ReadError::Unavailable(reason.to_owned()))?;
        let wanted = self.subscribed().contains(&changes.channel);
        // Held until all is in the feed: the order there is that of the changes.
        let mut roster = self.roster();
        let (changed, deliveries) = roster.change(changes);
        if wanted && !deliveries.is_empty() {
            self.metrics.received.inc_by(deliveries.len() as u64);
            room.send(FeedItem::Deliveries(deliveries));
        }
        Ok(changed)
    }

    fn keep(
        &self,
        delivery: &Delivery,
        retention: Retention,
        key: Option<IdempotencyKey>,
        room: mpsc::Permit<'_, FeedItem>,
    ) -> Position {
        // Held until it is in the feed: the order there is that of offsets.
        let mut archive = self.archive();
        let (place, delivery) = archive.append(delivery, retention, key, Instant::now());
        if let Some(delivery) = delivery {
            self.deliver(delivery, room);
        }
        place
    }

    fn deliver(&self, delivery: Delivery, room: mpsc::Permit<'_, FeedItem>) {
        if self.is_wanted(&delivery) {
            self.metrics.received.inc();
            room.send(FeedItem::Deliveries(vec![delivery]));
        }
    }

    fn is_wanted(&self, delivery: &Delivery) -> bool {
        match &delivery.publication.target {
            Target::Broadcast => true,
            Target::Channel(channel) => self.subscribed().contains(channel),
        }
    }

    fn subscribed(&self) -> MutexGuard<'_, HashSet<ChannelName>> {
        // A set is never left half changed.
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        // Nothing in there panics.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn archive(&self) -> MutexGuard<'_, Archive> {
        // Nothing in there panics.
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker for MemoryBroker {
    fn publish(&self, publishing: Publishing) -> BoxFuture<'static, Result<Accepted, PublishError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let since = Instant::now();
            let outcome = shared.publish(publishing).await;
            shared.metrics.published(&outcome, since.elapsed());
            outcome.map(acknowledged)
        })
    }

    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>> {
        self.change(|subscribed| {
            subscribed.insert(channel.clone());
        });
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.change(|subscribed| {
            subscribed.remove(channel);
        });
    }

    fn history(&self, query: Query, retention: Retention) -> BoxFuture<'static, Result<Page, ReadError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let since = Instant::now();
            let outcome = Ok(shared.archive().page(&query, retention, since));
            shared.metrics.history(&outcome, since.elapsed());
            outcome
        })
    }

    fn change_members(&self, changes: Changes) -> Answered<Changed> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.change_members(changes).await })
    }

    fn members(&self, roll: Roll) -> Answered<Members> {
        Box::pin(ready(Ok(self.shared.roster().members(&roll))))
    }

    fn count_members(&self, channel: &ChannelName) -> Answered<Counts> {
        Box::pin(ready(Ok(self.shared.roster().counts(channel))))
    }

    fn show_life(&self) -> Answered<Shown> {
        Box::pin(ready(Ok(Shown { standing: Standing::Kept, dead: Vec::new() })))
    }

    fn lease(&self, lease: Lease) -> Answered<bool> {
        Box::pin(ready(Ok(self.shared.roster().lease(&lease))))
    }

    /// There is no other node.
    fn remove_members(&self, _: DeadNode, _: u64) -> Answered<Removed> {
        Box::pin(ready(Ok(Removed::default())))
    }

    fn resign(&self) -> Answered<()> {
        Box::pin(ready(Ok(())))
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    fn link_to(&self, _: &Target) -> watch::Receiver<LinkState> {
        self.link()
    }
}

fn acknowledged(place: Option<Position>) -> Accepted {
    let (answer, accepted) = oneshot::channel();
    // The receiver is in our hands.
    let _ = answer.send(Ok(place));
    accepted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use fanwire_protocol::{Content, Publication};
    use prometheus::Registry;

    fn start() -> (Arc<MemoryBroker>, Feed) {
        MemoryBroker::start(BrokerMetrics::register(&Registry::new()).unwrap())
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn plain(target: Target, text: &str) -> Publishing {
        let publication = Arc::new(Publication::new(target, Content::string(text)));
        let delivery = Delivery { publication, except: None, published_at: 7 };
        Publishing { delivery, retention: None, idempotency_key: None }
    }

    fn content(item: FeedItem) -> Vec<Content> {
        let FeedItem::Deliveries(deliveries) = item else { panic!("a gap in memory") };
        deliveries.into_iter().map(|delivery| delivery.publication.content.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_subscribed_and_broadcasts_arrive_in_order() {
        let (broker, mut feed) = start();
        broker.subscribe(&channel("a")).await.unwrap();
        broker.subscribe(&channel("b")).await.unwrap();
        broker.unsubscribe(&channel("b"));
        for (target, text) in [
            (Target::Channel(channel("a")), "1"),
            (Target::Channel(channel("b")), "nobody's"),
            (Target::Broadcast, "2"),
            (Target::Channel(channel("a")), "3"),
        ] {
            let accepted = broker.publish(plain(target, text)).await.unwrap();
            assert_eq!(accepted.await.unwrap(), Ok(None));
        }
        for text in ["1", "2", "3"] {
            assert_eq!(content(feed.recv().await.unwrap()), [Content::string(text)]);
        }
        assert!(feed.try_recv().is_err());
        assert_eq!(*broker.link().borrow(), LinkState::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn publishing_waits_for_room_and_then_says_so() {
        let (broker, mut feed) = start();
        for _ in 0..CAPACITY {
            broker.publish(plain(Target::Broadcast, "x")).await.unwrap();
        }
        let since = Instant::now();
        let refused = broker.publish(plain(Target::Broadcast, "late")).await;
        assert!(matches!(refused, Err(PublishError::Unavailable(_))));
        assert_eq!(since.elapsed(), PATIENCE);

        let waiting = tokio::spawn(broker.publish(plain(Target::Broadcast, "last")));
        tokio::task::yield_now().await;
        for _ in 0..CAPACITY {
            assert_eq!(content(feed.recv().await.unwrap()), [Content::string("x")]);
        }
        waiting.await.unwrap().unwrap();
        assert_eq!(content(feed.recv().await.unwrap()), [Content::string("last")]);
    }

    #[tokio::test]
    async fn nobody_is_told_that_it_was_published_when_the_relay_has_gone() {
        let (broker, feed) = start();
        drop(feed);
        let refused = broker.publish(plain(Target::Broadcast, "x")).await;
        assert!(matches!(refused, Err(PublishError::Unavailable(_))));
    }
    #[tokio::test]
    async fn what_is_kept_arrives_at_its_place_and_can_be_read_again() {
        let (broker, mut feed) = start();
        broker.subscribe(&channel("a")).await.unwrap();
        let target = Target::Channel(channel("a"));
        let retention = Retention { size: 10, ttl: Duration::from_secs(60) };
        let key = IdempotencyKey::new("k");
        for (text, key, offset) in [("1", None, 1), ("2", key.clone(), 2), ("again", key, 2), ("3", None, 3)] {
            let publishing =
                Publishing { retention: Some(retention), idempotency_key: key, ..plain(target.clone(), text) };
            let place = broker.publish(publishing).await.unwrap().await.unwrap().unwrap().unwrap();
            assert_eq!(place.offset, offset);
        }
        let query = Query { target, since: None, limit: 10, reverse: false };
        let page = broker.history(query, retention).await.unwrap();
        for (text, delivery) in ["1", "2", "3"].into_iter().zip(page.publications) {
            let FeedItem::Deliveries(came) = feed.recv().await.unwrap() else { panic!("a gap in memory") };
            assert_eq!(came[0].publication.content, Content::string(text));
            assert_eq!(came[0].publication.position, delivery.publication.position);
        }
        assert!(feed.try_recv().is_err());
        assert_eq!(page.newest.offset, 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_order_of_the_feed_is_that_of_offsets() {
        let (broker, mut feed) = start();
        let retention = Some(Retention { size: 10, ttl: Duration::from_secs(60) });
        for _ in 0..4 {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                for _ in 0..500 {
                    let publishing = Publishing { retention, ..plain(Target::Broadcast, "x") };
                    broker.publish(publishing).await.unwrap();
                }
            });
        }
        for offset in 1..=2_000 {
            let FeedItem::Deliveries(came) = feed.recv().await.unwrap() else { panic!("a gap in memory") };
            assert_eq!(came[0].publication.position.as_ref().unwrap().offset, offset);
        }
    }
}
