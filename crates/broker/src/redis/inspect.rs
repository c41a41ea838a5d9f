//! Tries whether a node could work with the Redis of a configuration.

use crate::redis::{
    access::{Access, Servers},
    cluster,
    dialogue::Dialogue,
    endpoint::Endpoint,
    heartbeat::Heartbeat,
    kind::Kind,
    names::{Name, Names},
    refusal,
    reply::server_text,
    rights, scout,
    sentinel::{self, Found, Sentinels},
    settings::{InvalidRedisConfig, RedisConfig},
    several::Several,
    slot::SLOTS,
    standing::Standing,
    topology::Topology,
};
use fanwire_protocol::NodeId;
use redis::Value;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long each step may take: longer than a node waits, so that what is slow can be told from what is not there.
const LIMIT: Duration = Duration::from_secs(3);

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: a server, or something that it must do.
    pub subject: String,
    /// What works, or what is wrong. Without secrets.
    pub outcome: Result<String, String>,
}

/// Connects to every server that `config` names and does there what a node does, under names of its own: nothing is
/// published to anybody, and the one key that is written is gone after 30 s.
///
/// # Errors
///
/// When the configuration is wrong in itself.
pub async fn inspect(config: &RedisConfig) -> Result<Vec<Finding>, InvalidRedisConfig> {
    let access = Access::new(config)?;
    let mut findings = Findings { access: &access, list: Vec::new() };
    let names = Names::new(&config.prefix, access.database());
    match access.tls().await {
        Ok(tls) => Look { names: &names, node: config.node, tls: tls.as_ref() }.look(&mut findings).await,
        Err(reason) => findings.add("certificates".to_owned(), Err(reason)),
    }
    Ok(findings.list)
}

struct Findings<'a> {
    access: &'a Access,
    list: Vec<Finding>,
}

impl Findings<'_> {
    /// How it went to connect to a server.
    fn connected(&mut self, subject: String, outcome: Result<String, String>) {
        self.add(subject, outcome.map_err(|reason| refusal::explained(&reason)));
    }

    /// Whether the user may do something; if not, `remedy` helps.
    fn tried(&mut self, subject: &str, outcome: Result<String, String>, remedy: &str) {
        let is_right = |reason: &str| reason.contains("NOPERM") || reason.contains("can't run this command");
        let helped = |reason: String| match is_right(&reason) {
            true => format!("{}; this gives all that a node needs: {remedy}", self.access.scrub(&reason)),
            false => self.access.scrub(&reason),
        };
        self.list.push(Finding { subject: subject.to_owned(), outcome: outcome.map_err(helped) });
    }

    fn add(&mut self, subject: String, outcome: Result<String, String>) {
        self.list.push(Finding { subject, outcome: outcome.map_err(|reason| self.access.scrub(&reason)) });
    }
}

/// What it takes to look at servers.
struct Look<'a> {
    names: &'a Names,
    node: NodeId,
    tls: Option<&'a TlsConnector>,
}

impl Look<'_> {
    async fn look(&self, findings: &mut Findings<'_>) {
        match &findings.access.servers {
            Servers::Single(endpoint) => self.server(findings, endpoint, 0).await,
            Servers::Sentinel(sentinels) => {
                if let Some(endpoint) = primary(findings, sentinels, self.tls).await {
                    self.server(findings, &endpoint, 0).await;
                }
            }
            Servers::Spread(several) => {
                for (number, endpoint) in (0..).zip(several.iter()) {
                    self.server(findings, endpoint, number).await;
                }
            }
            Servers::Cluster(seeds) => self.cluster(findings, seeds).await,
        }
    }

    /// Asks each of the servers that are configured, and looks at every primary that the first to answer names.
    async fn cluster(&self, findings: &mut Findings<'_>, seeds: &Several) {
        let mut found: Option<Topology> = None;
        for seed in seeds.iter() {
            let answer = within(self.slots(seed)).await;
            let told = |topology: &Topology| format!("names {} primaries", topology.primaries().len());
            findings.connected(format!("Cluster {seed}"), answer.as_ref().map(told).map_err(Clone::clone));
            found = found.or(answer.ok());
        }
        let Some(topology) = found else { return };
        for address in topology.primaries() {
            let endpoint = seeds.first.at(address.host.clone(), address.port);
            self.server(findings, &endpoint, cluster::variant(self.node, &topology, address)).await;
        }
        findings.add(
            "slots".to_owned(),
            match topology.missing() {
                0 => Ok(format!("all {SLOTS} are served")),
                missing => Err(format!("{missing} of {SLOTS} are served by no server")),
            },
        );
    }

    async fn slots(&self, seed: &Endpoint) -> Result<Topology, String> {
        let (dialogue, _) = Dialogue::begin(seed, self.tls).await?;
        Ok(scout::slots(dialogue, seed).await?.1)
    }

    /// Looks at a server that nodes would have a link to; `variant` is that of the heartbeats there.
    async fn server(&self, findings: &mut Findings<'_>, endpoint: &Endpoint, variant: u32) {
        let is_cluster = findings.access.is_cluster;
        let begin = || begin(endpoint, self.tls, is_cluster);
        let both = async { tokio::try_join!(begin(), begin()) };
        let (begun, outcome) = match timeout(LIMIT, both).await {
            Ok(Ok(((talker, told, kind), (listener, ..)))) => (Some((talker, listener, kind)), Ok(told)),
            Ok(Err(reason)) => (None, Err(reason)),
            Err(_) => (None, Err(endpoint.silence(LIMIT))),
        };
        findings.connected(format!("Redis {endpoint}"), outcome);
        if let Some((talker, listener, kind)) = begun {
            let name = self.names.heartbeat(self.node, variant);
            self.work(findings, talker, listener, &name, kind).await;
        }
    }

    /// Does what nodes do.
    async fn work(
        &self,
        findings: &mut Findings<'_>,
        mut talker: Dialogue,
        listener: Dialogue,
        name: &Name,
        kind: Kind,
    ) {
        let is_cluster = findings.access.is_cluster;
        let prefix = name.split(":{").next().unwrap_or_default().to_owned();
        let remedy = rights::setuser(findings.access.user(), &prefix, is_cluster);
        let commands = within(allowed(&mut talker, name, is_cluster)).await;
        findings.tried(
            "commands",
            commands.map(|()| format!("all are allowed on keys that begin with {prefix}:")),
            &remedy,
        );
        findings.tried("round trip", within(self.round_trip(talker, listener, name, kind)).await, &remedy);
    }

    /// Listens as a node does, and hears a heartbeat that is written as a node writes it.
    async fn round_trip(
        &self,
        mut talker: Dialogue,
        mut listener: Dialogue,
        name: &Name,
        kind: Kind,
    ) -> Result<String, String> {
        if kind == Kind::Plain {
            listener.done(redis::cmd(kind.subscribe()).arg(&*self.names.broadcast())).await?;
        }
        listener.done(redis::cmd(kind.subscribe()).arg(&**name)).await?;
        let since = Instant::now();
        talker.done(&Heartbeat::new(name, kind, rand::random()).command(name, true)).await?;
        listener.hear().await?;
        Ok(format!("a heartbeat came round in {:.1?}", since.elapsed()))
    }
}

