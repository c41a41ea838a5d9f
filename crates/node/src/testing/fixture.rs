//! A hub of one shard, and sessions on it.

use super::{Calls, Client, Scripted, token};
use crate::{
    Allow, Auth, Rate, Who,
    accept::Seat,
    auth::{Entrance, Identity},
    control::{self, Obedient},
    metrics::Metrics,
    namespaces::{Namespace, Namespaces},
    presence::{Keeper, Presence},
    readiness::Readiness,
    reads::Reads,
    relay,
    session::{Sessions, Upgraded},
    time::unix_micros,
    users::Users,
    websocket::Terms,
};
use fanwire_auth::Grant;
use fanwire_broker::{Broker, Feed, FeedItem, Retention, memory::MemoryBroker, metrics::BrokerMetrics};
use fanwire_hub::{Clock, Hub, HubMetrics, Policy, ShardConfig, transport::Pipe};
use fanwire_protocol::{
    ChannelName, Compression, ConnectionId, Deflate, Dialect, Dialects, Encoding, NodeId, UserId, frame::Limits,
};
use prometheus::{Registry, proto::MetricType};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::coop::unconstrained,
};

/// A pipe that never fills in a test that doesn't want it to.
const WIDE: usize = 1 << 20;

/// How many connections a fixture has room for.
const SEATS: usize = 16;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Waits until nobody has anything to do: with a paused clock, time passes only then.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Shards whose heartbeats are a day apart.
pub(crate) fn shard_config(clock: Clock, outbox_limit: usize) -> ShardConfig {
    ShardConfig {
        node: NodeId::from_random(7),
        clock,
        outbox_limit,
        outbox_policy: Policy::Disconnect,
        heartbeat_interval: DAY,
        heartbeat_timeout: DAY,
        close_timeout: Duration::from_secs(5),
    }
}

/// A running hub of one shard.
pub(crate) fn hub(metrics: &HubMetrics, clock: Clock, outbox_limit: usize) -> Hub {
    let config = shard_config(clock, outbox_limit);
    let (hub, shards) = Hub::new(&config, &Dialects::default(), metrics, 1);
    // A pipe spends its task's budget at each write, as a socket does not.
    shards.into_iter().for_each(|shard| drop(tokio::spawn(unconstrained(shard.run()))));
    hub
}

/// What does what other nodes tell, on a node that knows nobody.
pub(crate) fn obedient(hub: &Hub) -> Obedient {
    Obedient {
        node: NodeId::from_random(7),
        users: Users::default(),
        hub: hub.clone(),
        kept: control::kept(DAY),
        leeway: Duration::ZERO,
        missed: Arc::default(),
        place: Arc::default(),
    }
}

/// What a test may want to be otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) message_limit: usize,
    pub(crate) fragment_limit: usize,
    pub(crate) outbox_limit: usize,
    pub(crate) channel_limit: usize,
    /// How many publications are kept in the namespace `kept`, and of broadcasts.
    pub(crate) history: u32,
    /// Whether there is a keeper of presence.
    pub(crate) keeps: bool,
    pub(crate) auth: Option<Auth>,
    /// How many connections a user may have.
    pub(crate) user_limit: usize,
    pub(crate) command_rate: Option<Rate>,
    pub(crate) byte_rate: Option<Rate>,
    pub(crate) deflate: Option<Deflate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_limit: 64 << 10,
            fragment_limit: 100,
            outbox_limit: 1 << 20,
            channel_limit: 100,
            history: 0,
            keeps: true,
            auth: None,
            user_limit: usize::MAX,
            command_rate: None,
            byte_rate: None,
            deflate: None,
        }
    }
}

/// Sessions on a hub of one shard.
pub(crate) struct Fixture {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) registry: Registry,
    pub(crate) hub_metrics: HubMetrics,
    pub(crate) readiness: Readiness,
    seats: Arc<Semaphore>,
    /// The other end of a feed that brings nothing.
    _feed: Option<mpsc::Sender<FeedItem>>,
}

/// The default namespace keeps nothing, `kept` and `fixed` keep `size` publications, of which those of `fixed` can't be
/// recovered; `room` and, with a history, `hall` have presence.
pub(crate) fn namespaces(size: u32) -> Namespaces {
    let history = (size > 0).then_some(Retention { size, ttl: DAY });
    let names = [
        ("default", None, true, false),
        ("room", None, true, true),
        ("kept", history, true, false),
        ("fixed", history, false, false),
        ("hall", history, true, true),
    ];
    let named = |(name, history, recover, presence)| {
        let allow = Allow::default();
        (String::from(name), Namespace { history, recover, presence, join_leave: presence, allow })
    };
    let count = if size > 0 { names.len() } else { 2 };
    Namespaces {
        by_name: names.into_iter().take(count).map(named).collect(),
        broadcast: history,
        allow_broadcast: Who::default(),
    }
}

