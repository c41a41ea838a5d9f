//! Nodes that meet at a real Redis Cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_broker::{Broker, Change, Changes, DeadNode, Lease, LinkState, PublishError, Removed, SubscribeError};
use fanwire_protocol::{ConnectionId, Member, NodeId, UserId};
use std::sync::Arc;
use support::{
    cluster::Cluster,
    history::{MINUTE, all, kept, offsets},
    node::{Came, Node, channel, outcome, text, to},
    soon,
};

/// Two nodes, both subscribed to `channels`.
async fn pair(cluster: &Cluster, channels: &[String]) -> (Node, Node) {
    let (a, b) = (Node::joined_at(cluster.config(), 1).await, Node::joined_at(cluster.config(), 2).await);
    for channel in channels {
        a.subscribe(channel).await.unwrap();
        b.subscribe(channel).await.unwrap();
    }
    (a, b)
}

/// Publishes once to each channel at `from`, and checks that exactly that comes at `at`, gaps apart.
async fn reaches(from: &Node, at: &mut Node, channels: &[String], what: &str) {
    for channel in channels {
        from.publish(channel, &format!("{what} {channel}")).await.unwrap();
    }
    let expected: Vec<_> = channels.iter().map(|channel| text(&format!("{what} {channel}"))).collect();
    let mut came = Vec::new();
    while came.len() < expected.len() {
        let next = at.next().await;
        if next != Came::Gap {
            came.push(next);
        }
    }
    came.sort_by_key(|came| expected.iter().position(|expected| expected == came));
    assert_eq!(came, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_publishes_all_get_in_the_order_of_each_channel() {
    let cluster = Cluster::start(3).await;
    let channels: Vec<_> = (0..9).map(|n| format!("news:{n}")).collect();
    let (mut a, mut b) = pair(&cluster, &channels).await;
    let mut unanswered = Vec::new();
    for n in 0..500 {
        for channel in &channels {
            unanswered.push(a.take_in(channel, &format!("{channel} a{n}")).await.unwrap());
            unanswered.push(b.take_in(channel, &format!("{channel} b{n}")).await.unwrap());
        }
    }
    for accepted in unanswered {
        outcome(accepted).await.unwrap();
    }
    let mut orders = Vec::new();
    for node in [&mut a, &mut b] {
        let mut came = Vec::new();
        for _ in 0..9_000 {
            let Came::Text(text) = node.next().await else { panic!("not a text") };
            came.push(text);
        }
        orders.push(came);
    }
    for channel in &channels {
        let of = |came: &Vec<String>| -> Vec<_> {
            came.iter().filter(|text| text.starts_with(&format!("{channel} "))).cloned().collect()
        };
        let [at_a, at_b] = [of(&orders[0]), of(&orders[1])];
        assert!(at_a == at_b && at_a.len() == 1_000, "two nodes, two orders in {channel}");
    }
    a.broadcast("all").await.unwrap();
    assert_eq!((a.next().await, b.next().await), (text("all"), text("all")));
    assert_eq!(a.metric("fanwire_broker_gaps_total"), 0.0);
}

/// The client of the redis crate subscribes to all in one command after a reconnect, which the server refuses.
#[tokio::test]
async fn many_channels_in_different_slots_of_one_server_are_back_when_its_link_was_cut() {
    let cluster = Cluster::start(3).await;
    let channels = cluster.channels_at(0, 50).await;
    let (a, mut b) = pair(&cluster, &channels).await;
    reaches(&a, &mut b, &channels, "before").await;
    cluster.ask("CLIENT KILL TYPE pubsub").await;
    b.is_down_because("subscriber connection").await;
    a.is_up().await;
    b.is_up().await;
    reaches(&a, &mut b, &channels, "after").await;
    assert!(!cluster.ask("INFO errorstats").await.contains("CROSSSLOT"));
    assert_eq!(b.metric("fanwire_broker_gaps_total"), 3.0);
}

#[tokio::test]
async fn what_is_at_one_dead_server_fails_alone() {
    let mut cluster = Cluster::start(3).await;
    let (dead, alive) = (cluster.channels_at(2, 3).await, cluster.channels_at(1, 3).await);
    let (a, mut b) = pair(&cluster, &[dead.clone(), alive.clone()].concat()).await;
    let place = cluster.servers[2].port();
    cluster.servers[2].kill();
    let reason = b.is_down_because(&format!("127.0.0.1:{place}: ")).await;
    assert_eq!(reason.matches("127.0.0.1:").count(), reason.matches(&place.to_string()).count(), "{reason}");
    a.is_down().await;
    assert!(matches!(a.publish(&dead[0], "x").await, Err(PublishError::Unavailable(_))));
    assert!(matches!(a.subscribe(&dead[1]).await, Ok(()) | Err(SubscribeError::Unavailable(_))));
    assert!(matches!(*a.broker.link_to(&to(&dead[0])).borrow(), LinkState::Down(_)));
    assert_eq!(*a.broker.link_to(&to(&alive[0])).borrow(), LinkState::Up);
    reaches(&a, &mut b, &alive, "meanwhile").await;
    cluster.servers[2].restart().await;
    a.is_up().await;
    b.is_up().await;
    reaches(&a, &mut b, &dead, "again").await;
}

/// The texts that come until both channels have brought their end, and how many gaps.
async fn until_both_end(node: &mut Node) -> (Vec<String>, usize) {
    let (mut came, mut ends, mut gaps) = (Vec::new(), std::collections::HashSet::new(), 0);
    while ends.len() < 2 {
        match node.next().await {
            Came::Text(text) if text.starts_with("end") => ends.extend([text]),
            Came::Text(text) => came.push(text),
            Came::Gap => gaps += 1,
            Came::Kept(..) | Came::Change(_) => panic!("neither kept nor a change"),
        }
    }
    (came, gaps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_loses_no_order_and_doubles_nothing() {
    let cluster = Cluster::start(3).await;
    let moving = cluster.channels_at(0, 1).await.remove(0);
    let still = cluster.channels_at(1, 1).await.remove(0);
    let (a, mut b) = pair(&cluster, &[moving.clone(), still.clone()]).await;
    let listening = tokio::spawn(async move { until_both_end(&mut b).await });
    let mut acknowledged = Vec::new();
    for (round, server) in [1, 2, 0].into_iter().enumerate() {
        let publishing = async {
            let mut accepted = Vec::new();
            for n in 0..400 {
                for channel in [&moving, &still] {
                    let text = format!("{channel} {round} {n}");
                    accepted.push((text.clone(), a.take_in(channel, &text).await));
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            accepted
        };
        let (accepted, ()) = tokio::join!(publishing, cluster.migrate(&moving, server));
        for (text, accepted) in accepted {
            outcome(accepted.unwrap()).await.unwrap_or_else(|error| panic!("{text}: {error}"));
            acknowledged.push(text);
        }
        assert_eq!(cluster.owner(&moving).await, server);
    }
    while !listening.is_finished() {
        a.publish(&moving, "end moving").await.unwrap();
        a.publish(&still, "end still").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (came, gaps) = listening.await.unwrap();
    let of = |channel: &str, texts: &[String]| -> Vec<String> {
        texts.iter().filter(|text| text.starts_with(&format!("{channel} "))).cloned().collect()
    };
    assert_eq!(of(&still, &came), of(&still, &acknowledged), "what did not move lost something, or its order");
    let (sent, came) = (of(&moving, &acknowledged), of(&moving, &came));
    let mut rest = sent.iter();
    assert!(came.iter().all(|text| rest.any(|sent| sent == text)), "order was lost, or something came twice");
    assert!(came.len() == sent.len() || gaps > 0, "a loss that nobody was told of");
}

#[tokio::test]
async fn what_is_kept_moves_along_and_a_new_epoch_begins() {
    let cluster = Cluster::start(3).await;
    let room = cluster.channels_at(0, 1).await.remove(0);
    let (a, mut b) = pair(&cluster, std::slice::from_ref(&room)).await;
    let before = a.keep(kept(&room, "1")).await.unwrap();
    cluster.migrate(&room, 1).await;
    let after = a.keep(kept(&room, "2")).await.unwrap();
    assert!(after.epoch != before.epoch && after.offset == 1);
    let page = b.history(all(&room), MINUTE).await;
    assert_eq!((offsets(&page), page.newest), (vec![1], after.clone()));
    assert_eq!(b.next().await, Came::Kept("1".to_owned(), before));
    b.subscribe(&room).await.unwrap();
    let last = a.keep(kept(&room, "3")).await.unwrap();
    loop {
        match b.next().await {
            Came::Kept(text, place) if text == "3" => break assert_eq!(place, last),
            other => assert!(other == Came::Gap || other == Came::Kept("2".to_owned(), after.clone())),
        }
    }
}

#[tokio::test]
async fn servers_without_sharded_pub_sub_are_used_without_it() {
    let renamed = ["SSUBSCRIBE", "SPUBLISH", "SUNSUBSCRIBE"].map(|name| ["--rename-command", name, ""]).concat();
    let cluster = Cluster::with(3, &renamed).await;
    let channels: Vec<_> = (0..9).map(|n| format!("news:{n}")).collect();
    let (a, mut b) = pair(&cluster, &channels).await;
    reaches(&a, &mut b, &channels, "before").await;
    let moving = cluster.channels_at(0, 1).await;
    b.subscribe(&moving[0]).await.unwrap();
    cluster.migrate(&moving[0], 1).await;
    // Published at the new server as soon as a node knows of that; a bare PUBLISH is heard everywhere until then.
    reaches(&a, &mut b, &moving, "after").await;
    assert!(!cluster.ask("INFO commandstats").await.contains("cmdstat_spublish"));
}

#[tokio::test]
async fn a_standalone_redis_is_no_cluster() {
    let server = support::server::Server::start(&[]).await;
    let node = Node::start_at(fanwire_broker::redis::RedisServers::Cluster(vec![server.url()]), 1);
    node.is_down_because("cluster support disabled").await;
    assert!(matches!(node.broadcast("x").await, Err(PublishError::Unavailable(_))));
    assert!(matches!(soon("refusal", node.broker.subscribe(&channel("x"))).await, Err(SubscribeError::Unavailable(_))));
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_is_heard_at_every_server_and_a_dead_nodes_members_are_found() {
    let cluster = Cluster::start(3).await;
    let rooms: Vec<_> = (0..9).map(|n| format!("room:{n}")).collect();
    let (a, mut b) = pair(&cluster, &rooms).await;
    a.broker.show_life().await.unwrap();
    for room in &rooms {
        let member = Member { connection: ConnectionId(NodeId::from_random(1), 7), user: None, info: None };
        let changes = vec![Change::Enter(Arc::new(member))];
        let changes = Changes { channel: channel(room), changes, told: true, at: 1 };
        assert_eq!(soon("change", a.broker.change_members(changes)).await.unwrap().joined, 1);
        assert!(matches!(b.next().await, Came::Change(_)));
        assert_eq!(soon("counts", b.broker.count_members(&channel(room))).await.unwrap().connections, 1);
    }
    let lease = |user: u64, node: u64| {
        let user = UserId::parse(&format!("user {user}")).unwrap();
        Lease { user, connection: ConnectionId(NodeId::from_random(node), 7), limit: 1 }
    };
    for user in 0..9 {
        assert!(soon("lease", a.broker.lease(lease(user, 1))).await.unwrap());
        assert!(!soon("lease", b.broker.lease(lease(user, 2))).await.unwrap());
    }
    let removed = soon("removal", b.broker.remove_members(DeadNode::named("1.1"), 1)).await.unwrap();
    assert_eq!(removed, Removed { members: 9, leases: 9 });
    for user in 0..9 {
        assert!(soon("lease", b.broker.lease(lease(user, 2))).await.unwrap());
    }
    for _ in &rooms {
        assert!(matches!(b.next().await, Came::Change(_)));
    }
}
