#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod history;

use super::*;
use crate::testing::{Asked, Frame, Recorder, Scripted, hub, namespaces, obedient, settle, shard_config};
use fanwire_broker::{Delivery, Gap, Partitions, feed};
use fanwire_hub::{Activity, Admission, Clock, Entry, HubMetrics};
use fanwire_protocol::{ChannelName, ConnectionId, Content, Dialect, Dialects, NodeId, Publication, Target};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

/// A relay between a feed and a hub whose one connection has joined the channel `news`.
struct Relayed {
    feed: mpsc::Sender<FeedItem>,
    socket: Arc<Recorder>,
    relay: JoinHandle<Result<(), ShardGone>>,
}

impl Relayed {
    async fn start(items: impl IntoIterator<Item = FeedItem>) -> Self {
        let (socket, hub) =
            (Arc::new(Recorder::default()), hub(&HubMetrics::new(&Registry::new()).unwrap(), Clock::start(), 1 << 20));
        let shard = &hub.shards()[0];
        let admission = Admission {
            id: ConnectionId(NodeId::from_random(7), 1),
            dialect: Dialect::Json,
            compression: fanwire_protocol::Compression::Never,
            transport: Arc::clone(&socket) as _,
            activity: Arc::new(Activity::default()),
            entry: Entry::Now(None),
        };
        let (key, _) = shard.connect(admission).await.unwrap();
        shard.join(key, hub.interest().subscribe(&news(), 0), None).await.unwrap();
        let (sender, receiver) = feed(256);
        items.into_iter().for_each(|item| sender.try_send(item).unwrap());
        let (broker, _) = Scripted::new();
        Self { feed: sender, socket, relay: tokio::spawn(relay(parts(receiver, hub, broker))) }
    }

    /// The writes since the last call, each a list of the events that it carried.
    async fn writes(&self) -> Vec<Vec<Value>> {
        settle().await;
        let event = |frame: Vec<u8>| match Frame::parse(&frame) {
            Some((Frame::Event(event), _)) => event,
            other => panic!("{other:?} instead of an event"),
        };
        self.socket.writes().into_iter().map(|frames| frames.into_iter().map(event).collect()).collect()
    }
}

fn parts(feed: Feed, hub: Hub, broker: Arc<Scripted>) -> Parts {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (_, follows) = follower();
    let namespaces = Arc::new(namespaces(0));
    let readiness = Readiness::new(broker.link(), &namespaces);
    let obedient = obedient(&hub);
    Parts { feed, hub, broker, namespaces, metrics, readiness, obedient, follows }
}

fn news() -> ChannelName {
    ChannelName::parse("news").unwrap()
}

fn item(numbers: impl IntoIterator<Item = u32>) -> FeedItem {
    let delivery = |number: u32| {
        let content = Content::json(&number.to_string()).unwrap();
        let publication = Arc::new(Publication::new(Target::Channel(news()), content));
        Delivery { publication, except: None, published_at: 0 }
    };
    FeedItem::Deliveries(numbers.into_iter().map(delivery).collect())
}

fn gap(seconds: u64) -> FeedItem {
    FeedItem::Gap(Gap { duration: Duration::from_secs(seconds), partitions: Partitions::all() })
}

fn message(number: u32) -> Value {
    json!({ "type": "message", "channel": "news", "content": number })
}

#[tokio::test(start_paused = true)]
async fn what_arrived_together_is_written_together() {
    let relayed = Relayed::start([item([1, 2]), item([3]), item([4])]).await;
    assert_eq!(relayed.writes().await, [(1..=4).map(message).collect::<Vec<_>>()]);
    relayed.feed.send(item([5])).await.unwrap();
    assert_eq!(relayed.writes().await, [[message(5)]]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_stands_between_what_came_before_it_and_after_it() {
    let items = [item([1]), gap(3), item([2]), item([3]), gap(4), gap(5), item([4])];
    let relayed = Relayed::start(items).await;
    let told = |seconds: f64| json!({ "type": "gap", "seconds": seconds });
    let expected = [message(1), told(3.0), message(2), message(3), told(4.0), told(5.0), message(4)];
    assert_eq!(relayed.writes().await.concat(), expected);
}

#[tokio::test(start_paused = true)]
async fn more_than_is_taken_at_once_keeps_its_order() {
    let relayed = Relayed::start((0..200).map(|number| item([number]))).await;
    assert_eq!(relayed.writes().await.concat(), (0..200).map(message).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_relay_ends_with_its_feed() {
    let relayed = Relayed::start([item([1])]).await;
    assert_eq!(relayed.writes().await, [[message(1)]]);
    drop(relayed.feed);
    assert_eq!(relayed.relay.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_relay_ends_with_a_shard() {
    let config = shard_config(Clock::start(), 1 << 20);
    let metrics = HubMetrics::new(&Registry::new()).unwrap();
    let (hub, shards) = Hub::new(&config, &Dialects::default(), &metrics, 2);
    drop(shards);
    let (sender, receiver) = feed(1);
    sender.try_send(gap(1)).unwrap();
    let (broker, _) = Scripted::new();
    assert_eq!(relay(parts(receiver, hub, broker)).await, Err(ShardGone));
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_left_a_while_after_its_last_reader() {
    let (broker, mut calls) = Scripted::new();
    let hub = hub(&HubMetrics::new(&Registry::new()).unwrap(), Clock::start(), 1 << 20);
    let (_feed, receiver) = feed(1);
    tokio::spawn(relay(parts(receiver, hub.clone(), broker)));
    let subscription = hub.interest().subscribe(&news(), 0);
    tokio::time::sleep(LINGER * 3).await;
    assert!(calls.is_empty());
    drop(subscription);
    let left = Instant::now();
    let Asked::Unsubscribe(channel) = calls.next().await else { panic!("nothing else is asked") };
    assert_eq!(channel, news());
    assert!(left.elapsed() > LINGER && left.elapsed() <= LINGER * 2);
    tokio::time::sleep(LINGER * 3).await;
    assert!(calls.is_empty());
}
