//! The Redis broker: joins any number of nodes through Redis Pub/Sub.
//!
//! ```text
//! publish ── gate ── publisher ══ publishing connection ══ Redis ══ subscriber link ══ reader ── outlet ── feed
//!                    heartbeat ══╯                           ╰═════ writer ── interest ── subscribe
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `backoff` | how long to wait before the link is made again |
//! | `batch` | publications that are sent together |
//! | `connect` | connecting and logging in |
//! | `end` | how a link ends |
//! | `endpoint` | where Redis is and how to log in |
//! | `gate` | the way to the publisher of the link that is up |
//! | `heartbeat` | what shows that a link works all the way round |
//! | `interest` | subscriptions, shared by those who want and the link that provides |
//! | `job` | a publication that is to be sent |
//! | `link` | making the link, watching it, and making it again |
//! | `names` | names of Redis keys and channels |
//! | `outlet` | from the reader into the feed |
//! | `publisher` | publishing, in order |
//! | `reader`, `writer` | the halves of the subscriber link |
//! | `reply` | what Redis says on the subscriber link |
//! | `subscriptions` | what is desired and what is so |
//! | `ticket` | the answer that is owed for a publication |
//! | `watch` | whether the subscriber link lives |
//! | `window` | since when messages may have been lost |

mod backoff;
mod batch;
mod connect;
mod end;
mod endpoint;
mod gate;
mod heartbeat;
mod interest;
mod job;
mod link;
mod names;
mod outlet;
mod publisher;
mod reader;
mod reply;
mod subscriptions;
mod ticket;
mod watch;
mod window;
mod writer;

pub use endpoint::{InvalidRedisConfig, RedisConfig};

use crate::{
    Accepted, Broker, Delivery, Feed, LinkState, PublishError, SubscribeError, envelope, feed, metrics::RedisMetrics,
};
use endpoint::Endpoint;
use fanwire_protocol::{ChannelName, NodeId};
use futures_util::future::BoxFuture;
use gate::Gate;
use interest::Interest;
use job::Job;
use names::Names;
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
    gate: Gate,
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
        let endpoint = Endpoint::parse(config)?;
        let shared = Arc::new(Shared::new(config, &endpoint, metrics));
        let (feed, receiver) = feed(FEED);
        let link = link::Link { shared: Arc::clone(&shared), endpoint, feed };
        Ok((Arc::new(Self { shared }), receiver, link.keep()))
    }
}

impl Shared {
    fn new(config: &RedisConfig, endpoint: &Endpoint, metrics: RedisMetrics) -> Self {
        let names = Names::new(&config.prefix, endpoint.database());
        let metrics = Arc::new(metrics);
        let always = [names.broadcast(), names.heartbeat(config.node)];
        Self {
            node: config.node,
            link: state::Sender::new(LinkState::Starting("not yet connected to Redis".to_owned())),
            gate: Gate::default(),
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

    async fn publish(&self, delivery: Delivery) -> Result<Accepted, PublishError> {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let Some(queue) = self.gate.queue() else { return Err(ticket.refuse(DOWN)) };
        let payload = match envelope::encode(self.node, &delivery) {
            Ok(payload) => payload,
            Err(error) => return Err(ticket.refuse(error.to_string())),
        };
        if payload.len() > MAX_PAYLOAD {
            return Err(
                ticket.refuse(format!("{} bytes are more than the {MAX_PAYLOAD} that go through Redis", payload.len()))
            );
        }
        match timeout_at(ticket.deadline(), queue.reserve()).await {
            Ok(Ok(place)) => {
                place.send(Job { name: self.names.target(&delivery.publication.target), payload, ticket });
                Ok(accepted)
            }
            Ok(Err(_)) => Err(ticket.refuse(DOWN)),
            Err(_) => Err(ticket.refuse("too many publications are on their way to Redis")),
        }
    }
}

impl Broker for RedisBroker {
    fn publish(&self, delivery: Delivery) -> BoxFuture<'static, Result<Accepted, PublishError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.publish(delivery).await })
    }

    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>> {
        let name = self.shared.names.channel(channel);
        let refusal = || SubscribeError::Unavailable(DOWN.to_owned());
        Box::pin(self.shared.interest.subscribe(name, Instant::now() + ANSWER_WITHIN, refusal))
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.shared.interest.unsubscribe(&self.shared.names.channel(channel));
    }

    fn link(&self) -> state::Receiver<LinkState> {
        self.shared.link.subscribe()
    }
}
