//! From the configuration to a node's parts.

use crate::{
    config::{self, Config, History, OutboxPolicy, Redis, Server},
    failure::Failure,
    open_files::Allowance,
};
use fanwire_auth::{ApiKeys, PublishedKeys, Verifier};
use fanwire_broker::{
    Retention,
    memory::MemoryBroker,
    metrics::{BrokerMetrics, RedisMetrics},
    redis::RedisBroker,
};
use fanwire_node::{
    Auth, Jwks, Link, Listeners, Namespace, Namespaces, NodeConfig, OriginPattern, Origins, Policy, TrustedProxies,
    UserHeader,
};
use fanwire_protocol::{NodeId, Templates, WithoutSubprotocol};
use prometheus::{IntGauge, Opts, Registry, process_collector::ProcessCollector};
use std::{
    future,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::available_parallelism,
};

/// A registry with what is told of the process as such.
pub(crate) fn registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let info = Opts::new("fanwire_build_info", "1, with the node's version as a label.");
    let info = IntGauge::with_opts(info.const_label("version", env!("CARGO_PKG_VERSION")))?;
    info.set(1);
    registry.register(Box::new(info))?;
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(registry)
}

/// The node's sockets.
pub(crate) fn bind(config: &Config) -> Result<Listeners, Failure> {
    Ok(Listeners {
        public: listen("server.listen", config.server.listen)?,
        internal: listen("internal.listen", config.internal.listen)?,
    })
}

fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| Failure::Failed(format!("can't listen on {address} ({key}): {error}")))
}

/// The broker that the configuration names. Whether it can be reached shows when the node runs.
pub(crate) fn link(redis: &Redis, node: NodeId, registry: &Registry) -> Result<Link, Failure> {
    let Some(config) = redis.config(node) else {
        let (broker, feed) = MemoryBroker::start(BrokerMetrics::register(registry)?);
        return Ok(Link { broker, feed, driver: Box::pin(future::pending()) });
    };
    let (broker, feed, driver) = RedisBroker::start(&config, RedisMetrics::register(registry)?)
        .map_err(|error| Failure::Failed(format!("redis: {error}")))?;
    Ok(Link { broker, feed, driver: Box::pin(driver) })
}

/// What the node is told of the configuration.
pub(crate) fn node_config(config: &Config, node: NodeId, allowance: &Allowance) -> Result<NodeConfig, Failure> {
    let trusted_proxies = TrustedProxies::parse(&config.server.trusted_proxies);
    Ok(NodeConfig {
        node,
        shards: available_parallelism()?.get(),
        public_tls: config.tls.files(),
        internal_tls: config.internal.tls.files(),
        trusted_proxies: trusted_proxies.map_err(|error| Failure::Failed(error.to_string()))?,
        forwarded_header: config.server.forwarded_header,
        proxy_protocol: config.server.proxy_protocol,
        user_header: user_header(config)?,
        origins: origins(&config.server)?,
        auth: auth(&config.auth)?,
        jwks: jwks(&config.auth)?,
        revocation: config.auth.revocation(),
        leeway: config.auth.leeway,
        api_keys: ApiKeys::read(&config.api.keys).map_err(|error| Failure::Failed(format!("api.keys: {error}")))?,
        heartbeat_interval: config.heartbeat.interval,
        heartbeat_timeout: config.heartbeat.timeout,
        outbox_limit: config.outbox.limit.bytes(),
        outbox_policy: match config.outbox.policy {
            OutboxPolicy::Disconnect => Policy::Disconnect,
            OutboxPolicy::DropOldest => Policy::DropOldest,
        },
        outbox_kernel: u32::try_from(config.outbox.kernel.bytes()).unwrap_or(u32::MAX),
        drain_grace: config.drain.grace,
        drain_window: config.drain.window,
        drain_deadline: config.drain.deadline,
        message_limit: config.limits.message.bytes(),
        fragment_limit: config.limits.fragments,
        inflate_ratio: config.compression.ratio,
        deflate: config.compression.deflate(),
        connection_limit: allowance.connections,
        refusal_limit: allowance.refusals,
        handshake_limit: config.limits.handshakes,
        channel_limit: config.limits.channels,
        info_limit: config.limits.info.bytes(),
        memory_limits: config.memory.limits(),
        address_limits: config.limits.of_address(),
        user_limit: config.limits.of_user(),
        everywhere: config.limits.everywhere(),
        command_rate: config.limits.command_rate(),
        byte_rate: config.limits.byte_rate(),
        head_limit: config.handshake.head.bytes(),
        header_limit: config.handshake.headers,
        handshake_timeout: config.handshake.timeout,
        close_timeout: config.close.timeout,
        namespaces: namespaces(config),
        templates: Templates::new(&config.plain).map_err(|error| Failure::Failed(error.to_string()))?,
        without_subprotocol: if config.conformance.echo { WithoutSubprotocol::Echo } else { WithoutSubprotocol::Plain },
    })
}

fn user_header(config: &Config) -> Result<Option<UserHeader>, Failure> {
    let name = Some(&config.server.user_header).filter(|name| !name.is_empty());
    name.map(|name| UserHeader::parse(name)).transpose().map_err(|error| Failure::Failed(error.to_string()))
}

/// How connections say who they are, if they have to.
fn auth(auth: &config::Auth) -> Result<Option<Auth>, Failure> {
    if !auth.is_on() {
        return Ok(None);
    }
    let verifier = auth.sources().and_then(|sources| Verifier::new(&sources, auth.expectations()));
    let verifier = verifier.map_err(|error| Failure::Failed(format!("auth.keys: {error}")))?;
    let published = auth.jwks.expose().map(|_| Arc::<PublishedKeys>::default());
    let verifier = match published {
        Some(published) => verifier.with_published(published),
        None => verifier,
    };
    let config::Auth { anonymous, query, timeout, .. } = *auth;
    Ok(Some(Auth { verifier: Arc::new(verifier), anonymous, query, timeout }))
}

/// Where keys of tokens are published, if they are.
fn jwks(auth: &config::Auth) -> Result<Option<Jwks>, Failure> {
    let source = auth.jwks().map_err(|error| Failure::Failed(format!("auth.jwks {error}")))?;
    Ok(source.map(|source| Jwks { source, interval: auth.jwks_interval }))
}

fn origins(server: &Server) -> Result<Origins, Failure> {
    let allowed = server.origins.iter().map(|text| OriginPattern::parse(text)).collect::<Result<_, _>>();
    Ok(Origins {
        allowed: allowed.map_err(|error| Failure::Failed(error.to_string()))?,
        required: server.require_origin,
        loopback_only: server.is_for_this_machine(),
    })
}

fn namespaces(config: &Config) -> Namespaces {
    let namespace = |(name, namespace): (&String, &config::Namespace)| {
        let config::Namespace { history, recover, presence, join_leave, allow } = namespace;
        let (recover, presence, join_leave, allow) = (*recover, *presence, *join_leave, *allow);
        (name.clone(), Namespace { history: retention(history), recover, presence, join_leave, allow })
    };
    Namespaces {
        by_name: config.namespaces.0.iter().map(namespace).collect(),
        broadcast: retention(&config.broadcast.history),
        allow_broadcast: config.broadcast.allow,
    }
}

/// What is kept, if anything.
fn retention(history: &History) -> Option<Retention> {
    let size = u32::try_from(history.size).unwrap_or(u32::MAX);
    (size > 0).then_some(Retention { size, ttl: history.ttl })
}
