//! Targets with a history: nothing is passed on before what is missing before it was read.

use super::*;
use crate::testing::Calls;
use fanwire_broker::{Page, ReadError};
use fanwire_hub::{ConnectionKey, Joined};
use fanwire_protocol::{Epoch, Position};
use tokio::time::advance;

const CHANNELS: [&str; 2] = ["kept:a", "kept:b"];

/// A relay between a feed and a hub whose one connection has joined two channels behind a.10.
struct Followed {
    feed: mpsc::Sender<FeedItem>,
    calls: Calls,
    socket: Arc<Recorder>,
    registry: Registry,
    follower: Follower,
    _joined: ConnectionKey,
}

impl Followed {
    async fn start() -> Self {
        let registry = Registry::new();
        let hub = hub(&HubMetrics::new(&registry).unwrap(), Clock::start(), 1 << 20);
        let (broker, mut calls) = Scripted::new();
        let (sender, receiver) = feed(256);
        let (follower, follows) = follower();
        let metrics = Metrics::new(&registry).unwrap();
        let namespaces = Arc::new(namespaces(100));
        let readiness = Readiness::new(broker.link(), &namespaces);
        let obedient = obedient(&hub);
        let hub_of_parts = hub.clone();
        let parts =
            Parts { feed: receiver, hub: hub_of_parts, broker, namespaces, metrics, readiness, obedient, follows };
        tokio::spawn(relay(parts));
        calls.history().await.1.send(Ok(page("a", 0, []))).unwrap();
        let socket = Arc::new(Recorder::default());
        let admission = Admission {
            id: ConnectionId(NodeId::from_random(7), 1),
            dialect: Dialect::Json,
            compression: fanwire_protocol::Compression::Never,
            transport: Arc::clone(&socket) as _,
            activity: Arc::new(Activity::default()),
            entry: Entry::Now(None),
        };
        let (key, _) = hub.shards()[0].connect(admission).await.unwrap();
        for channel in CHANNELS {
            let subscription = hub.interest().subscribe(&ChannelName::parse(channel).unwrap(), 0);
            let followed = tokio::spawn({
                let follower = follower.clone();
                async move { follower.follow(target(channel), None).await }
            });
            let (query, answer) = calls.history().await;
            assert_eq!((query.limit, query.since), (0, None));
            answer.send(Ok(page(channel, 10, []))).unwrap();
            assert_eq!(followed.await.unwrap(), Ok(place("a", 10)));
            let joined = hub.shards()[0].join_at(key, subscription, place("a", 10), None).await;
            assert!(matches!(joined, Ok(Joined::Live)));
        }
        Self { feed: sender, calls, socket, registry, follower, _joined: key }
    }

    async fn bring(&self, channel: &str, offsets: impl IntoIterator<Item = u64>) {
        let deliveries = offsets.into_iter().map(|offset| delivery(channel, "a", offset)).collect();
        self.feed.send(FeedItem::Deliveries(deliveries)).await.unwrap();
    }

    /// What was written since the last call, in short.
    async fn got(&self) -> String {
        settle().await;
        let shown = |event: &Value| match event["type"].as_str().unwrap() {
            "message" => format!("{}.{}", &event["channel"].as_str().unwrap()[5..], event["offset"]),
            "lost" => format!("!{}.{}", &event["channel"].as_str().unwrap()[5..], event["offset"]),
            other => other.to_owned(),
        };
        let events = self.socket.writes().concat().into_iter().map(|frame| match Frame::parse(&frame) {
            Some((Frame::Event(event), _)) => shown(&event),
            other => panic!("{other:?} instead of an event"),
        });
        events.collect::<Vec<_>>().join(" ")
    }

    fn metric(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let mut metrics = family.get_metric().iter();
        let found = metrics.find(|metric| metric.get_label().iter().all(|pair| pair.value() == label)).unwrap();
        format!("{}", found.get_counter().get_value()).parse().unwrap()
    }
}

fn target(channel: &str) -> Target {
    Target::Channel(ChannelName::parse(channel).unwrap())
}

fn place(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset }
}

fn delivery(channel: &str, epoch: &str, offset: u64) -> Delivery {
    let publication = Publication::new(target(channel), Content::json("0").unwrap()).at(place(epoch, offset));
    Delivery { publication: Arc::new(publication), except: None, published_at: 0 }
}

fn page(channel: &str, newest: u64, offsets: impl IntoIterator<Item = u64>) -> Page {
    let publications = offsets.into_iter().map(|offset| delivery(channel, "a", offset)).collect();
    Page { newest: place("a", newest), publications, complete: true }
}

