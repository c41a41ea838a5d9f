//! Tries whether a node could work with the Redis of a configuration.

use crate::redis::{
    access::{Access, Servers},
    dialogue::Dialogue,
    endpoint::Endpoint,
    heartbeat::Heartbeat,
    names::Names,
    refusal,
    reply::server_text,
    rights,
    sentinel::{self, Found, Sentinels},
    settings::{InvalidRedisConfig, RedisConfig},
    standing::Standing,
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
/// published to anybody, and the one key that is written is gone after 5 s.
///
/// # Errors
///
/// When the configuration is wrong in itself.
pub async fn inspect(config: &RedisConfig) -> Result<Vec<Finding>, InvalidRedisConfig> {
    let access = Access::new(config)?;
    let mut findings = Findings { access: &access, list: Vec::new() };
    let names = Names::new(&config.prefix, access.database());
    match access.tls().await {
        Ok(tls) => look(&mut findings, tls.as_ref(), &names, config).await,
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

async fn look(findings: &mut Findings<'_>, tls: Option<&TlsConnector>, names: &Names, config: &RedisConfig) {
    let access = findings.access;
    let endpoint = match &access.servers {
        Servers::Single(endpoint) => Some(endpoint.clone()),
        Servers::Sentinel(sentinels) => primary(findings, sentinels, tls).await,
    };
    let Some(endpoint) = endpoint else { return };
    let both = async { tokio::try_join!(begin(&endpoint, tls), begin(&endpoint, tls)) };
    let (begun, outcome) = match timeout(LIMIT, both).await {
        Ok(Ok(((talker, told), (listener, _)))) => (Some((talker, listener)), Ok(told)),
        Ok(Err(reason)) => (None, Err(reason)),
        Err(_) => (None, Err(endpoint.silence(LIMIT))),
    };
    findings.connected(format!("Redis {endpoint}"), outcome);
    if let Some((talker, listener)) = begun {
        work(findings, talker, listener, names, config.node).await;
    }
}

/// Does what nodes do.
async fn work(findings: &mut Findings<'_>, mut talker: Dialogue, listener: Dialogue, names: &Names, node: NodeId) {
    let heartbeat = Heartbeat::new(names.heartbeat(node), rand::random());
    let prefix = heartbeat.name.split(":{").next().unwrap_or_default().to_owned();
    let remedy = rights::setuser(findings.access.user(), &prefix);
    let commands = within(allowed(&mut talker, &heartbeat.name)).await;
    findings.tried(
        "commands",
        commands.map(|()| format!("all are allowed on keys that begin with {prefix}:")),
        &remedy,
    );
    findings.tried("round trip", within(round_trip(talker, listener, names, &heartbeat)).await, &remedy);
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

/// A connection to a server that a node can work with, and what that is.
async fn begin(endpoint: &Endpoint, tls: Option<&TlsConnector>) -> Result<(Dialogue, String), String> {
    let (dialogue, standing) = Dialogue::begin(endpoint, tls).await?;
    let told = match standing {
        Some(standing) => fit(&standing)?,
        None => "older than 6.0".to_owned(),
    };
    let way = if endpoint.wants_tls() { ", over TLS" } else { "" };
    Ok((dialogue, format!("{told}{way}, user {}", endpoint.user())))
}

fn fit(standing: &Standing) -> Result<String, String> {
    match standing.unfit() {
        Some(unfit) => Err(unfit.to_owned()),
        None if standing.mode == "cluster" => Err("is part of a Redis Cluster, which no redis.mode is for".to_owned()),
        None => Ok(standing.to_string()),
    }
}

/// Tries each command.
///
/// # Errors
///
/// What is refused.
async fn allowed(dialogue: &mut Dialogue, key: &str) -> Result<(), String> {
    let (mut refused, mut last) = (Vec::new(), None);
    for (name, command) in rights::trials(key) {
        if let Value::ServerError(error) = dialogue.ask(&command).await?
            && error.code() == "NOPERM"
        {
            refused.push(name);
            last = Some(server_text(&error));
        }
    }
    last.map_or(Ok(()), |text| Err(format!("{}: {text}", refused.join(", "))))
}

/// Listens as a node does, and hears a heartbeat that is written as a node writes it.
async fn round_trip(
    mut talker: Dialogue,
    mut listener: Dialogue,
    names: &Names,
    heartbeat: &Heartbeat,
) -> Result<String, String> {
    listener.done(redis::cmd("SUBSCRIBE").arg(&*names.broadcast())).await?;
    listener.done(redis::cmd("SUBSCRIBE").arg(&*heartbeat.name)).await?;
    let since = Instant::now();
    talker.done(&heartbeat.command()).await?;
    listener.hear().await?;
    Ok(format!("a heartbeat came round in {:.1?}", since.elapsed()))
}

async fn within<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(LIMIT, step).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
}
