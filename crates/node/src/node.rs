//! The node from start to the end of its drain.

use crate::{
    NodeConfig, Readiness,
    accept::{self, Acceptor, Room},
    addresses::Addresses,
    control::{self, Listener, Obedient},
    fresh::{Reloading, Watched, keep_fresh},
    internal::{self, Internal},
    jwks::{JwksMetrics, KeyKeeper},
    key_files::{self, KeyMetrics},
    memory::{Shortage, Watch},
    metrics::Metrics,
    origins::Scheme,
    presence::{Keeper, Leases, Presence},
    readiness::Need,
    reads::Reads,
    relay::{self, Follower},
    session::Sessions,
    threads::ShardThreads,
    tls::{HandshakeThreads, Terminator, TlsPorts},
    upgrade::{Unheard, Upgrades},
    users::Users,
    websocket,
};
use fanwire_auth::{InvalidApiKey, InvalidKey};
use fanwire_broker::{Broker, Feed, ReadError};
use fanwire_hub::{Clock, Hub, HubMetrics, ShardConfig, ShardGone};
use fanwire_protocol::{Dialects, frame::Limits};
use fanwire_tls::InvalidTls;
use futures_util::{FutureExt, future::BoxFuture};
use prometheus::Registry;
use std::{
    fmt, io,
    net::TcpListener,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

/// What a failed shard is called.
const SHARD: &str = "shard";

/// How long a node that has drained waits for the broker to know that nobody is there any more. Without that others
/// find it out.
const RESIGN: Duration = Duration::from_secs(2);

/// The node's link to its broker.
pub struct Link {
    /// Where publications go.
    pub broker: Arc<dyn Broker>,
    /// Where they come from.
    pub feed: Feed,
    /// What keeps the link alive; runs as long as the node.
    pub driver: BoxFuture<'static, ()>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The bound sockets of a node.
#[derive(Debug)]
pub struct Listeners {
    /// The public port.
    pub public: TcpListener,
    /// The internal port.
    pub internal: TcpListener,
}

/// Why a node can't run, or not any longer.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The system refused a thread, a socket or the like.
    #[error("the system refused what the node needs: {0}")]
    System(#[from] io::Error),
    /// Certificates can't be used.
    #[error("TLS: {0}")]
    Tls(#[from] InvalidTls),
    /// Keys of tokens can't be used.
    #[error("auth.keys: {0}")]
    TokenKeys(#[from] InvalidKey),
    /// Keys of the API can't be used.
    #[error("api.keys: {0}")]
    ApiKeys(#[from] InvalidApiKey),
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A part of the node ended that must run as long as it does.
    #[error("the node's {0} has ended, so the node does")]
    PartEnded(&'static str),
}

/// How a node that was told to stop came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every connection was closed.
    Drained,
    /// `drain.deadline` came first.
    Deadline {
        /// How many sessions were left.
        sessions: usize,
    },
    /// It was told to stop a second time.
    Forced {
        /// How many sessions were left.
        sessions: usize,
    },
}

/// A running node.
pub struct Node {
    config: NodeConfig,
    hub: Hub,
    readiness: Readiness,
    tracker: TaskTracker,
    /// Who is to be gone at the broker when the node is; `None` where there is neither presence nor a lease.
    present: Option<(Arc<Presence>, Arc<dyn Broker>)>,
    reloading: Reloading,
    /// Where handshakes are made, if the public port has TLS; they outlive the acceptor.
    _handshakes: Option<HandshakeThreads>,
    /// Accepts connections until the drain.
    acceptor: JoinSet<()>,
    /// Everything else that runs as long as the node; each resolves to its name.
    parts: JoinSet<&'static str>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node; must be called on a tokio runtime. It serves until [`Self::run`] returns or is dropped.
    pub fn start(config: NodeConfig, link: Link, listeners: Listeners, registry: Registry) -> Result<Self, NodeError> {
        let listener = accept::prepare(listeners.public, config.outbox_kernel)?;
        let (metrics, hub_metrics) = (Metrics::new(&registry)?, HubMetrics::new(&registry)?);
        let dialects = Dialects::new(config.templates.clone(), config.without_subprotocol).compressed(config.deflate);
        let clock = Clock::start();
        let (hub, shards) = Hub::new(&shard_config(&config, clock), &dialects, &hub_metrics, config.shards);
        let threads = ShardThreads::start(shards)?;
        let tls = TlsPorts::load(&config, &registry)?;
        let watched = watched(&config, &tls, &registry)?;
        let readiness = Readiness::new(link.broker.link(), &config.namespaces);
        let key_keeper = key_keeper(&config, &readiness, JwksMetrics::new(&registry)?);
        let tracker = TaskTracker::new();
        let (follower, follows) = relay::follower();
        let sessions = sessions(&config, clock, &hub, &link.broker, follower, dialects, &metrics);
        let keeper = (config.namespaces.have_presence() || sessions.leases.is_some()).then(|| {
            let (presence, namespaces) = (Arc::clone(&sessions.presence), Arc::clone(&sessions.namespaces));
            Keeper::new(presence, Arc::clone(&link.broker), namespaces, metrics.clone())
        });
        let present = keeper.as_ref().map(|_| (Arc::clone(&sessions.presence), Arc::clone(&link.broker)));
        let obedient = Obedient {
            node: config.node,
            users: sessions.users.clone(),
            hub: hub.clone(),
            kept: control::kept(config.revocation),
            leeway: config.leeway,
            missed: Arc::default(),
            place: Arc::default(),
        };
        if config.auth.is_some() {
            readiness.needs(Need::Revocations);
        }
        let listening = Listener {
            broker: Arc::clone(&link.broker),
            obedient: obedient.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
        };
        let relay = relay::Parts {
            feed: link.feed,
            hub: hub.clone(),
            broker: link.broker,
            namespaces: Arc::clone(&sessions.namespaces),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            obedient,
            follows,
        };
        let shortage = Shortage::default();
        let upgrades = Upgrades {
            sessions: Arc::new(sessions),
            metrics: metrics.clone(),
            proxies: config.trusted_proxies.clone(),
            forwarded_header: config.forwarded_header,
            proxy_protocol: config.proxy_protocol,
            user_header: config.user_header.clone(),
            origins: config.origins.clone(),
            addresses: Addresses::new(config.address_limits, clock),
            head_limit: config.head_limit,
            header_limit: config.header_limit,
            readiness: readiness.clone(),
            shortage: shortage.clone(),
            handshake_timeout: config.handshake_timeout,
            unheard: Unheard::of(config.connection_limit, config.handshake_limit),
            tracker: tracker.clone(),
        };
        let room = Room { connections: config.connection_limit, refusals: config.refusal_limit };
        let watch = Watch {
            limits: config.memory_limits,
            shortage,
            hub: hub.clone(),
            hub_metrics,
            outbox_limit: config.outbox_limit,
            metrics: metrics.memory.clone(),
        };
        let (runtimes, reloading) = (threads.handles(), Reloading::default());
        let acceptor = Acceptor::new(listener, Arc::new(upgrades), tls.public(), runtimes, room, metrics.clone());
        let (broker, keys) = (Arc::clone(&relay.broker), config.api_keys.clone());
        let scheme = if config.internal_tls.is_some() { Scheme::Https } else { Scheme::Http };
        let (kept, users) = (relay.obedient.kept, relay.obedient.users.clone());
        let internal = Internal { readiness: readiness.clone(), registry, metrics, broker, kept, users, keys, scheme };
        let internal =
            internal::serve(listeners.internal, tls.internal(), config.handshake_timeout, internal::router(internal))?;
        let mut parts = start_parts(relay, listening, link.driver, threads, internal);
        start_part(&mut parts, "watch of memory", watch.run());
        if !watched.is_empty() {
            start_part(&mut parts, "watch of files", keep_fresh(watched, reloading.clone()));
        }
        key_keeper.into_iter().for_each(|keeper| start_part(&mut parts, "reading of auth.jwks", keeper.run()));
        keeper.into_iter().for_each(|keeper| start_part(&mut parts, "presence", keeper.run()));
        let mut accepting = JoinSet::new();
        accepting.spawn(acceptor.run());
        let _handshakes = tls.handshakes;
        Ok(Self { config, hub, readiness, tracker, present, reloading, _handshakes, acceptor: accepting, parts })
    }

    /// What makes the node read its certificates and keys again.
    pub fn reloading(&self) -> &Reloading {
        &self.reloading
    }

    /// Whether the node wants connections.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Runs until `stop` says to stop, then drains; a second word ends the drain. A sender that was dropped says
    /// nothing.
    pub async fn run(mut self, mut stop: mpsc::Receiver<()>) -> Result<Stopped, NodeError> {
        tokio::select! {
            Some(()) = stop.recv() => {}
            Some(_) = self.acceptor.join_next() => return Err(NodeError::PartEnded("acceptor")),
            Some(part) = self.parts.join_next() => return Err(part_ended(part)),
        }
        let (tracker, mut parts) = (self.tracker.clone(), std::mem::take(&mut self.parts));
        let deadline = Instant::now() + self.config.drain_deadline;
        tokio::select! {
            drained = timeout_at(deadline, self.drain()) => match drained {
                Ok(Ok(())) => Ok(Stopped::Drained),
                Ok(Err(ShardGone)) => Err(NodeError::PartEnded(SHARD)),
                Err(_) => Ok(Stopped::Deadline { sessions: tracker.len() }),
            },
            Some(part) = parts.join_next() => Err(part_ended(part)),
            Some(()) = stop.recv() => Ok(Stopped::Forced { sessions: tracker.len() }),
        }
    }

    /// Not ready, then deaf, then empty.
    async fn drain(mut self) -> Result<(), ShardGone> {
        self.readiness.drain();
        self.tracker.close();
        tracing::info!(connections = self.tracker.len(), "draining");
        let grace_ends = Instant::now() + self.config.drain_grace;
        tokio::select! {
            () = sleep_until(grace_ends) => {}
            () = self.tracker.wait() => {}
        }
        self.acceptor.shutdown().await;
        self.hub.drain(self.config.drain_window).await?;
        self.tracker.wait().await;
        if let Some((presence, broker)) = &self.present {
            // What fails is left to others.
            let _ = timeout(RESIGN, resign(presence, broker)).await;
        }
        Ok(())
    }
}

async fn resign(presence: &Presence, broker: &Arc<dyn Broker>) -> Result<(), ReadError> {
    presence.emptied().await;
    broker.resign().await
}

/// What is made of files: certificates, and keys.
fn watched(config: &NodeConfig, tls: &TlsPorts, registry: &Registry) -> Result<Vec<Watched>, NodeError> {
    let metrics = KeyMetrics::new(registry)?;
    let verifier = config.auth.as_ref().map(|auth| &auth.verifier);
    let tokens = verifier.map(|verifier| key_files::watch_tokens(verifier, &metrics)).transpose()?.flatten();
    let api = key_files::watch_api(&config.api_keys, &metrics)?;
    Ok(tls.terminators.iter().map(Terminator::watched).chain(tokens).chain(api).collect())
}

/// What keeps keys that are published, if any are.
fn key_keeper(config: &NodeConfig, readiness: &Readiness, metrics: JwksMetrics) -> Option<KeyKeeper> {
    let (auth, jwks) = (config.auth.as_ref()?, config.jwks.clone()?);
    let keys = Arc::clone(auth.verifier.published()?);
    readiness.needs(Need::Keys);
    Some(KeyKeeper { jwks, keys, readiness: readiness.clone(), metrics })
}

fn shard_config(config: &NodeConfig, clock: Clock) -> ShardConfig {
    ShardConfig {
        node: config.node,
        clock,
        outbox_limit: config.outbox_limit,
        outbox_policy: config.outbox_policy,
        heartbeat_interval: config.heartbeat_interval,
        heartbeat_timeout: config.heartbeat_timeout,
        close_timeout: config.close_timeout,
    }
}

fn sessions(
    config: &NodeConfig,
    clock: Clock,
    hub: &Hub,
    broker: &Arc<dyn Broker>,
    follower: Follower,
    dialects: Dialects,
    metrics: &Metrics,
) -> Sessions {
    let presence = Arc::new(Presence::new(metrics.presence.members.clone()));
    let leases = config
        .everywhere
        .map(|everywhere| Leases::new(Arc::clone(&presence), Arc::clone(broker), everywhere, metrics.leases.clone()));
    Sessions {
        node: config.node,
        clock,
        hub: hub.clone(),
        broker: Arc::clone(broker),
        reads: Reads::new(Arc::clone(broker)),
        follower,
        namespaces: Arc::new(config.namespaces.clone()),
        presence,
        dialects,
        auth: config.auth.clone(),
        users: Users::default(),
        user_limit: config.user_limit.unwrap_or(usize::MAX),
        leases,
        command_rate: config.command_rate,
        byte_rate: config.byte_rate,
        metrics: metrics.clone(),
        heartbeat_interval: config.heartbeat_interval,
        reading: websocket::Terms {
            limits: Limits {
                message: config.message_limit,
                fragments: config.fragment_limit,
                ratio: config.inflate_ratio,
            },
            clock,
            received_bytes: metrics.received_bytes.clone(),
        },
        outbox_limit: config.outbox_limit,
        channel_limit: config.channel_limit,
        info_limit: config.info_limit,
        sequence: AtomicU64::new(1),
    }
}

fn start_parts(
    relay: relay::Parts,
    listener: Listener,
    driver: BoxFuture<'static, ()>,
    threads: ShardThreads,
    internal: BoxFuture<'static, ()>,
) -> JoinSet<&'static str> {
    let mut parts = JoinSet::new();
    start_part(&mut parts, SHARD, threads.any_ended());
    start_part(&mut parts, "link to the broker", driver);
    start_part(&mut parts, "listening to other nodes", listener.listen());
    start_part(&mut parts, "relay", relay::relay(relay));
    start_part(&mut parts, "internal port", internal);
    parts
}

/// Runs what should never end; resolves to its name when it does, by a panic too.
fn start_part<T>(
    parts: &mut JoinSet<&'static str>,
    name: &'static str,
    part: impl Future<Output = T> + Send + 'static,
) {
    parts.spawn(AssertUnwindSafe(part).catch_unwind().map(move |_| name));
}

fn part_ended(part: Result<&'static str, JoinError>) -> NodeError {
    NodeError::PartEnded(part.unwrap_or("cancelled part"))
}

#[cfg(test)]
mod tests;
