//! Members at a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_broker::{
    Broker, Change, Changed, Changes, Counts, DeadNode, Lease, Members, Removed, Roll, Shown, Standing,
};
use fanwire_protocol::{ConnectionId, Content, Member, NodeId, UserId};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use support::{
    node::{Came, Node, channel, text},
    server::Server,
    soon,
};
use tokio::time::sleep;

fn id(node: u64, sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(node), sequence)
}

fn member(node: u64, sequence: u64, user: &str) -> Arc<Member> {
    let user = UserId::parse(user).ok();
    Arc::new(Member { connection: id(node, sequence), user, info: Some(Content::string("here")) })
}

async fn change(node: &Node, name: &str, changes: Vec<Change>) -> Changed {
    let changes = Changes { channel: channel(name), changes, told: true, at: 1 };
    soon("change", node.broker.change_members(changes)).await.unwrap()
}

/// One change, and how many joined, left and returned by it.
async fn check(node: &Node, made: Change, expected: (u64, u64, u64)) {
    let Changed { joined, left, returned } = change(node, "room", vec![made]).await;
    assert_eq!((joined, left, returned), expected);
}

async fn members(node: &Node, after: Option<ConnectionId>, limit: u32) -> Members {
    soon("members", node.broker.members(Roll { channel: channel("room"), after, limit })).await.unwrap()
}

async fn counts(node: &Node) -> (u64, u64) {
    let Counts { connections, users } = soon("counts", node.broker.count_members(&channel("room"))).await.unwrap();
    (connections, users)
}

async fn show(node: &Node) -> Shown {
    soon("sign", node.broker.show_life()).await.unwrap()
}

async fn removal(node: &Node, dead: DeadNode) -> Removed {
    soon("removal", node.broker.remove_members(dead, 1)).await.unwrap()
}

async fn remove(node: &Node, dead: DeadNode) -> u64 {
    removal(node, dead).await.members
}

fn zoe(node: u64, sequence: u64) -> Lease {
    Lease { user: UserId::parse("zoe {1}").unwrap(), connection: id(node, sequence), limit: 3 }
}

async fn lease(node: &Node, lease: Lease) -> bool {
    soon("lease", node.broker.lease(lease)).await.unwrap()
}

async fn change_leases(node: &Node, change: Change) -> Changed {
    let changes = Changes { channel: zoe(1, 1).channel(), changes: vec![change], told: false, at: 1 };
    soon("change", node.broker.change_members(changes)).await.unwrap()
}

/// Makes the registry believe that a node was silent for very long.
async fn silence(server: &Server, entry: &str) {
    server.ask(&format!("ZADD fanwire:{{all}}:l XX 1 {entry}")).await;
}

fn told(what: &str) -> Came {
    Came::Change(what.to_owned())
}

#[tokio::test]
async fn everything_is_done_and_told_once_in_order_with_publications() {
    let server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("room").await.unwrap();
    check(&a, Change::Enter(member(1, 1, "zoe")), (1, 0, 0)).await;
    a.publish("room", "between").await.unwrap();
    check(&a, Change::Enter(member(1, 1, "zoe")), (0, 0, 0)).await;
    check(&b, Change::Enter(member(2, 1, "zoe")), (1, 0, 0)).await;
    check(&b, Change::Return(member(2, 2, "")), (0, 0, 1)).await;
    assert_eq!(counts(&a).await, (3, 1));
    check(&a, Change::Leave(id(1, 1)), (0, 1, 0)).await;
    check(&a, Change::Leave(id(1, 1)), (0, 0, 0)).await;
    check(&b, Change::Leave(id(2, 1)), (0, 1, 0)).await;
    check(&b, Change::Vanish(id(2, 2)), (0, 1, 0)).await;
    a.publish("room", "end").await.unwrap();
    let came = b.until(&text("end")).await;
    let expected =
        [told("Join 1-1 with zoe"), text("between"), told("Join 2-1"), told("Leave 1-1"), told("Leave 2-1 with zoe")];
    assert_eq!(came, expected);
    assert_eq!(counts(&a).await, (0, 0));
    let left = server.ask("KEYS fanwire:*").await;
    assert!(!left.contains(":p:") && !left.contains(":u:") && !left.contains(":n:"), "{left}");
}

