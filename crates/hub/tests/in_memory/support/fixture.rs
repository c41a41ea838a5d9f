//! A running hub.

use super::{Client, gate::Gate, probe::Probe};
use fanwire_hub::{Activity, Admission, Clock, Entry, Hub, HubMetrics, Policy, ShardConfig, transport::Pipe};
use fanwire_protocol::{Compression, ConnectionId, Deflate, Delivery, Dialect, Dialects, Encoding, Event, NodeId};
use prometheus::{Registry, proto::MetricType};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::coop::unconstrained;

/// A pipe that never fills in a test that doesn't want it to.
const WIDE: usize = 1 << 20;

/// Waits until nobody has anything to do: with a paused clock, time passes only then.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A hub whose shards run, each behind a gate.
pub(crate) struct Fixture {
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    pub(crate) node: NodeId,
    gates: Vec<Gate>,
    registry: Registry,
    sequence: AtomicU64,
}

impl Fixture {
    /// A hub of one shard.
    pub(crate) fn start() -> Self {
        Self::with(1, |_| {})
    }

    /// A hub of `shards` shards with settings of its own. Unless set, heartbeats are a year apart.
    pub(crate) fn with(shards: usize, change: impl FnOnce(&mut ShardConfig)) -> Self {
        let (clock, node, registry) = (Clock::start(), NodeId::from_random(7), Registry::new());
        let year = Duration::from_secs(365 * 24 * 3600);
        let mut config = ShardConfig {
            node,
            clock,
            outbox_limit: 1 << 20,
            outbox_policy: Policy::Disconnect,
            heartbeat_interval: year,
            heartbeat_timeout: year,
            close_timeout: Duration::from_secs(5),
        };
        change(&mut config);
        let dialects = Dialects::default().compressed(Some(Deflate { level: 1, least: 100 }));
        let metrics = HubMetrics::new(&registry).unwrap();
        let (hub, shards) = Hub::new(&config, &dialects, &metrics, shards);
        let gates = shards.into_iter().map(|shard| {
            let gate = Gate::default();
            // A pipe spends its task's budget at each write, as a socket does not.
            tokio::spawn(unconstrained(gate.clone().hold(shard.run())));
            gate
        });
        Self { clock, node, gates: gates.collect(), hub, registry, sequence: AtomicU64::new(0) }
    }

    /// A connection to the first shard.
    pub(crate) async fn connect(&self, dialect: Dialect) -> Client {
        self.connect_to(0, dialect, WIDE, None).await
    }

    /// A JSON connection whose messages may be compressed, within a window.
    pub(crate) async fn connect_compressed(&self, window: u8) -> Client {
        let compression = Compression::Deflate { window };
        self.connect_to(0, Encoding { dialect: Dialect::Json, compression }, WIDE, None).await
    }

    /// A JSON connection whose socket holds `capacity` bytes.
    pub(crate) async fn connect_narrow(&self, capacity: usize) -> Client {
        self.connect_to(0, Dialect::Json, capacity, None).await
    }

    /// Any connection.
    pub(crate) async fn connect_to(
        &self,
        shard: usize,
        encoding: impl Into<Encoding>,
        capacity: usize,
        greeting: Option<Event>,
    ) -> Client {
        self.enter(shard, encoding, capacity, Entry::Now(greeting)).await
    }

    /// Any connection, however it enters.
    pub(crate) async fn enter(
        &self,
        shard: usize,
        encoding: impl Into<Encoding>,
        capacity: usize,
        entry: Entry,
    ) -> Client {
        let Encoding { dialect, compression } = encoding.into();
        let (pipe, session, peer) = Pipe::new(capacity);
        let (transport, activity) = (Probe::new(pipe), Arc::new(Activity::default()));
        let id = ConnectionId(self.node, self.sequence.fetch_add(1, Relaxed) + 1);
        let admission = Admission {
            id,
            dialect,
            compression,
            transport: Arc::clone(&transport) as _,
            activity: Arc::clone(&activity),
            entry,
        };
        let handle = self.hub.shards()[shard].clone();
        let (key, place) = handle.connect(admission).await.unwrap();
        Client::new(handle, key, place, id, shard, activity, transport, session, peer, Arc::clone(self.hub.interest()))
    }

    /// `count` JSON connections that have joined `channel`.
    pub(crate) async fn subscribers(&self, count: usize, channel: &str) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let client = self.connect(Dialect::Json).await;
            client.join(channel).await;
            clients.push(client);
        }
        clients
    }

    /// Hands deliveries to the hub as if they came from the broker in one read.
    pub(crate) async fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        self.hub.deliver(deliveries.into_iter().collect()).await.unwrap();
    }

    /// Stops polling a shard, or goes on.
    pub(crate) fn stall(&self, shard: usize, stalled: bool) {
        self.gates[shard].stall(stalled);
    }

    /// Polls the first shard once while it is stalled: one turn, if it has more work than that.
    pub(crate) async fn turn(&self) {
        self.gates[0].grant();
        settle().await;
    }

    /// The value of a metric whose labels all have the value `label`, or that has none.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, label: &str) -> i64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("the metric is registered");
        let mut metrics = family.get_metric().iter();
        let metric = metrics.find(|metric| metric.get_label().iter().all(|pair| pair.value() == label)).unwrap();
        let is_gauge = family.get_field_type() == MetricType::GAUGE;
        let value = if is_gauge { metric.get_gauge().get_value() } else { metric.get_counter().get_value() };
        format!("{value}").parse().expect("what the hub counts is whole")
    }
}
