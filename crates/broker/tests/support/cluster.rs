//! A Redis Cluster of a test's own, of primaries alone.

use super::{server::Server, soon};
use fanwire_broker::redis::RedisServers;
use std::time::Duration;
use tokio::time::sleep;

const SLOTS: u16 = 16_384;

/// Ends with the test.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// Servers that share all slots evenly.
    pub(crate) async fn start(count: u16) -> Self {
        Self::with(count, &[]).await
    }

    pub(crate) async fn with(count: u16, options: &[&str]) -> Self {
        let mut servers = Vec::new();
        for number in 0..count {
            let server = Server::start(
                &[
                    &[
                        "--cluster-enabled",
                        "yes",
                        "--cluster-announce-ip",
                        "127.0.0.1",
                        "--cluster-node-timeout",
                        "2000",
                        "--cluster-require-full-coverage",
                        "no",
                        "--cluster-port",
                        &free().to_string(),
                    ],
                    options,
                ]
                .concat(),
            )
            .await;
            let (first, end) = (share(number, count), share(number + 1, count));
            server.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1)).await;
            server.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
            servers.push(server);
        }
        let cluster = Self { servers };
        cluster.join().await;
        cluster
    }

    async fn join(&self) {
        let first = &self.servers[0];
        let bus = first.option("--cluster-port");
        for server in &self.servers[1..] {
            server.ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port())).await;
        }
        soon("a cluster", async {
            while !self.agrees().await {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    async fn agrees(&self) -> bool {
        for server in &self.servers {
            let info = server.ask("CLUSTER INFO").await;
            let known = format!("cluster_known_nodes:{}", self.servers.len());
            if !["cluster_state:ok", "cluster_slots_ok:16384", &known].iter().all(|part| info.contains(part)) {
                return false;
            }
        }
        true
    }

    /// What a node is told: one server, which knows the others.
    pub(crate) fn config(&self) -> RedisServers {
        RedisServers::Cluster(vec![self.servers[0].url()])
    }

    /// The number of the server that has the slot of a channel.
    pub(crate) async fn owner(&self, channel: &str) -> usize {
        let slot = slot(channel);
        for (number, server) in self.servers.iter().enumerate() {
            let mine = server.ask("CLUSTER NODES").await;
            let mine = mine.lines().find(|line| line.contains("myself")).unwrap().to_owned();
            let has = |range: &str| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse::<u16>().is_ok_and(|first| (first..=last.parse().unwrap()).contains(&slot))
            };
            if mine.split(' ').skip(8).any(has) {
                return number;
            }
        }
        panic!("nobody has slot {slot}")
    }

    /// Names of channels in different slots of one server.
    pub(crate) async fn channels_at(&self, server: usize, count: usize) -> Vec<String> {
        let mut channels: Vec<String> = Vec::new();
        for n in 0..1_000 {
            let name = format!("room:{n}");
            let is_new = channels.iter().all(|channel| slot(channel) != slot(&name));
            if channels.len() < count && is_new && self.owner(&name).await == server {
                channels.push(name);
            }
        }
        assert_eq!(channels.len(), count);
        channels
    }

    /// Moves the slot of a channel, with its keys.
    pub(crate) async fn migrate(&self, channel: &str, to: usize) {
        let (slot, from) = (slot(channel), self.owner(channel).await);
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (from, to) = (id(source).await, id(target).await);
        target.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}")).await;
        source.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}")).await;
        let keys = source.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).await;
        for key in keys.lines().filter(|line| line.starts_with("fanwire")) {
            source.ask(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", target.port())).await;
        }
        for server in [target, source].into_iter().chain(&self.servers) {
            server.ask(&format!("CLUSTER SETSLOT {slot} NODE {to}")).await;
        }
    }

    /// What all servers answer to a command.
    pub(crate) async fn ask(&self, command: &str) -> String {
        let mut answers = String::new();
        for server in &self.servers {
            answers += &server.ask(command).await;
        }
        answers
    }
}

async fn id(server: &Server) -> String {
    server.ask("CLUSTER MYID").await.lines().nth(1).unwrap().to_owned()
}

fn share(number: u16, count: u16) -> u16 {
    u16::try_from(u32::from(SLOTS) * u32::from(number) / u32::from(count)).unwrap()
}

fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The slot of a channel: of its partition's number, which is its hash tag.
pub(crate) fn slot(channel: &str) -> u16 {
    let tag = (crc32fast::hash(channel.as_bytes()) % 1_024).to_string();
    let step = |sum: u16, byte: u8| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| (sum << 1) ^ if sum & 0x8000 == 0 { 0 } else { 0x1021 })
    };
    tag.bytes().fold(0, step) % SLOTS
}
