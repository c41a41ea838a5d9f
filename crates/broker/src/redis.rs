//! The Redis broker: joins any number of nodes through Redis Pub/Sub.
//!
//! ```text
//! publish ── gate ── publisher ══ publishing connection ══ Redis ══ subscriber link ══ reader ── outlet ── feed
//!                    heartbeat ══╯                         ║ ╰═════ writer ── interest ── subscribe
//! history ── gate ── histories ════ reading connection ════╝
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `access` | the way to Redis, checked, and which server is to be used now |
//! | `backoff` | how long to wait before the link is made again |
//! | `batch` | publications that are sent together |
//! | `connect` | the two connections of a link |
//! | `dialogue` | one question, one answer: how a connection begins |
//! | `end` | how a link ends |
//! | `endpoint` | a place where a server is, and how to log in there |
//! | `gate` | the way to what works for the link that is up |
//! | `heartbeat` | what shows that a link works all the way round |
//! | `inspect` | trying whether a node could work with a Redis |
//! | `histories` | reading histories |
//! | `interest` | subscriptions, shared by those who want and the link that provides |
//! | `job` | a publication that is to be sent |
//! | `keep` | how a publication is kept |
//! | `link` | making the link, watching it, and making it again |
//! | `missed` | publications that must be sent again, since Redis had forgotten the script |
//! | `names` | names of Redis keys and channels |
//! | `outlet` | from the reader into the feed |
//! | `publisher` | publishing, in order |
//! | `question` | a part of a history that is asked for |
//! | `reader`, `writer` | the halves of the subscriber link |
//! | `refusal` | what Redis refuses, and what helps |
//! | `reply` | what Redis says on the subscriber link |
//! | `rights` | what a node's user must be allowed to do |
//! | `sentinel` | asking Sentinels for the primary |
//! | `settings` | how a node is told to join a cluster |
//! | `standing` | what a server is |
//! | `stream` | TCP, TLS, or a Unix socket |
//! | `script` | what Redis runs, and when an epoch begins |
//! | `subscriptions` | what is desired and what is so |
//! | `ticket` | the answer that is owed for a publication |
//! | `tls` | certificates |
//! | `watch` | whether the subscriber link lives |
//! | `window` | since when messages may have been lost |

mod access;
mod backoff;
mod batch;
mod connect;
mod dialogue;
mod end;
mod endpoint;
mod gate;
mod heartbeat;
mod histories;
mod inspect;
mod interest;
mod job;
mod keep;
mod link;
mod missed;
mod names;
mod outlet;
mod publisher;
mod question;
mod reader;
mod refusal;
mod reply;
mod rights;
mod script;
mod secret;
mod sentinel;
mod settings;
mod standing;
mod stream;
mod subscriptions;
mod ticket;
mod tls;
mod watch;
mod window;
mod writer;

pub use inspect::{Finding, inspect};
pub use settings::{InvalidRedisConfig, RedisConfig, RedisServers};
pub use tls::{InvalidTls, TlsFiles};

use crate::{
    Accepted, Broker, Feed, LinkState, Page, PublishError, Publishing, Query, ReadError, Retention, SubscribeError,
    envelope, feed, metrics::RedisMetrics,
};
use access::Access;
use fanwire_protocol::{ChannelName, NodeId};
use futures_util::future::BoxFuture;
use gate::Gate;
use interest::Interest;
use job::Job;
use keep::Keep;
use names::Names;
use question::Question;
use reply::MAX_PAYLOAD;
use std::sync::Arc;
use ticket::{ANSWER_WITHIN, Ticket};
use tokio::{
    sync::watch as state,
    time::{Instant, timeout_at},
};
use window::Window;

/// How many items the feed holds. A few keep the reader busy; more would only be older when they are relayed.
const FEED: usize = 4;

/// What clients are told. The details are not for them: [`Broker::link`] has those.
const DOWN: &str = "the link to Redis is down";

/// What those who asked something are told whose question went down with the link.
const LOST: &str = "the link to Redis ended";