fn admitted(identity: Option<Identity>) -> Entrance {
    Entrance::Admitted(identity.map(Box::new))
}

impl Fixture {
    /// Sessions that publish through the memory broker.
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    /// The same with settings of its own.
    pub(crate) fn with(settings: Settings) -> Self {
        let registry = Registry::new();
        let (broker, feed) = MemoryBroker::start(BrokerMetrics::register(&registry).unwrap());
        Self::on(broker, feed, registry, settings)
    }

    /// Sessions whose broker answers when it is told to.
    pub(crate) fn scripted() -> (Self, Calls) {
        let (broker, calls) = Scripted::new();
        let (never, feed) = fanwire_broker::feed(1);
        let fixture = Self::on(broker, feed, Registry::new(), Settings { keeps: false, ..Settings::default() });
        (Self { _feed: Some(never), ..fixture }, calls)
    }

    /// Sessions whose broker answers when it is told to, and brings what it is told to; with a history of 100.
    pub(crate) fn scripted_with_history() -> (Self, Calls, mpsc::Sender<FeedItem>) {
        let (broker, calls) = Scripted::new();
        let (sender, feed) = fanwire_broker::feed(16);
        let settings = Settings { history: 100, keeps: false, ..Settings::default() };
        (Self::on(broker, feed, Registry::new(), settings), calls, sender)
    }

    fn on(broker: Arc<dyn Broker>, feed: Feed, registry: Registry, settings: Settings) -> Self {
        let clock = Clock::start();
        let hub_metrics = HubMetrics::new(&registry).unwrap();
        let hub = hub(&hub_metrics, clock, settings.outbox_limit);
        let (metrics, namespaces) = (Metrics::new(&registry).unwrap(), Arc::new(namespaces(settings.history)));
        let received_bytes = metrics.received_bytes.clone();
        let readiness = Readiness::new(broker.link(), &namespaces);
        let (follower, follows) = relay::follower();
        let users = Users::default();
        tokio::spawn(relay::relay(relay::Parts {
            feed,
            hub: hub.clone(),
            broker: Arc::clone(&broker),
            namespaces: Arc::clone(&namespaces),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            obedient: Obedient { users: users.clone(), ..obedient(&hub) },
            follows,
        }));
        let presence = Arc::new(Presence::new(metrics.presence.members.clone()));
        if settings.keeps {
            let (presence, broker) = (Arc::clone(&presence), Arc::clone(&broker));
            tokio::spawn(Keeper::new(presence, broker, Arc::clone(&namespaces), metrics.clone()).run());
        }
        let sessions = Sessions {
            node: NodeId::from_random(7),
            clock,
            hub,
            reads: Reads::new(Arc::clone(&broker)),
            follower,
            namespaces,
            presence,
            broker,
            dialects: Dialects::default().compressed(settings.deflate),
            auth: settings.auth,
            users,
            user_limit: settings.user_limit,
            leases: None,
            command_rate: settings.command_rate,
            byte_rate: settings.byte_rate,
            metrics,
            heartbeat_interval: DAY,
            reading: Terms {
                limits: Limits { message: settings.message_limit, fragments: settings.fragment_limit, ratio: 100 },
                clock,
                received_bytes,
            },
            outbox_limit: settings.outbox_limit,
            channel_limit: settings.channel_limit,
            info_limit: 1024,
            sequence: AtomicU64::new(1),
        };
        let (sessions, seats) = (Arc::new(sessions), Arc::new(Semaphore::new(SEATS)));
        Self { sessions, registry, hub_metrics, readiness, seats, _feed: None }
    }

    /// A JSON client that has been welcomed.
    pub(crate) async fn connect(&self) -> Client {
        self.connect_narrow(WIDE).await
    }

    /// A JSON client that has been welcomed, whose socket holds `capacity` bytes in each direction.
    pub(crate) async fn connect_narrow(&self, capacity: usize) -> Client {
        let mut client = self.connect_raw(Dialect::Json, capacity, &[]);
        assert_eq!(client.event().await["type"], "welcome");
        client
    }

