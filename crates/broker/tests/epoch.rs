//! When an epoch ends at a real Redis: no offset is given twice in one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_protocol::Position;
use support::{
    history::{MINUTE, all, offsets, publish, since},
    node::Node,
    server::Server,
    soon,
};

/// A replica is sent everything without waiting for further ones.
const AT_ONCE: &[&str] = &["--repl-diskless-sync-delay", "0"];

#[tokio::test]
async fn a_flush_opens_an_epoch() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let before = publish(&node, "room", 3).await;
    server.ask("FLUSHALL").await;
    let after = publish(&node, "room", 3).await;
    assert!(after.epoch != before.epoch && after.offset == 3);
    let page = node.history(since("room", &before), MINUTE).await;
    assert_eq!((offsets(&page), page.complete), (vec![1, 2, 3], false));
}

#[tokio::test]
async fn a_lost_stream_is_no_lost_place() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let before = publish(&node, "room", 3).await;
    server.ask("DEL fanwire:{411}:s:room").await;
    assert!(node.history(since("room", &before), MINUTE).await.complete);
    assert!(!node.history(since("room", &Position { offset: 2, ..before.clone() }), MINUTE).await.complete);
    let after = publish(&node, "room", 1).await;
    assert_eq!(after, Position { offset: 4, ..before.clone() });
    let page = node.history(since("room", &before), MINUTE).await;
    assert_eq!((offsets(&page), page.complete), (vec![4], true));
    assert!(!node.history(since("room", &Position { offset: 2, ..before }), MINUTE).await.complete);
}

#[tokio::test]
async fn a_lost_place_opens_an_epoch_without_what_was_before() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    for reads_first in [false, true] {
        let before = publish(&node, "room", 3).await;
        server.ask("DEL fanwire:{411}:m:room").await;
        if reads_first {
            let page = node.history(since("room", &before), MINUTE).await;
            assert_eq!((offsets(&page), page.newest.offset, page.complete), (vec![], 0, false));
        }
        let after = publish(&node, "room", 1).await;
        assert!(after.epoch != before.epoch && after.offset == 1);
        assert_eq!(offsets(&node.history(all("room"), MINUTE).await), [1]);
    }
}

#[tokio::test]
async fn a_stream_ahead_of_its_place_opens_an_epoch() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let before = publish(&node, "room", 3).await;
    server.ask("HSET fanwire:{411}:m:room offset 1").await;
    let after = publish(&node, "room", 1).await;
    assert!(after.epoch != before.epoch && after.offset == 1);
    assert_eq!(offsets(&node.history(all("room"), MINUTE).await), [1]);
}

/// What a replica that has everything up to its link's end has, when its primary went on and was lost.
async fn promoted_too_early(read_first: bool) {
    let mut primary = Server::start(AT_ONCE).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]).await;
    is_synchronized(&replica).await;
    let a = Node::joined(&primary.url(), 1).await;
    let known = publish(&a, "room", 5).await;
    has_place(&replica, 5).await;
    replica.ask("REPLICAOF 127.0.0.1 1").await;
    let lost = publish(&a, "room", 5).await;
    assert_eq!(lost, Position { offset: 10, ..known.clone() });
    primary.kill();

    replica.ask("REPLICAOF NO ONE").await;
    has_place(&replica, 5).await;
    let b = Node::joined(&replica.url(), 2).await;
    if read_first {
        for place in [&known, &lost] {
            let page = b.history(since("room", place), MINUTE).await;
            assert!(!page.complete && page.newest.epoch != known.epoch);
        }
    }
    let after = publish(&b, "room", 1).await;
    assert!(after.epoch != known.epoch && after.offset == 1, "{after} after {lost}");
}

#[tokio::test]
async fn a_replica_that_lagged_opens_an_epoch_for_those_who_publish() {
    promoted_too_early(false).await;
}

#[tokio::test]
async fn a_replica_that_lagged_opens_an_epoch_for_those_who_read() {
    promoted_too_early(true).await;
}

/// The process is the one that gave the offsets, and has forgotten some of them.
#[tokio::test]
async fn a_primary_that_was_demoted_meanwhile_opens_an_epoch() {
    let (first, second) = (Server::start(AT_ONCE).await, Server::start(AT_ONCE).await);
    second.ask(&format!("REPLICAOF 127.0.0.1 {}", first.port())).await;
    is_synchronized(&second).await;
    let a = Node::joined(&first.url(), 1).await;
    publish(&a, "room", 5).await;
    has_place(&second, 5).await;
    second.ask("REPLICAOF NO ONE").await;
    let lost = publish(&a, "room", 5).await;
    assert_eq!(lost.offset, 10);

    first.ask(&format!("REPLICAOF 127.0.0.1 {}", second.port())).await;
    is_synchronized(&first).await;
    has_place(&first, 5).await;
    first.ask("REPLICAOF NO ONE").await;
    let b = Node::joined(&first.url(), 2).await;
    let after = publish(&b, "room", 1).await;
    assert!(after.epoch != lost.epoch && after.offset == 1, "{after} after {lost}");
}

#[tokio::test]
async fn a_redis_that_comes_back_from_disk_opens_an_epoch() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let node = Node::joined(&server.url(), 1).await;
    let before = publish(&node, "room", 3).await;
    server.kill();
    node.is_down().await;
    server.restart().await;
    node.is_up().await;
    has_place(&server, 3).await;
    assert!(!node.history(since("room", &before), MINUTE).await.complete);
    assert_ne!(publish(&node, "room", 1).await.epoch, before.epoch);
}

async fn is_synchronized(replica: &Server) {
    soon("synchronized", async {
        while !replica.ask("INFO replication").await.contains("master_link_status:up") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until the server has the place with this offset.
async fn has_place(server: &Server, offset: u64) {
    soon("the place", async {
        while server.ask("HGET fanwire:{411}:m:room offset").await.lines().nth(1) != Some(&offset.to_string()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
