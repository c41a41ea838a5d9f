//! Nodes that meet at a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_broker::{Broker, LinkState, PublishError, SubscribeError};
use support::{
    node::{Came, Node, channel, outcome, text},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_publishes_all_get_in_the_same_order() {
    let server = Server::start(&[]).await;
    let (mut a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    for node in [&a, &b] {
        node.subscribe("news").await.unwrap();
    }
    let mut unanswered = Vec::new();
    for n in 0..2_000 {
        unanswered.push(a.take_in("news", &format!("a{n}")).await.unwrap());
        // One who doesn't wait for the answer publishes all the same.
        drop(b.take_in("news", &format!("b{n}")).await.unwrap());
    }
    for accepted in unanswered {
        outcome(accepted).await.unwrap();
    }
    // Behind all that b published, whether somebody waited for it or not.
    b.broadcast("other end").await.unwrap();
    a.broadcast("end").await.unwrap();
    let end = text("end");
    let (at_a, at_b) = tokio::join!(a.until(&end), b.until(&end));
    assert!(at_a == at_b, "two nodes, two orders");
    for publisher in ["a", "b"] {
        let own = |came: &&Came| matches!(came, Came::Text(text) if text.starts_with(publisher));
        let expected: Vec<_> = (0..2_000).map(|n| text(&format!("{publisher}{n}"))).collect();
        assert!(at_a.iter().filter(own).eq(&expected), "{publisher} lost something, or its order");
    }
}

#[tokio::test]
async fn only_what_is_subscribed_arrives() {
    let server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("wanted").await.unwrap();
    b.subscribe("left").await.unwrap();
    b.subscribe("again").await.unwrap();
    b.broker.unsubscribe(&channel("left"));
    b.broker.unsubscribe(&channel("again"));
    b.subscribe("again").await.unwrap();
    // A confirmation of what was asked later is one of what was asked before.
    b.subscribe("last").await.unwrap();
    for name in ["left", "never", "wanted", "again"] {
        a.publish(name, name).await.unwrap();
    }
    a.broadcast("end").await.unwrap();
    assert_eq!(b.until(&text("end")).await, [text("wanted"), text("again")]);
    assert_eq!(a.metric("fanwire_broker_gaps_total"), 0.0);
}

#[tokio::test]
async fn databases_are_clusters_apart() {
    let server = Server::start(&[]).await;
    let url = format!("{}/3", server.url());
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&url, 2).await);
    a.broadcast("in 0").await.unwrap();
    b.broadcast("in 3").await.unwrap();
    assert_eq!(b.next().await, text("in 3"));
    assert!(server.ask("INFO keyspace").await.contains("db3"));
}

#[tokio::test]
async fn a_killed_redis_is_a_gap_and_every_answer_is_true() {
    let mut server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("news").await.unwrap();
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let mut on_their_way = Vec::new();
    for n in 0..500 {
        on_their_way.push((n, a.take_in("news", &format!("{n}")).await));
        if n == 250 {
            server.kill();
        }
    }
    a.is_down().await;
    b.is_down().await;
    on_their_way.push((500, a.take_in("news", "500").await));
    assert!(matches!(on_their_way[500].1, Err(PublishError::Unavailable(_))));
    assert!(matches!(a.subscribe("other").await, Err(SubscribeError::Unavailable(_))));
    for (n, accepted) in on_their_way {
        match async { outcome(accepted?).await }.await {
            Ok(()) => acknowledged.push(text(&format!("{n}"))),
            Err(PublishError::Unavailable(_)) => refused.push(text(&format!("{n}"))),
            Err(PublishError::Timeout) => {}
        }
    }

    server.restart().await;
    a.is_up().await;
    b.is_up().await;
    a.publish("news", "again").await.unwrap();
    let came = b.until(&text("again")).await;
    let (gaps, came): (Vec<_>, Vec<_>) = came.into_iter().partition(|came| *came == Came::Gap);
    assert_eq!(gaps.len(), 1);
    assert!(refused.iter().all(|text| !came.contains(text)), "what was refused arrived");
    assert!(acknowledged.starts_with(&came[..came.len().min(acknowledged.len())]), "order was lost");
    for node in [&a, &b] {
        assert_eq!(node.metric("fanwire_broker_gaps_total"), 1.0);
        assert!(node.metric("fanwire_broker_gap_seconds_total") > 0.0);
        assert!(node.metric("fanwire_broker_reconnects_total") >= 1.0);
    }
}