/// Asks each Sentinel, and returns where the primary is according to those that know best.
async fn primary(findings: &mut Findings<'_>, sentinels: &Sentinels, tls: Option<&TlsConnector>) -> Option<Endpoint> {
    let mut known: Vec<Found> = Vec::new();
    for endpoint in &sentinels.endpoints {
        let answer = sentinel::ask(endpoint, &sentinels.name, tls, LIMIT).await;
        known.extend(answer.clone().ok());
        let told =
            |found: Found| format!("{} is at {}:{}, epoch {}", sentinels.name, found.host, found.port, found.epoch);
        findings.connected(format!("Sentinel {endpoint}"), answer.map(told));
    }
    let newest = known.iter().max_by_key(|found| found.epoch)?;
    if known.iter().any(|found| found != newest) {
        findings.add("Sentinels".to_owned(), Err("they don't agree on where the primary is".to_owned()));
    }
    Some(sentinels.master.at(newest.host.clone(), newest.port))
}

/// A connection to a server that a node can work with, what that is, and which kind of Pub/Sub it is used with.
async fn begin(
    endpoint: &Endpoint,
    tls: Option<&TlsConnector>,
    is_cluster: bool,
) -> Result<(Dialogue, String, Kind), String> {
    let (mut dialogue, standing) = Dialogue::begin(endpoint, tls).await?;
    let told = match standing {
        Some(standing) => fit(&standing, is_cluster)?,
        None => "older than 6.0".to_owned(),
    };
    let kind = if is_cluster { dialogue.kind().await? } else { Kind::Plain };
    let sharded = match kind {
        _ if !is_cluster => "",
        Kind::Sharded => ", sharded Pub/Sub",
        Kind::Plain => ", no sharded Pub/Sub",
    };
    let way = if endpoint.wants_tls() { ", over TLS" } else { "" };
    Ok((dialogue, format!("{told}{sharded}{way}, user {}", endpoint.user()), kind))
}

fn fit(standing: &Standing, is_cluster: bool) -> Result<String, String> {
    match (standing.unfit(), standing.mode == "cluster") {
        (Some(unfit), _) => Err(unfit.to_owned()),
        (None, false) if is_cluster => Err("is no server of a Redis Cluster".to_owned()),
        (None, true) if !is_cluster => {
            Err("is part of a Redis Cluster: redis.mode = \"cluster\" is for those".to_owned())
        }
        _ => Ok(standing.to_string()),
    }
}

/// Tries each command.
///
/// # Errors
///
/// What is refused.
async fn allowed(dialogue: &mut Dialogue, key: &str, is_cluster: bool) -> Result<(), String> {
    let (mut refused, mut last) = (Vec::new(), None);
    for (name, command) in rights::trials(key, is_cluster) {
        if let Value::ServerError(error) = dialogue.ask(&command).await?
            && error.code() == "NOPERM"
        {
            refused.push(name);
            last = Some(server_text(&error));
        }
    }
    last.map_or(Ok(()), |text| Err(format!("{}: {text}", refused.join(", "))))
}

async fn within<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(LIMIT, step).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
}