    /// Any client, of which `read` arrived together with its request.
    pub(crate) fn connect_raw(&self, dialect: Dialect, capacity: usize, read: &[u8]) -> Client {
        self.connect_user(None, dialect, capacity, read)
    }

    /// Any client of a user.
    pub(crate) fn connect_user(&self, user: Option<&str>, dialect: Dialect, capacity: usize, read: &[u8]) -> Client {
        let id = self.sessions.next_id();
        let user = user.map(|user| UserId::parse(user).unwrap());
        let identity = user.map(|user| Identity::told(user, id, &self.sessions.users, usize::MAX).unwrap());
        self.serve((id, admitted(identity), 0), dialect, capacity, read)
    }

    /// Any client with which compression was agreed on.
    pub(crate) fn connect_compressed(&self, dialect: Dialect, capacity: usize, read: &[u8]) -> Client {
        let encoding = Encoding { dialect, compression: Compression::Deflate { window: 15 } };
        self.serve((self.sessions.next_id(), admitted(None), 0), encoding, capacity, read)
    }

    /// Any client, on any shard, be it one that is not there.
    pub(crate) fn connect_to(&self, shard: usize, dialect: Dialect, capacity: usize, read: &[u8]) -> Client {
        self.serve((self.sessions.next_id(), admitted(None), shard), dialect, capacity, read)
    }

    /// A JSON client that has come with a token which grants `grant`, and been welcomed.
    pub(crate) async fn connect_bearer(&self, grant: Grant) -> Client {
        let id = self.sessions.next_id();
        let identity = Identity::bearer(grant, id, &self.sessions.users, usize::MAX, unix_micros()).unwrap();
        let mut client = self.serve((id, admitted(Some(identity)), 0), Dialect::Json, WIDE, &[]);
        assert_eq!(client.event().await["type"], "welcome");
        client
    }

    /// The same with a token of these `claims`, which holds for so many seconds.
    pub(crate) async fn connect_bearer_of(&self, claims: Value, lasts: u32) -> Client {
        let auth = self.sessions.auth.as_ref().expect("there are tokens");
        self.connect_bearer(auth.verifier.verify(&token(claims, lasts)).await.unwrap()).await
    }

    /// A JSON client that has to send a token first.
    pub(crate) fn connect_newcomer(&self) -> Client {
        self.serve((self.sessions.next_id(), Entrance::Waiting, 0), Dialect::Json, WIDE, &[])
    }

    fn serve(
        &self,
        (id, entrance, shard): (ConnectionId, Entrance, usize),
        encoding: impl Into<Encoding>,
        capacity: usize,
        read: &[u8],
    ) -> Client {
        let Encoding { dialect, compression } = encoding.into();
        let (transport, reader, peer) = Pipe::new(capacity);
        let seat = self.seat();
        let client = Ipv4Addr::LOCALHOST.into();
        let read = read.to_vec();
        let upgraded = Upgraded { id, dialect, compression, entrance, client, transport, reader, read, shard, seat };
        Client::new(peer, tokio::spawn(Arc::clone(&self.sessions).serve(upgraded)))
    }

    /// A seat for a connection.
    pub(crate) fn seat(&self) -> Seat {
        Seat::take(&self.seats, true).unwrap()
    }

    /// Whether a channel has readers here.
    pub(crate) fn has_readers(&self, channel: &str) -> bool {
        let mut found = false;
        self.sessions.hub.interest().shards_of(&ChannelName::parse(channel).unwrap(), |_| found = true);
        found
    }

    /// Asserts that no connection has left anything behind.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.seats.available_permits(), SEATS, "a seat is taken");
        assert_eq!(self.metric("fanwire_connections", "json"), 0, "the shard holds a connection");
        assert_eq!(self.metric("fanwire_subscriptions", ""), 0, "the shard holds a subscription");
        assert_eq!(self.metric("fanwire_outbox_bytes", ""), 0, "an outbox holds something");
    }

    /// The value of the metric whose label, if it has one, has the value `label`.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("the metric is registered");
        let mut metrics = family.get_metric().iter();
        let metric = metrics.find(|metric| metric.get_label().iter().all(|pair| pair.value() == label)).unwrap();
        let is_gauge = family.get_field_type() == MetricType::GAUGE;
        let value = if is_gauge { metric.get_gauge().get_value() } else { metric.get_counter().get_value() };
        format!("{value}").parse().expect("what is counted is whole")
    }
}
