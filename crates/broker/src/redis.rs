//! The Redis broker: joins any number of nodes through Redis Pub/Sub.
//!
//! ```text
//! publish ── route ── gate ── publisher ══ publishing connection ══ Redis ══ subscriber link ══ reader ── outlet ── feed
//!                             heartbeat ══╯                         ║ ╰═════ writer ── interest ── subscribe
//! history ── route ── gate ── histories ════ reading connection ════╝
//! members ──╯
//! ```
//!
//! Redis is one server or several. Behind the route there is a member for each that has something, with a link of its
//! own; a partition, and so a channel, is at one of them at a time. They share interest and feed.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `access` | the way to Redis, checked, and which server is to be used now |
//! | `asking` | what is asked on the reading connection |
//! | `backoff` | how long to wait before the link is made again |
//! | `batch` | publications that are sent together |
//! | `cluster` | the servers of a Redis Cluster, as they come, go and move what they have |
//! | `call` | a script or a command about members |
//! | `connect` | the two connections of a link |
//! | `dialogue` | one question, one answer: how a connection begins |
//! | `doubt` | who finds out what has moved, and how they are told |
//! | `end` | how a link ends |
//! | `endpoint` | a place where a server is, and how to log in there |
//! | `extent` | where a reply ends |
//! | `gate` | the way to what works for the link that is up |
//! | `heartbeat` | what shows that a link works all the way round |
//! | `histories` | reading histories, and asking about members |
//! | `inspect` | trying whether a node could work with a Redis |
//! | `interest` | subscriptions, shared by those who want and the link that provides |
//! | `job` | a publication that is to be sent |
//! | `keep` | how a publication is kept |
//! | `kind` | which kind of Pub/Sub a server is used with |
//! | `life` | whether this node's members are where they belong |
//! | `link` | making the link, watching it, and making it again |
//! | `member` | one server of those that join the nodes |
//! | `moves` | how partitions go from server to server |
//! | `names` | names of Redis keys and channels |
//! | `outlet` | from the reader into the feed |
//! | `presence` | what Redis is asked about members |
//! | `publisher` | publishing, in order |
//! | `question` | a part of a history that is asked for |
//! | `reader`, `writer` | the halves of the subscriber link |
//! | `redirect` | what a server answers that has done nothing |
//! | `refusal` | what Redis refuses, and what helps |
//! | `reply` | what Redis says on the subscriber link |
//! | `rights` | what a node's user must be allowed to do |
//! | `roster` | members as Redis has them |
//! | `route` | which server has what |
//! | `scout` | asking a Redis Cluster which server has what |
//! | `script` | what Redis runs, and when an epoch begins |
//! | `sentinel` | asking Sentinels for the primary |
//! | `settings` | how a node is told to join a cluster |
//! | `several` | several servers, as they are configured |
//! | `slot` | the slots of Redis Cluster |
//! | `spread` | which of several independent servers has what |
//! | `standing` | what a server is |
//! | `strays` | publications that may be sent again, since Redis did nothing |
//! | `stream` | TCP, TLS, or a Unix socket |
//! | `subscriptions` | what is desired and what is so |
//! | `ticket` | the answer that is owed for a publication |
//! | `tls` | certificates |
//! | `topology` | what a Redis Cluster says of its servers |
//! | `watch` | whether the subscriber link lives |
//! | `window` | since when messages may have been lost |

mod access;
mod asking;
mod backoff;
mod batch;
mod call;
mod cluster;
mod connect;
mod dialogue;
mod doubt;
mod end;
mod endpoint;
mod extent;
mod gate;
mod heartbeat;
mod histories;
mod inspect;
mod interest;
mod job;
mod keep;
mod kind;
mod life;
mod link;
mod member;
mod moves;
mod names;
mod outlet;
mod presence;
mod publisher;
mod question;
mod reader;
mod redirect;
mod refusal;
mod reply;
mod rights;
mod roster;
mod route;
mod scout;
mod script;
mod secret;
mod sentinel;
mod settings;
mod several;
mod slot;
mod spread;
mod standing;
mod strays;
mod stream;
mod subscriptions;
mod ticket;
mod tls;
mod topology;
mod watch;
mod window;
mod writer;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

pub use fanwire_tls::{ClientFiles as TlsFiles, InvalidTls};
pub use inspect::{Finding, inspect};
pub use settings::{InvalidRedisConfig, RedisConfig, RedisServers};

use crate::{
    Accepted, Answered, Broker, Changed, Changes, Counts, DeadNode, Feed, FeedItem, Lease, LinkState, Members, Page,
    PublishError, Publishing, Query, ReadError, Removed, Retention, Roll, Shown, SubscribeError, envelope, feed,
    metrics::RedisMetrics, partition::Partition,
};
use access::{Access, Servers};
use asking::{Asking, Unanswered};
use cluster::Cluster;
use doubt::Doubt;
use endpoint::Endpoint;
use fanwire_protocol::{ChannelName, NodeId, Target};
use futures_util::future::{BoxFuture, join_all};
use interest::Interest;
use job::Job;
use keep::Keep;
use life::Life;
use link::Link;
use member::{Member, MemberId};
use names::Names;
use question::Question;
use reply::MAX_PAYLOAD;
use route::{Route, Way};
use std::{sync::Arc, time::Duration};
use ticket::{ANSWER_WITHIN, Ticket};
use tokio::{
    sync::{mpsc, oneshot, watch as state},
    time::{Instant, sleep, timeout},
};

