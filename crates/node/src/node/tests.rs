#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::{
    ForwardedHeader, MemoryLimits, Policy, TrustedProxies,
    testing::{Answer, UPGRADE},
};
use fanwire_broker::{memory::MemoryBroker, metrics::BrokerMetrics};
use fanwire_protocol::{NodeId, Templates, WithoutSubprotocol};
use std::{net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const LONG: Duration = Duration::from_secs(60);

fn config() -> NodeConfig {
    NodeConfig {
        node: NodeId::from_random(7),
        shards: 2,
        public_tls: None,
        internal_tls: None,
        origins: crate::Origins::default(),
        auth: None,
        memory_limits: MemoryLimits { limit: None, pressure: None },
        jwks: None,
        revocation: LONG,
        leeway: Duration::ZERO,
        address_limits: crate::AddressLimits::default(),
        user_limit: None,
        everywhere: None,
        command_rate: None,
        byte_rate: None,
        head_limit: 16 << 10,
        header_limit: 100,
        api_keys: fanwire_auth::ApiKeys::default(),
        trusted_proxies: TrustedProxies::default(),
        forwarded_header: ForwardedHeader::default(),
        proxy_protocol: false,
        user_header: None,
        heartbeat_interval: LONG,
        heartbeat_timeout: LONG,
        outbox_limit: 1 << 20,
        outbox_policy: Policy::Disconnect,
        outbox_kernel: 16 << 10,
        drain_grace: LONG,
        drain_window: Duration::ZERO,
        drain_deadline: LONG * 2,
        message_limit: 64 << 10,
        fragment_limit: 1024,
        inflate_ratio: 100,
        deflate: None,
        connection_limit: 100,
        handshake_limit: 100,
        refusal_limit: 10,
        channel_limit: 100,
        info_limit: 1024,
        handshake_timeout: LONG,
        close_timeout: LONG,
        namespaces: crate::testing::namespaces(0),
        templates: Templates::default(),
        without_subprotocol: WithoutSubprotocol::Plain,
    }
}

/// A node on free ports, its public address, and the sender of words to stop.
fn start(change: impl FnOnce(&mut Link)) -> (Node, SocketAddr, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let registry = Registry::new();
    let (broker, feed) = MemoryBroker::start(BrokerMetrics::register(&registry).unwrap());
    let mut link = Link { broker, feed, driver: Box::pin(std::future::pending()) };
    change(&mut link);
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = Listeners { public: listen(), internal: listen() };
    let address = listeners.public.local_addr().unwrap();
    let (sender, stop) = mpsc::channel(2);
    (Node::start(config(), link, listeners, registry).unwrap(), address, sender, stop)
}

async fn upgrade(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert_eq!(Answer::head_of(&mut stream).await.status, 101);
    stream
}

/// The error of a node whose link is changed so that a part of it ends.
async fn check(change: impl FnOnce(&mut Link), part: &str) {
    let (node, _, _stop, receiver) = start(change);
    let error = node.run(receiver).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the node's {part} has ended, so the node does"));
}

#[tokio::test]
async fn a_part_that_ends_or_panics_ends_the_node_by_its_name() {
    check(|link| link.driver = Box::pin(async {}), "link to the broker").await;
    check(|link| link.driver = Box::pin(async { panic!("a bug") }), "link to the broker").await;
    check(|link| link.feed = fanwire_broker::feed(1).1, "relay").await;
}

#[tokio::test]
async fn a_part_that_ends_during_the_drain_ends_it() {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (node, address, stop, receiver) = start(|link| link.driver = Box::pin(ended.map(drop)));
    let readiness = node.readiness().clone();
    let running = tokio::spawn(node.run(receiver));
    let _client = upgrade(address).await;
    stop.send(()).await.unwrap();
    while !readiness.is_draining() {
        tokio::task::yield_now().await;
    }
    end.send(()).unwrap();
    assert!(matches!(running.await.unwrap(), Err(NodeError::PartEnded("link to the broker"))));
}

#[tokio::test]
async fn a_node_without_connections_stops_at_once() {
    let (node, _, stop, receiver) = start(|_| {});
    stop.send(()).await.unwrap();
    assert_eq!(node.run(receiver).await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn one_word_drains_and_a_second_forces() {
    let (node, address, stop, receiver) = start(|_| {});
    let running = tokio::spawn(node.run(receiver));
    let _client = upgrade(address).await;
    stop.send(()).await.unwrap();
    stop.send(()).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Stopped::Forced { sessions: 1 });
}

#[tokio::test]
async fn a_sender_that_was_dropped_is_no_second_word() {
    let (node, address, stop, receiver) = start(|_| {});
    let running = tokio::spawn(node.run(receiver));
    let client = upgrade(address).await;
    stop.send(()).await.unwrap();
    drop(stop);
    let refused = Answer::to(address, UPGRADE).await;
    assert_eq!((refused.status, refused.has("retry-after: 1")), (503, true));
    drop(client);
    assert_eq!(running.await.unwrap().unwrap(), Stopped::Drained);
}