#[tokio::test]
async fn members_are_read_in_pages_in_the_order_of_connections() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 300).await);
    change(&a, "room", [256, 1, 2].map(|n| Change::Enter(member(1, n, "zoe"))).to_vec()).await;
    change(&b, "room", vec![Change::Enter(member(300, 1, ""))]).await;
    let all = [member(1, 1, "zoe"), member(1, 2, "zoe"), member(1, 256, "zoe"), member(300, 1, "")];
    let all: Vec<_> = all.iter().map(|member| Member::clone(member)).collect();
    for (after, limit, expected, more) in [
        (None, 2, &all[..2], true),
        (Some(id(1, 2)), 2, &all[2..], false),
        (Some(id(1, 3)), 1, &all[2..3], true),
        (None, 1000, &all[..], false),
        (Some(id(300, 1)), 1, &[], false),
    ] {
        assert_eq!(members(&a, after, limit).await, Members { members: expected.to_vec(), more });
    }
}

#[tokio::test]
async fn the_dead_are_found_by_one_and_their_members_removed_once() {
    let server = Server::start(&[]).await;
    let (a, mut b, c) = (
        Node::joined(&server.url(), 1).await,
        Node::joined(&server.url(), 2).await,
        Node::joined(&server.url(), 3).await,
    );
    for node in [&a, &b, &c] {
        show(node).await;
    }
    b.subscribe("room").await.unwrap();
    // More than one call removes, and in several channels.
    let crowd = |from: u64| (from..from + 100).map(|n| Change::Enter(member(1, n, "zoe"))).collect();
    change(&a, "room", crowd(0)).await;
    change(&a, "room", crowd(100)).await;
    change(&a, "other", crowd(0)).await;
    change(&c, "room", vec![Change::Enter(member(3, 1, "zoe"))]).await;
    silence(&server, "1.1").await;
    let dead = show(&b).await.dead;
    assert_eq!(dead, [DeadNode::named("1.1")]);
    assert_eq!(show(&c).await.dead, [], "one is enough, until it fails");
    let (one, two) = tokio::join!(remove(&b, dead[0].clone()), remove(&c, dead[0].clone()));
    assert_eq!(one + two, 300);
    c.publish("room", "end").await.unwrap();
    let came = b.until(&text("end")).await;
    let leaves = came.iter().filter(|came| matches!(came, Came::Change(text) if text.starts_with("Leave 1-"))).count();
    assert_eq!((came.len(), leaves), (401, 200));
    assert_eq!(counts(&b).await, (1, 1));
    assert!(!server.ask("ZRANGE fanwire:{all}:l 0 -1").await.contains("1.1"));
}

#[tokio::test]
async fn a_node_that_comes_back_is_told_and_its_members_are_its_own_again() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    show(&a).await;
    show(&b).await;
    change(&a, "room", vec![Change::Enter(member(1, 1, "")), Change::Enter(member(1, 2, ""))]).await;
    silence(&server, "1.1").await;
    let dead = show(&b).await.dead;
    assert_eq!(show(&a).await.standing, Standing::Removed);
    // It puts one back before the removal comes there, which then has nothing to do with the channel any more.
    check(&a, Change::Enter(member(1, 1, "")), (0, 0, 0)).await;
    assert_eq!(remove(&b, dead[0].clone()).await, 0);
    assert_eq!(counts(&b).await, (2, 0));
    assert_eq!(show(&a).await, Shown { standing: Standing::Kept, dead: Vec::new() });
    silence(&server, "1.2").await;
    assert_eq!(remove(&b, show(&b).await.dead.remove(0)).await, 2);
}