/// How many items the feed holds. A few keep the reader busy; more would only be older when they are relayed.
const FEED: usize = 4;

/// What clients are told. The details are not for them: [`Broker::link`] has those.
const DOWN: &str = "the link to Redis is down";

/// What those who asked something are told whose question went down with the link.
const LOST: &str = "the link to Redis ended";

/// How long one who asked the wrong server waits before it asks again.
const AGAIN: Duration = Duration::from_millis(50);

/// Joins nodes through Redis Pub/Sub: at most once, in order, with every loss that a node can know of told as a gap.
#[derive(Debug)]
pub struct RedisBroker {
    shared: Arc<Shared>,
}

/// What those who use the broker and the links have in common.
#[derive(Debug)]
struct Shared {
    node: NodeId,
    names: Names,
    route: Route,
    doubt: Arc<Doubt>,
    interest: Arc<Interest>,
    life: Arc<Life>,
    metrics: Arc<RedisMetrics>,
}

impl RedisBroker {
    /// A broker, its feed, and the future that makes and keeps its links; nothing happens until that is polled. It needs
    /// a tokio runtime, runs until the feed is dropped, and takes everything along that works for the links when it is
    /// dropped itself.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, without secrets. Whether Redis can be reached shows in
    /// [`link`](Broker::link).
    pub fn start(
        config: &RedisConfig,
        metrics: RedisMetrics,
    ) -> Result<(Arc<Self>, Feed, impl Future<Output = ()> + Send + 'static + use<>), InvalidRedisConfig> {
        let access = Access::new(config)?;
        let shared = Arc::new(Shared::new(config, access.database(), metrics));
        let (feed, receiver) = feed(FEED);
        let driver = shared.drive(access, feed);
        Ok((Arc::new(Self { shared }), receiver, driver))
    }
}

impl Shared {
    fn new(config: &RedisConfig, database: i64, metrics: RedisMetrics) -> Self {
        let names = Names::new(&config.prefix, database);
        let metrics = Arc::new(metrics);
        let always = [(names.broadcast(), Partition::BROADCASTS)];
        Self {
            node: config.node,
            route: Route::new(Arc::clone(&metrics)),
            doubt: Arc::default(),
            interest: Arc::new(Interest::new(always, Arc::clone(&metrics))),
            life: Arc::default(),
            names,
            metrics,
        }
    }