#[tokio::test]
async fn ten_thousand_channels_are_back_after_a_restart() {
    let mut server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let names: Vec<_> = (0..10_000).map(|n| channel(&format!("room:{n}"))).collect();
    let asked: Vec<_> = names.iter().map(|name| node.broker.subscribe(name)).collect();
    for confirmed in asked {
        confirmed.await.unwrap();
    }
    assert_eq!(node.metric("fanwire_broker_subscriptions"), 10_002.0);
    server.kill();
    node.is_down().await;
    assert_eq!(node.metric("fanwire_broker_subscriptions"), 0.0);
    server.restart().await;
    node.is_up().await;
    assert_eq!(node.metric("fanwire_broker_subscriptions"), 10_002.0);
    assert_eq!(server.ask("PUBSUB CHANNELS").await.lines().next(), Some("*10002"));
}

#[tokio::test]
async fn a_frozen_redis_is_noticed_and_nobody_waits_for_it() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.subscribe("news").await.unwrap();
    node.publish("news", "before").await.unwrap();
    server.freeze();
    let sent = node.take_in("news", "meanwhile").await.unwrap();
    let asked = node.broker.subscribe(&channel("other"));
    node.is_down().await;
    assert_eq!(outcome(sent).await, Err(PublishError::Timeout));
    asked.await.unwrap_err();
    assert!(matches!(node.publish("news", "refused").await, Err(PublishError::Unavailable(_))));
    node.is_down_because("no answer within").await;
    server.thaw();
    node.is_up().await;
    node.publish("news", "after").await.unwrap();
    let came = node.until(&text("after")).await;
    assert_eq!(came.iter().filter(|came| **came == Came::Gap).count(), 1);
    assert!(!came.contains(&text("refused")));
}

/// A frozen Redis still gets, once it thaws, what was written to it before: so nothing that was refused may be there.
#[tokio::test]
async fn what_was_refused_in_a_flood_on_a_frozen_redis_never_arrives() {
    let server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("news").await.unwrap();
    let padding = "x".repeat(10_000);
    server.freeze();
    let flood = (0..3_000).map(|n| {
        let (a, text) = (&a, format!("{n} {padding}"));
        async move { outcome(a.take_in("news", &text).await?).await }
    });
    let outcomes = futures_util::future::join_all(flood).await;
    let count = |wanted: fn(&PublishError) -> bool| {
        outcomes.iter().filter_map(|o| o.as_ref().err()).filter(|e| wanted(e)).count()
    };
    assert!(count(|error| matches!(error, PublishError::Unavailable(_))) > 0);
    assert!(count(|error| matches!(error, PublishError::Timeout)) > 0);
    server.thaw();
    a.is_down().await;
    b.is_down_because("").await;
    a.is_up().await;
    b.is_up().await;
    a.publish("news", "after").await.unwrap();
    for came in b.until(&text("after")).await {
        let Came::Text(came) = came else { continue };
        let n: usize = came.split_once(' ').unwrap().0.parse().unwrap();
        assert!(!matches!(outcomes[n], Err(PublishError::Unavailable(_))), "{n} was refused, and arrived");
    }
}

#[tokio::test]
async fn being_cut_off_is_a_gap() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.subscribe("news").await.unwrap();
    node.publish("news", "before").await.unwrap();
    server.ask("CLIENT KILL TYPE pubsub").await;
    node.is_down_because("subscriber connection").await;
    node.is_up().await;
    node.publish("news", "after").await.unwrap();
    assert_eq!(node.until(&text("after")).await, [text("before"), Came::Gap]);
}

#[tokio::test]
async fn a_publishing_connection_that_is_cut_ends_the_link() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    server.ask("CLIENT KILL TYPE normal").await;
    node.is_down_because("publishing").await;
    node.is_up().await;
    node.broadcast("after").await.unwrap();
    assert_eq!(node.until(&text("after")).await, [Came::Gap]);
}

