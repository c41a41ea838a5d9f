//! Clients of nodes that come one after the other.

use super::Node;
use fanwire_client::{Client, Closed, Error, Event, Events, Options, Reconnect, Recovery, Refusal};
use serde_json::Value;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// The one address of all nodes.
pub(crate) struct Address {
    listener: TcpListener,
    pub(crate) nodes: u64,
    /// The place in the history of broadcasts that welcomes tell.
    pub(crate) broadcasts: Option<Value>,
}

impl Address {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), nodes: 0, broadcasts: None }
    }

    /// A client that is connected to the first node.
    pub(crate) async fn client(&mut self, options: Options) -> (Client, Events, Node) {
        let url = format!("ws://{}", self.listener.local_addr().unwrap());
        let (connected, node) = tokio::join!(Client::connect(&url, options), self.node());
        let (client, events) = connected.unwrap();
        (client, events, node)
    }

    /// An attempt at a connection, which waits for the answer.
    pub(crate) async fn attempt(&self) -> TcpStream {
        let stream = self.listener.accept().await.unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The next connection, welcomed by node 1, 2 and so on.
    pub(crate) async fn node(&mut self) -> Node {
        let stream = self.attempt().await;
        self.welcome(stream, 20.0).await
    }

    pub(crate) async fn welcome(&mut self, stream: TcpStream, heartbeat: f64) -> Node {
        self.nodes += 1;
        let mut node = Node::accept(stream).await;
        node.welcome_at(self.nodes, heartbeat, self.broadcasts.clone()).await;
        node
    }
}

pub(crate) fn reconnecting() -> Options {
    let (first, most) = (Duration::from_millis(10), Duration::from_millis(20));
    Options { reconnect: Some(Reconnect { first, most, give_up_after: None }), ..Options::default() }
}

/// Subscribes to `channels`, which `node` grants.
pub(crate) async fn subscribe(client: &Client, node: &mut Node, channels: &[&str]) {
    let subscribing = async {
        for channel in channels {
            client.subscribe(channel).await.unwrap();
        }
    };
    tokio::join!(subscribing, node.grant("subscribe", channels));
}

pub(crate) fn closed(code: u16) -> Error {
    Closed { code: Some(code), reason: "because".to_owned() }.into()
}

pub(crate) fn refused(code: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: "no".to_owned() }
}

pub(crate) async fn disconnected(events: &mut Events) -> Error {
    match events.next().await.unwrap() {
        Event::Disconnected { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// Expects to be connected again, to this node.
pub(crate) async fn reconnected(events: &mut Events, node: u64) -> Recovery {
    match events.next().await.unwrap() {
        Event::Reconnected { welcome, recovery, .. } => {
            assert_eq!((welcome.node, welcome.connection), (node, (node, 1)));
            recovery
        }
        other => panic!("{other:?}"),
    }
}