    /// Makes the links and keeps them.
    fn drive(self: &Arc<Self>, access: Access, feed: mpsc::Sender<FeedItem>) -> BoxFuture<'static, ()> {
        match access.servers.clone() {
            Servers::Single(_) | Servers::Sentinel(_) => Box::pin(self.link(self.member(0, None), access, feed).keep()),
            Servers::Spread(several) => {
                let endpoints: Vec<_> = several.iter().cloned().collect();
                let links = self
                    .spread(endpoints, |member, endpoint| self.link(member, access.to(endpoint), feed.clone()).keep());
                Box::pin(async move { drop(join_all(links).await) })
            }
            Servers::Cluster(seeds) => Box::pin(Cluster::new(Arc::clone(self), access, feed).keep(seeds)),
        }
    }

    fn link(self: &Arc<Self>, member: Arc<Member>, access: Access, feed: mpsc::Sender<FeedItem>) -> Link {
        if member.place.is_none() {
            self.settle(|_| Arc::clone(&member));
        }
        Link { shared: Arc::clone(self), member, access, feed }
    }

    fn member(&self, number: u32, place: Option<String>) -> Arc<Member> {
        let heartbeat = self.names.heartbeat(self.node, number);
        Member::new(MemberId(number), place, heartbeat, &self.interest, &self.metrics)
    }

    /// Spreads partitions over servers, each of which gets a member.
    fn spread<L>(&self, endpoints: Vec<Endpoint>, link: impl Fn(Arc<Member>, Endpoint) -> L) -> Vec<L> {
        let identities: Vec<_> = endpoints.iter().map(|endpoint| endpoint.place.identity()).collect();
        let members: Vec<_> =
            (0..).zip(&endpoints).map(|(number, endpoint)| self.member(number, Some(endpoint.to_string()))).collect();
        self.settle(|partition| Arc::clone(&members[spread::place(partition, &identities)]));
        members.into_iter().zip(endpoints).map(|(member, endpoint)| link(member, endpoint)).collect()
    }

    /// Says for ever which member has what.
    fn settle(&self, owner: impl Fn(Partition) -> Arc<Member>) {
        self.route.set(|partition, _| Way::To(owner(partition)));
        for member in self.route.members() {
            member.window.own(self.route.where_way(|_, way| way.leads_to(member.id)));
        }
        self.interest.reroute(|partition| self.route.owner(partition));
    }

    async fn publish(&self, publishing: Publishing) -> Result<Accepted, PublishError> {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let payload = match self.payload(&publishing) {
            Ok(payload) => payload,
            Err(reason) => return Err(ticket.refuse(reason)),
        };
        self.route.take_in(self.job(&publishing, payload, ticket)).await?;
        Ok(accepted)
    }

    fn payload(&self, publishing: &Publishing) -> Result<Vec<u8>, String> {
        let encode = if publishing.retention.is_some() { envelope::beginning } else { envelope::encode };
        let payload = encode(self.node, &publishing.delivery).map_err(|error| error.to_string())?;
        if payload.len() > MAX_PAYLOAD {
            return Err(format!("{} bytes are more than the {MAX_PAYLOAD} that go through Redis", payload.len()));
        }
        Ok(payload)
    }

    fn job(&self, publishing: &Publishing, payload: Vec<u8>, ticket: Ticket) -> Job {
        let Publishing { delivery, retention, idempotency_key } = publishing;
        let target = &delivery.publication.target;
        let keep = retention.map(|retention| Keep::new(&self.names, target, retention, idempotency_key.as_ref()));
        Job { name: self.names.target(target), partition: Partition::of_target(target), payload, keep, ticket }
    }

    /// Reads a part of a history, within 2 s.
    async fn read(&self, query: Query, retention: Retention) -> Result<Page, ReadError> {
        let asking = || {
            let (metrics, doubt) = (Arc::clone(&self.metrics), Arc::clone(&self.doubt));
            Question::new(&self.names, query.clone(), retention, metrics, doubt)
        };
        self.ask(Partition::of_target(&query.target), asking).await
    }

    /// Asks until it is answered by the server that has `partition`, for at most 2 s.
    async fn ask<T, A: Into<Asking>>(
        &self,
        partition: Partition,
        asking: impl Fn() -> (A, oneshot::Receiver<Result<T, Unanswered>>),
    ) -> Result<T, ReadError> {
        let asked = async {
            loop {
                match self.ask_once(partition, asking()).await {
                    Ok(answer) => return Ok(answer),
                    Err(Unanswered::Failed(error)) => return Err(error),
                    Err(Unanswered::Elsewhere) => sleep(AGAIN).await,
                }
            }
        };
        timeout(ANSWER_WITHIN, asked).await.unwrap_or(Err(ReadError::Timeout))
    }

    async fn ask_once<T, A: Into<Asking>>(
        &self,
        partition: Partition,
        (asking, answered): (A, oneshot::Receiver<Result<T, Unanswered>>),
    ) -> Result<T, Unanswered> {
        let unavailable = |reason: &str| Unanswered::Failed(ReadError::Unavailable(reason.to_owned()));
        let queue = self.route.questions(partition).ok_or_else(|| unavailable(DOWN))?;
        queue.send(asking.into()).await.map_err(|_| unavailable(DOWN))?;
        answered.await.map_err(|_| unavailable(LOST))?
    }
}

impl Broker for RedisBroker {
    fn publish(&self, publishing: Publishing) -> BoxFuture<'static, Result<Accepted, PublishError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.publish(publishing).await })
    }

    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>> {
        let (name, partition) = (self.shared.names.channel(channel), Partition::of(channel));
        let refusal = || SubscribeError::Unavailable(DOWN.to_owned());
        Box::pin(self.shared.interest.subscribe(name, partition, Instant::now() + ANSWER_WITHIN, refusal))
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.shared.interest.unsubscribe(&self.shared.names.channel(channel));
    }

    fn history(&self, query: Query, retention: Retention) -> BoxFuture<'static, Result<Page, ReadError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let since = Instant::now();
            let outcome = shared.read(query, retention).await;
            shared.metrics.history(&outcome, since.elapsed());
            outcome
        })
    }

    fn change_members(&self, changes: Changes) -> Answered<Changed> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.change_members(changes).await })
    }

    fn members(&self, roll: Roll) -> Answered<Members> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.members(roll).await })
    }

    fn count_members(&self, channel: &ChannelName) -> Answered<Counts> {
        let (shared, channel) = (Arc::clone(&self.shared), channel.clone());
        Box::pin(async move { shared.count_members(channel).await })
    }

    fn show_life(&self) -> Answered<Shown> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.show_life().await })
    }

    fn lease(&self, lease: Lease) -> Answered<bool> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.lease(lease).await })
    }

    fn remove_members(&self, dead: DeadNode, at: u64) -> Answered<Removed> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.remove_members(dead, at).await })
    }

    fn resign(&self) -> Answered<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.resign().await })
    }

    fn link(&self) -> state::Receiver<LinkState> {
        self.shared.route.link()
    }

    fn link_to(&self, target: &Target) -> state::Receiver<LinkState> {
        self.shared.route.link_to(Partition::of_target(target))
    }
}