#[tokio::test]
async fn nobody_is_dead_when_nobody_could_be_heard() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    show(&a).await;
    show(&b).await;
    silence(&server, "1.1").await;
    silence(&server, "2.1").await;
    assert_eq!(show(&a).await.dead, []);
    assert_eq!(show(&b).await, Shown { standing: Standing::Kept, dead: Vec::new() });
}

#[tokio::test]
async fn what_redis_has_lost_is_noticed() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    // A link is new.
    assert_eq!(show(&node).await.standing, Standing::Lost);
    assert_eq!(show(&node).await.standing, Standing::Kept);
    for loss in ["FLUSHALL", "DEL fanwire:{all}:l", "DEL fanwire:{node-1}:h"] {
        server.ask(loss).await;
        let noticed = async {
            while show(&node).await.standing != Standing::Lost {
                sleep(Duration::from_millis(20)).await;
            }
        };
        soon(loss, noticed).await;
    }
}

#[tokio::test]
async fn whoever_resigns_is_not_missed() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    show(&a).await;
    show(&b).await;
    soon("resign", a.broker.resign()).await.unwrap();
    assert!(!server.ask("ZRANGE fanwire:{all}:l 0 -1").await.contains("1.1"));
}

#[tokio::test]
async fn a_user_has_so_many_places_on_all_nodes_whoever_asks_at_once() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    show(&a).await;
    show(&b).await;
    let node = |n: u64| if n.is_multiple_of(2) { &a } else { &b };
    let asked = join_all((0..20).map(|n| lease(node(n), zoe(1 + n % 2, n)))).await;
    assert_eq!(asked.iter().filter(|granted| **granted).count(), 3);
    // Who has one keeps it, and nobody else is touched.
    let first = asked.iter().position(|granted| *granted).unwrap() as u64;
    assert!(lease(node(first), zoe(1 + first % 2, first)).await);
    let other = Lease { user: UserId::parse("yan").unwrap(), ..zoe(1, 50) };
    assert!(lease(&a, other.clone()).await);
    // It is given back as members leave, and put back whatever the limit is.
    assert_eq!(change_leases(&a, Change::Leave(id(1 + first % 2, first))).await.left, 1);
    assert!(lease(&b, zoe(2, 60)).await && !lease(&b, zoe(2, 61)).await);
    assert_eq!(change_leases(&a, Change::Return(zoe(1, 70).member())).await.returned, 1);
    assert_eq!(change_leases(&b, Change::Enter(zoe(2, 60).member())).await, Changed::default());
}

#[tokio::test]
async fn the_leases_of_the_dead_are_removed_and_those_who_come_back_have_their_own() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    show(&a).await;
    show(&b).await;
    change(&a, "room", vec![Change::Enter(member(1, 1, ""))]).await;
    assert!(lease(&a, zoe(1, 1)).await && lease(&a, zoe(1, 2)).await && lease(&b, zoe(2, 1)).await);
    assert!(!lease(&b, zoe(2, 2)).await);
    silence(&server, "1.1").await;
    let dead = show(&b).await.dead.remove(0);
    assert_eq!(removal(&b, dead).await, Removed { members: 1, leases: 2 });
    assert!(lease(&b, zoe(2, 2)).await && lease(&b, zoe(2, 3)).await && !lease(&b, zoe(2, 4)).await);
    assert_eq!(show(&a).await.standing, Standing::Removed);
    assert_eq!(change_leases(&a, Change::Enter(zoe(1, 1).member())).await.joined, 1);
    assert!(!lease(&a, zoe(1, 3)).await, "what was put back counts");
    for n in 1..=3 {
        change_leases(&b, Change::Leave(id(2, n))).await;
    }
    change_leases(&a, Change::Leave(id(1, 1))).await;
    let left = server.ask("KEYS fanwire:*").await;
    assert!(!left.contains(":p:") && !left.contains(":n:"), "{left}");
}