#[tokio::test]
async fn a_demoted_primary_ends_the_link_though_other_bytes_flow() {
    let (server, primary) = (Server::start(&[]).await, Server::start(&[]).await);
    let node = Node::joined(&server.url(), 1).await;
    server.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port())).await;
    let reason = node.is_down_because("READONLY").await;
    assert!(reason.contains("heartbeat"), "{reason}");
    assert!(matches!(node.broadcast("x").await, Err(PublishError::Unavailable(_))));
}

#[tokio::test]
async fn a_wrong_password_is_a_reason_without_secrets() {
    let mut server = Server::start(&["--requirepass", "right"]).await;
    let with = |password: &str| server.url().replace("redis://", &format!("redis://:{password}@"));
    let node = Node::start(&with("wrong-secret"), 1);
    let reason = node.is_down_because("log in").await;
    assert!(reason.contains("log in") && !reason.contains("secret"), "{reason}");
    assert!(matches!(node.broadcast("x").await, Err(PublishError::Unavailable(_))));
    Node::joined(&with("right"), 2).await;
    let without = Node::start(&server.url(), 3);
    assert!(without.is_down_because("NOAUTH").await.contains("NOAUTH"));
    server.kill();
}

#[tokio::test]
async fn a_redis_that_repeats_the_password_does_not_give_it_away() {
    let server = Server::start(&["--rename-command", "AUTH", "\"\""]).await;
    let node = Node::start(&server.url().replace("redis://", "redis://:hunter2@"), 1);
    let reason = node.is_down_because("log in").await;
    assert!(!reason.contains("hunter2"), "{reason}");
}

#[tokio::test]
async fn one_who_may_not_publish_is_told_so() {
    let server = Server::start(&[]).await;
    let acl = "on >secret allcommands ~* &fanwire:{node-1}:h &fanwire:{all}:b &fanwire:{*}:c:open";
    assert!(server.ask(&format!("ACL SETUSER narrow {acl}")).await.starts_with("+OK"));
    let url = server.url().replace("redis://", "redis://narrow:secret@");
    let node = Node::joined(&url, 1).await;
    node.publish("open", "x").await.unwrap();
    let Err(PublishError::Unavailable(reason)) = node.publish("closed", "x").await else { panic!("published") };
    assert!(reason.contains("NOPERM"), "{reason}");
}

#[tokio::test]
async fn a_feed_that_nobody_takes_from_holds_the_reader_up_and_nothing_else() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.subscribe("news").await.unwrap();
    for n in 0..5_000 {
        node.publish("news", &format!("{n}")).await.unwrap();
    }
    // Longer than a silent link lives.
    tokio::time::sleep(std::time::Duration::from_millis(3_000)).await;
    node.publish("news", "end").await.unwrap();
    let expected: Vec<_> = (0..5_000).map(|n| text(&format!("{n}"))).collect();
    assert_eq!(node.until(&text("end")).await, expected);
    node.publish("news", "still here").await.unwrap();
    assert_eq!(node.next().await, text("still here"));
    assert_eq!(node.metric("fanwire_broker_reconnects_total"), 0.0);
}

#[tokio::test]
async fn what_is_no_publication_is_counted_and_skipped() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    server.ask("PUBLISH fanwire:{all}:b garbage").await;
    server.ask("PUBLISH fanwire:{node-1}:h 1-1").await;
    node.broadcast("good").await.unwrap();
    assert_eq!(node.next().await, text("good"));
    assert_eq!(node.metric("fanwire_broker_invalid_envelopes_total"), 1.0);
    assert_eq!(node.metric("fanwire_broker_received_total"), 1.0);
}

#[tokio::test]
async fn what_stops_tells_everyone() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.stop().await;
    node.is_down_because("stopping").await;
    assert!(matches!(node.broadcast("x").await, Err(PublishError::Unavailable(_))));
    support::soon("connections closed", async {
        while server.ask("CLIENT LIST").await.contains("fanwire-1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_link_whose_feed_nobody_wants_ends() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let link = node.broker.link();
    node.leave().await;
    assert!(matches!(&*link.borrow(), LinkState::Down(reason) if reason.contains("stopping")));
}

#[tokio::test]
async fn what_no_node_could_read_is_refused() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let Err(PublishError::Unavailable(reason)) = node.broadcast(&"x".repeat(64 * 1024 * 1024)).await else {
        panic!("published")
    };
    assert!(reason.contains("more than"), "{reason}");
}