/// Joins nodes through Redis Pub/Sub: at most once, in order, with every loss that a node can know of told as a gap.
#[derive(Debug)]
pub struct RedisBroker {
    shared: Arc<Shared>,
}

/// What those who use the broker and the link have in common.
#[derive(Debug)]
struct Shared {
    node: NodeId,
    names: Names,
    link: state::Sender<LinkState>,
    gate: Gate<Job>,
    queries: Gate<Question>,
    interest: Arc<Interest>,
    window: Window,
    metrics: Arc<RedisMetrics>,
}

impl RedisBroker {
    /// A broker, its feed, and the future that makes and keeps its link; nothing happens until that is polled. It needs
    /// a tokio runtime, runs until the feed is dropped, and takes everything along that works for the link when it is
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
        let link = link::Link { shared: Arc::clone(&shared), access, feed };
        Ok((Arc::new(Self { shared }), receiver, link.keep()))
    }
}

impl Shared {
    fn new(config: &RedisConfig, database: i64, metrics: RedisMetrics) -> Self {
        let names = Names::new(&config.prefix, database);
        let metrics = Arc::new(metrics);
        let always = [names.broadcast(), names.heartbeat(config.node)];
        Self {
            node: config.node,
            link: state::Sender::new(LinkState::Starting("not yet connected to Redis".to_owned())),
            gate: Gate::default(),
            queries: Gate::default(),
            interest: Arc::new(Interest::new(always, Arc::clone(&metrics))),
            window: Window::default(),
            names,
            metrics,
        }
    }

    /// The state of the link when it, or an attempt to make it, has ended because of `reason`.
    fn link_after(&self, reason: &str) -> LinkState {
        self.link.borrow().ended(reason.to_owned())
    }

    async fn publish(&self, publishing: Publishing) -> Result<Accepted, PublishError> {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let Some(queue) = self.gate.queue() else { return Err(ticket.refuse(DOWN)) };
        let payload = match self.payload(&publishing) {
            Ok(payload) => payload,
            Err(reason) => return Err(ticket.refuse(reason)),
        };
        match timeout_at(ticket.deadline(), queue.reserve()).await {
            Ok(Ok(place)) => {
                place.send(self.job(&publishing, payload, ticket));
                Ok(accepted)
            }
            Ok(Err(_)) => Err(ticket.refuse(DOWN)),
            Err(_) => Err(ticket.refuse("too many publications are on their way to Redis")),
        }
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
        Job { name: self.names.target(target), payload, keep, ticket }
    }

    async fn read(&self, query: Query, retention: Retention, deadline: Instant) -> Result<Page, ReadError> {
        let unavailable = |reason: &str| ReadError::Unavailable(reason.to_owned());
        let queue = self.queries.queue().ok_or_else(|| unavailable(DOWN))?;
        let (question, answered) = Question::new(&self.names, query, retention, Arc::clone(&self.metrics));
        let asked = async {
            queue.send(question).await.map_err(|_| unavailable(DOWN))?;
            answered.await.map_err(|_| unavailable(LOST))?
        };
        timeout_at(deadline, asked).await.unwrap_or(Err(ReadError::Timeout))
    }
}

impl Broker for RedisBroker {
    fn publish(&self, publishing: Publishing) -> BoxFuture<'static, Result<Accepted, PublishError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.publish(publishing).await })
    }

    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>> {
        let name = self.shared.names.channel(channel);
        let refusal = || SubscribeError::Unavailable(DOWN.to_owned());
        Box::pin(self.shared.interest.subscribe(name, Instant::now() + ANSWER_WITHIN, refusal))
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.shared.interest.unsubscribe(&self.shared.names.channel(channel));
    }

    fn history(&self, query: Query, retention: Retention) -> BoxFuture<'static, Result<Page, ReadError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let since = Instant::now();
            let outcome = shared.read(query, retention, since + ANSWER_WITHIN).await;
            shared.metrics.history(&outcome, since.elapsed());
            outcome
        })
    }

    fn link(&self) -> state::Receiver<LinkState> {
        self.shared.link.subscribe()
    }
}
