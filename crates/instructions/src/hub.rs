//! A shard and its connections, which are TCP sockets whose peers don't read: what is written here fits their buffers.

use crate::{
    Case, measured,
    protocol::{CONTENT, channel},
};
use fanwire_hub::{Activity, Admission, Clock, ConnectionKey, Entry, Hub, HubMetrics, Policy, ShardConfig, Tcp};
use fanwire_protocol::{Compression, ConnectionId, Content, Delivery, Dialect, Dialects, NodeId, Publication, Target};
use prometheus::Registry;
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::sleep,
};

/// How many connections there are.
const CONNECTIONS: usize = 200;

/// More turns than anything here takes.
const TURNS: usize = 64;

/// How often something is fanned out to all of them.
const ROUNDS: usize = 10;

/// Time from ping to ping, short enough for several connections to be pinged at each moment of it.
const INTERVAL: Duration = Duration::from_millis(64);

/// Longer than anything here takes.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) const CASES: &[Case] = &[
    Case { name: "fan-out", run: || fan_out(1) },
    Case { name: "fan-out-of-10", run: || fan_out(10) },
    Case { name: "fan-out-to-1", run: channels },
    Case { name: "join-and-leave", run: join_and_leave },
    Case { name: "heartbeat", run: heartbeat },
];

/// A hub of one shard with [`CONNECTIONS`].
struct Bed {
    runtime: Runtime,
    registry: Registry,
    hub: Hub,
    keys: Vec<ConnectionKey>,
    /// Held, so that nothing ends.
    _peers: Vec<TcpStream>,
}

fn config(heartbeat_interval: Duration) -> ShardConfig {
    ShardConfig {
        node: NodeId::from_random(7),
        clock: Clock::start(),
        outbox_limit: 1 << 20,
        outbox_policy: Policy::Disconnect,
        heartbeat_interval,
        heartbeat_timeout: NEVER,
        close_timeout: NEVER,
    }
}

/// Lets the shard do all that it can do.
async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

impl Bed {
    fn new(heartbeat_interval: Duration) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let registry = Registry::new();
        let metrics = HubMetrics::new(&registry).unwrap();
        let (hub, shards) =
            runtime.block_on(async { Hub::new(&config(heartbeat_interval), &Dialects::default(), &metrics, 1) });
        shards.into_iter().for_each(|shard| drop(runtime.spawn(shard.run())));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connected = runtime.block_on(async {
            let mut connected = Vec::new();
            for sequence in 0..CONNECTIONS as u64 {
                connected.push(connect(&hub, &listener, sequence).await);
            }
            connected
        });
        let (keys, peers) = connected.into_iter().unzip();
        Self { runtime, registry, hub, keys, _peers: peers }
    }

    /// What a counter without labels says.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of what was done here")]
    fn counter(&self, name: &str) -> usize {
        let families = self.registry.gather();
        families.iter().find(|family| family.name() == name).unwrap().get_metric()[0].get_counter().get_value() as usize
    }

    /// How many deliveries there were, which must be `expected`.
    fn delivered(&self, expected: usize) -> usize {
        let deliveries = self.counter("fanwire_deliveries_total");
        assert_eq!(deliveries, expected);
        deliveries
    }

    fn subscribe(&self, key: ConnectionKey, name: &str) {
        let subscription = self.hub.interest().subscribe(&channel(name), 0);
        self.runtime.block_on(async {
            self.hub.shards()[0].join(key, subscription, None).await.unwrap();
            settle().await;
        });
    }
}

async fn connect(hub: &Hub, listener: &TcpListener, sequence: u64) -> (ConnectionKey, TcpStream) {
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let admission = Admission {
        id: ConnectionId(NodeId::from_random(7), sequence),
        dialect: Dialect::Json,
        compression: Compression::Never,
        transport: Tcp::new(tokio::net::TcpStream::from_std(stream).unwrap()),
        activity: Arc::new(Activity::default()),
        entry: Entry::Now(None),
    };
    (hub.shards()[0].connect(admission).await.unwrap().0, peer)
}

fn delivery(name: &str) -> Delivery {
    let publication = Publication::new(Target::Channel(channel(name)), Content::json(CONTENT).unwrap());
    Delivery { publication: Arc::new(publication), except: None, published_at: 1 }
}

/// Publications to all connections, `together` at a time.
fn fan_out(together: usize) -> usize {
    let bed = Bed::new(NEVER);
    bed.keys.iter().for_each(|key| bed.subscribe(*key, "news"));
    let batches: Vec<Vec<_>> = (0..ROUNDS).map(|_| (0..together).map(|_| delivery("news")).collect()).collect();
    measured(|| {
        bed.runtime.block_on(async {
            for batch in batches {
                bed.hub.deliver(batch).await.unwrap();
                // One turn serves 128 connections.
                for _ in 0..4 {
                    yield_now().await;
                }
            }
        });
    });
    bed.delivered(ROUNDS * together * CONNECTIONS)
}

/// A publication to each of many channels with one subscriber.
fn channels() -> usize {
    let bed = Bed::new(NEVER);
    let names: Vec<_> = (0..CONNECTIONS).map(|index| format!("channel-{index}")).collect();
    names.iter().zip(&bed.keys).for_each(|(name, key)| bed.subscribe(*key, name));
    let deliveries: Vec<_> = names.iter().map(|name| vec![delivery(name)]).collect();
    measured(|| {
        bed.runtime.block_on(async {
            for delivery in deliveries {
                bed.hub.deliver(delivery).await.unwrap();
                yield_now().await;
            }
        });
    });
    bed.delivered(CONNECTIONS)
}

fn join_and_leave() -> usize {
    let bed = Bed::new(NEVER);
    let (shard, news) = (&bed.hub.shards()[0], channel("news"));
    measured(|| {
        bed.runtime.block_on(async {
            for key in &bed.keys {
                shard.join(*key, bed.hub.interest().subscribe(&news, 0), None).await.unwrap();
                yield_now().await;
                shard.leave(*key, news.clone(), None).await.unwrap();
                yield_now().await;
            }
        });
    });
    let mut readers = 0;
    bed.hub.interest().shards_of(&news, |_| readers += 1);
    assert_eq!(readers, 0);
    CONNECTIONS
}

/// Pings for ten intervals; how many fall into them is up to the clock.
fn heartbeat() -> usize {
    let bed = Bed::new(INTERVAL);
    let before = bed.counter("fanwire_sent_bytes_total");
    measured(|| bed.runtime.block_on(async { sleep(10 * INTERVAL).await }));
    // A ping has two bytes.
    let pings = (bed.counter("fanwire_sent_bytes_total") - before) / 2;
    assert!(pings > 0);
    pings
}
