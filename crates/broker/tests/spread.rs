//! Nodes that meet at several independent Redises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_broker::{Broker, LinkState, PublishError, SubscribeError, redis::RedisServers};
use support::{
    node::{Came, Node, text, to},
    server::Server,
};

async fn servers() -> Vec<Server> {
    vec![Server::start(&[]).await, Server::start(&[]).await, Server::start(&[]).await]
}

fn config<'a>(servers: impl IntoIterator<Item = &'a Server>) -> RedisServers {
    RedisServers::Spread(servers.into_iter().map(Server::url).collect())
}

#[tokio::test]
async fn nodes_meet_in_every_channel_whatever_the_order_of_servers() {
    let servers = servers().await;
    let a = Node::joined_at(config(&servers), 1).await;
    let mut b = Node::joined_at(config(servers.iter().rev()), 2).await;
    let names: Vec<_> = (0..50).map(|n| format!("room:{n}")).collect();
    for name in &names {
        b.subscribe(name).await.unwrap();
    }
    for name in &names {
        a.publish(name, name).await.unwrap();
        assert_eq!(b.next().await, text(name));
    }
    a.broadcast("all").await.unwrap();
    assert_eq!(b.next().await, text("all"));
    for server in &servers {
        let channels = server.ask("PUBSUB CHANNELS *:c:*").await.matches(":c:").count();
        assert!((5..30).contains(&channels), "{channels} of 50 channels are at one of three servers");
    }
    assert_eq!(b.metric("fanwire_broker_subscriptions"), 54.0);
}

#[tokio::test]
async fn what_is_at_one_dead_server_fails_alone() {
    let mut servers = servers().await;
    let (a, mut b) = (Node::joined_at(config(&servers), 1).await, Node::joined_at(config(&servers), 2).await);
    let names: Vec<_> = (0..30).map(|n| format!("room:{n}")).collect();
    for name in &names {
        b.subscribe(name).await.unwrap();
    }
    let port = servers[1].port();
    servers[1].kill();
    for node in [&a, &b] {
        node.is_down_because(&format!("127.0.0.1:{port}: ")).await;
    }
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    for name in &names {
        match a.publish(name, name).await {
            Ok(()) => {
                assert_eq!(b.next().await, text(name));
                assert_eq!(*a.broker.link_to(&to(name)).borrow(), LinkState::Up);
                a.subscribe(name).await.unwrap();
                alive.push(name);
            }
            Err(PublishError::Unavailable(_)) => {
                assert!(matches!(a.subscribe(name).await, Err(SubscribeError::Unavailable(_))));
                dead.push(name);
            }
            Err(PublishError::Timeout) => panic!("{name} may have been published"),
        }
    }
    assert!(!dead.is_empty() && !alive.is_empty());
    servers[1].restart().await;
    a.is_up().await;
    b.is_up().await;
    a.publish(dead[0], "again").await.unwrap();
    assert_eq!(b.until(&text("again")).await, [Came::Gap]);
}