#[tokio::test(start_paused = true)]
async fn a_gap_holds_up_its_channel_alone_until_it_is_filled() {
    let mut relayed = Followed::start().await;
    relayed.bring("kept:a", [11, 13]).await;
    relayed.bring("kept:b", [11]).await;
    relayed.bring("kept:a", [14, 14]).await;
    assert_eq!(relayed.got().await, "a.11 b.11");
    let (query, answer) = relayed.calls.history().await;
    assert_eq!((query.target, query.since), (target("kept:a"), Some(place("a", 11))));
    relayed.bring("kept:b", [12]).await;
    assert_eq!(relayed.got().await, "b.12");
    answer.send(Ok(page("kept:a", 13, [12, 13]))).unwrap();
    assert_eq!(relayed.got().await, "a.12 a.13 a.14");
    assert!(relayed.calls.is_empty());
    assert_eq!(relayed.metric("fanwire_fills_total", "filled"), 1);
    assert_eq!(relayed.metric("fanwire_history_lost_total", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_away_makes_every_history_be_read() {
    let mut relayed = Followed::start().await;
    relayed.feed.send(gap(1)).await.unwrap();
    relayed.bring("kept:a", [13]).await;
    for _ in 0..3 {
        let (query, answer) = relayed.calls.history().await;
        let found = match &query.target {
            Target::Broadcast => Page { newest: place("a", 0), publications: Vec::new(), complete: true },
            target if *target == self::target("kept:a") => page("kept:a", 13, [11, 12, 13]),
            _ => page("kept:b", 10, []),
        };
        answer.send(Ok(found)).unwrap();
    }
    assert_eq!(relayed.got().await, "gap a.11 a.12 a.13");
    assert!(relayed.calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_told_and_counted() {
    let mut relayed = Followed::start().await;
    relayed.bring("kept:a", [15]).await;
    let lost = Page { complete: false, ..page("kept:a", 15, [14, 15]) };
    relayed.calls.history().await.1.send(Ok(lost)).unwrap();
    assert_eq!(relayed.got().await, "!a.13 a.14 a.15");
    assert_eq!(relayed.metric("fanwire_fills_total", "lost"), 1);
    assert_eq!(relayed.metric("fanwire_history_lost_total", ""), 1);
}

#[tokio::test(start_paused = true)]
async fn a_history_that_stays_unreadable_is_given_up() {
    let mut relayed = Followed::start().await;
    relayed.bring("kept:a", [12]).await;
    let mut failures = 0;
    while relayed.got().await.is_empty() {
        relayed.calls.history().await.1.send(Err(ReadError::Timeout)).unwrap();
        failures += 1;
    }
    assert_eq!(relayed.metric("fanwire_fills_total", "failed"), failures);
    assert_eq!(relayed.metric("fanwire_history_lost_total", ""), 1);
    relayed.bring("kept:a", [13]).await;
    assert_eq!(relayed.got().await, "a.13");
}

#[tokio::test(start_paused = true)]
async fn beyond_what_may_be_held_the_feed_is_not_read() {
    let mut relayed = Followed::start().await;
    let large = {
        let content = Content::json(&format!("{:?}", "x".repeat(1 << 20))).unwrap();
        let publication = Publication::new(target("kept:a"), content).at(place("a", 100));
        Delivery { publication: Arc::new(publication), except: None, published_at: 0 }
    };
    let large = || FeedItem::Deliveries(vec![large.clone()]);
    let mut taken = 0;
    while relayed.feed.try_send(large()).is_ok() {
        taken += 1;
        settle().await;
    }
    assert!(taken < 256 + 2 * 64, "{taken} MiB were taken");
    relayed.calls.history().await.1.send(Ok(page("kept:a", 100, 11..=100))).unwrap();
    settle().await;
    assert!(relayed.feed.try_send(large()).is_ok(), "the feed is not read again");
}

#[tokio::test(start_paused = true)]
async fn a_place_of_another_epoch_is_looked_into_before_it_is_answered() {
    let mut relayed = Followed::start().await;
    let follower = relayed.follower.clone();
    let followed = tokio::spawn(async move { follower.follow(target("kept:a"), Some(place("b", 0))).await });
    let (query, answer) = relayed.calls.history().await;
    assert_eq!(query.since, Some(place("a", 10)));
    answer.send(Ok(Page { newest: place("b", 0), publications: Vec::new(), complete: false })).unwrap();
    assert_eq!(followed.await.unwrap(), Ok(place("b", 0)));
    assert_eq!(relayed.got().await, "!a.0");
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_nobody_answers_waits_for_a_bounded_time() {
    let mut relayed = Followed::start().await;
    let follower = relayed.follower.clone();
    let followed = tokio::spawn(async move { follower.follow(target("kept:c"), None).await });
    let (_, _never) = relayed.calls.history().await;
    advance(Duration::from_secs(6)).await;
    assert_eq!(followed.await.unwrap(), Err(ReadError::Timeout));
}
