//! A node, as far as a broker sees one.

use super::soon;
use fanwire_broker::{
    Accepted, Broker, Delivery, Feed, FeedItem, LinkState, Page, PublishError, Publishing, Query, Retention,
    SubscribeError,
    metrics::RedisMetrics,
    redis::{RedisBroker, RedisConfig, RedisServers},
};
use fanwire_protocol::{ChannelName, Content, NodeId, Position, Publication, Target};
use prometheus::Registry;
use std::{collections::VecDeque, sync::Arc};
use tokio::{sync::watch, task::JoinHandle};

/// What came from the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// A publication's text.
    Text(String),
    /// The text of a publication with history, and its place.
    Kept(String, Position),
    /// Who came or went, and with which user.
    Change(String),
    Gap,
}

pub(crate) struct Node {
    pub(crate) broker: Arc<RedisBroker>,
    feed: Feed,
    came: VecDeque<Came>,
    registry: Registry,
    task: JoinHandle<()>,
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn text(text: &str) -> Came {
    Came::Text(text.to_owned())
}

pub(crate) fn to(name: &str) -> Target {
    Target::Channel(channel(name))
}

/// A publication that is not kept.
pub(crate) fn plain(target: Target, text: &str) -> Publishing {
    let publication = Arc::new(Publication::new(target, Content::string(text)));
    let delivery = Delivery { publication, except: None, published_at: 1 };
    Publishing { delivery, retention: None, idempotency_key: None }
}

impl Node {
    /// A node whose link need not be up yet.
    pub(crate) fn start(url: &str, id: u64) -> Self {
        Self::start_at(RedisServers::Single(url.to_owned()), id)
    }

    /// A node at any servers, whose link need not be up yet.
    pub(crate) fn start_at(servers: RedisServers, id: u64) -> Self {
        let registry = Registry::new();
        let config = RedisConfig { servers, ..RedisConfig::single("", "fanwire", NodeId::from_random(id)) };
        let metrics = RedisMetrics::register(&registry).unwrap();
        let (broker, feed, link) = RedisBroker::start(&config, metrics).unwrap();
        Self { broker, feed, came: VecDeque::new(), registry, task: tokio::spawn(link) }
    }

    /// A node at any servers whose links are up.
    pub(crate) async fn joined_at(servers: RedisServers, id: u64) -> Self {
        let node = Self::start_at(servers, id);
        node.is_up().await;
        node
    }

    /// A node whose link is up.
    pub(crate) async fn joined(url: &str, id: u64) -> Self {
        let node = Self::start(url, id);
        node.is_up().await;
        node
    }

    pub(crate) async fn is_up(&self) {
        let mut link = self.broker.link();
        soon("link up", link.wait_for(|state| *state == LinkState::Up)).await.unwrap();
    }

    /// Waits until the link is down, and says why.
    pub(crate) async fn is_down(&self) -> String {
        reason(self.broker.link(), |_| true).await
    }

    /// Waits until the link is down for a reason in which `part` occurs.
    pub(crate) async fn is_down_because(&self, part: &str) -> String {
        reason(self.broker.link(), |reason| reason.contains(part)).await
    }

    pub(crate) async fn subscribe(&self, name: &str) -> Result<(), SubscribeError> {
        soon("subscribe", self.broker.subscribe(&channel(name))).await
    }

    pub(crate) async fn take_in(&self, name: &str, text: &str) -> Result<Accepted, PublishError> {
        soon("publish", self.broker.publish(plain(to(name), text))).await
    }

    pub(crate) async fn publish(&self, name: &str, text: &str) -> Result<(), PublishError> {
        outcome(self.take_in(name, text).await?).await
    }

    pub(crate) async fn broadcast(&self, text: &str) -> Result<(), PublishError> {
        outcome(soon("publish", self.broker.publish(plain(Target::Broadcast, text))).await?).await
    }

    /// Publishes what is kept, and returns its place.
    pub(crate) async fn keep(&self, publishing: Publishing) -> Result<Position, PublishError> {
        let accepted = soon("publish", self.broker.publish(publishing)).await?;
        soon("answer", accepted).await.unwrap().map(|place| place.expect("a place"))
    }

    pub(crate) async fn history(&self, query: Query, retention: Retention) -> Page {
        soon("history", self.broker.history(query, retention)).await.unwrap()
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Came {
        while self.came.is_empty() {
            match soon("feed", self.feed.recv()).await.unwrap() {
                FeedItem::Gap(_) => self.came.push_back(Came::Gap),
                FeedItem::Deliveries(deliveries) => self.came.extend(deliveries.iter().map(read)),
            }
        }
        self.came.pop_front().unwrap()
    }

    /// What comes up to `last`, which is left out.
    pub(crate) async fn until(&mut self, last: &Came) -> Vec<Came> {
        let mut came = Vec::new();
        loop {
            match self.next().await {
                next if next == *last => return came,
                next => came.push(next),
            }
        }
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Takes nothing from the feed any more, and waits until its link has ended by itself.
    pub(crate) async fn leave(self) {
        drop(self.feed);
        soon("link ended", self.task).await.unwrap();
    }

    /// Stops its link and nothing else.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }
}

pub(crate) async fn outcome(accepted: Accepted) -> Result<(), PublishError> {
    soon("answer", accepted).await.unwrap().map(|place| assert_eq!(place, None))
}

fn read(delivery: &Delivery) -> Came {
    if let Some(change) = &delivery.publication.change {
        let with = change.member.user.as_ref().filter(|_| change.with_user);
        let with = with.map_or(String::new(), |user| format!(" with {user}"));
        return Came::Change(format!("{:?} {}{with}", change.kind, change.member.connection));
    }
    let (_, bytes) = delivery.publication.content.parts();
    let text = std::str::from_utf8(bytes).unwrap().trim_matches('"').to_owned();
    match delivery.publication.position.clone() {
        Some(place) => Came::Kept(text, place),
        None => Came::Text(text),
    }
}

async fn reason(mut link: watch::Receiver<LinkState>, wanted: impl Fn(&str) -> bool) -> String {
    let is_wanted = |state: &LinkState| why(state).is_some_and(&wanted);
    let state = soon("link down", link.wait_for(is_wanted)).await.unwrap();
    why(&state).unwrap().to_owned()
}

fn why(state: &LinkState) -> Option<&str> {
    match state {
        LinkState::Starting(reason) | LinkState::Down(reason) => Some(reason),
        LinkState::Up => None,
    }
}
