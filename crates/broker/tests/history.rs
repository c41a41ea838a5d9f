//! Histories at a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use fanwire_broker::{Broker, Delivery, MAX_PAGE, PublishError, Publishing, Query, ReadError, Retention, envelope};
use fanwire_protocol::{Content, IdempotencyKey, NodeId, Position, Publication, Target};
use std::{sync::Arc, time::Duration};
use support::{
    history::{MINUTE, all, kept, newest, offsets, publish, since},
    node::{Came, Node, plain, text, to},
    server::Server,
    soon,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_have_no_gaps_however_many_publish() {
    let server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("room").await.unwrap();
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..8 {
        let broker = Arc::clone(if publisher % 2 == 0 { &a.broker } else { &b.broker });
        publishers.spawn(async move {
            let mut on_their_way = Vec::new();
            for n in 0..250 {
                on_their_way.push(broker.publish(kept("room", &format!("{publisher}.{n}"))).await.unwrap());
            }
            let mut places = Vec::new();
            for accepted in on_their_way {
                places.push(accepted.await.unwrap().unwrap().unwrap().offset);
            }
            assert!(places.is_sorted(), "publisher {publisher} lost its order");
            places
        });
    }
    let mut given = soon("publishers", publishers.join_all()).await.concat();
    given.sort_unstable();
    assert_eq!(given, (1..=2_000).collect::<Vec<_>>());

    let mut last = None;
    let mut page = a.history(all("room"), MINUTE).await;
    for offset in 1..=2_000 {
        let Came::Kept(_, place) = b.next().await else { panic!("not kept") };
        assert_eq!(place.offset, offset);
        if page.publications.is_empty() {
            page = a.history(since("room", last.as_ref().unwrap()), MINUTE).await;
            assert!(page.complete);
        }
        assert_eq!(page.publications.remove(0).publication.position.as_ref(), Some(&place));
        last = Some(place);
    }
    assert_eq!(Some(page.newest), last);
}

#[tokio::test]
async fn what_is_kept_and_what_is_not_keep_their_order() {
    let server = Server::start(&[]).await;
    let (a, mut b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    b.subscribe("kept").await.unwrap();
    b.subscribe("plain").await.unwrap();
    let mut on_their_way = Vec::new();
    for n in 0..500 {
        let publishing = if n % 3 == 0 { kept("kept", &n.to_string()) } else { plain(to("plain"), &n.to_string()) };
        on_their_way.push(a.broker.publish(publishing).await.unwrap());
    }
    for accepted in on_their_way {
        accepted.await.unwrap().unwrap();
    }
    for n in 0..500 {
        let (Came::Text(text) | Came::Kept(text, _)) = b.next().await else { panic!("a gap") };
        assert_eq!(text, n.to_string());
    }
}

#[tokio::test]
async fn as_many_are_kept_as_are_wanted() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let ten = Retention { size: 10, ..MINUTE };
    for n in 1..=250u64 {
        let publishing = Publishing { retention: Some(ten), ..kept("room", "x") };
        assert_eq!(node.keep(publishing).await.unwrap().offset, n);
        if n % 50 == 0 {
            assert_eq!(offsets(&node.history(all("room"), ten).await), (n - 9..=n).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn pages_hold_what_was_asked_for() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let five = Retention { size: 5, ..MINUTE };
    for _ in 0..8 {
        node.keep(Publishing { retention: Some(five), ..kept("room", "x") }).await.unwrap();
    }
    let epoch = newest(&node, "room").await.epoch;
    let other = newest(&node, "elsewhere").await.epoch;
    for (since, limit, reverse, expected, complete) in [
        (None, 9, false, vec![4, 5, 6, 7, 8], true),
        (None, 2, false, vec![4, 5], true),
        (None, 9, true, vec![8, 7, 6, 5, 4], true),
        (None, 0, false, vec![], true),
        (Some((&epoch, 3)), 9, false, vec![4, 5, 6, 7, 8], true),
        (Some((&epoch, 3)), 0, false, vec![], true),
        (Some((&epoch, 5)), 2, false, vec![6, 7], true),
        (Some((&epoch, 8)), 9, false, vec![], true),
        (Some((&epoch, 2)), 9, false, vec![4, 5, 6, 7, 8], false),
        (Some((&epoch, 2)), 0, false, vec![], false),
        (Some((&epoch, 9)), 9, false, vec![], false),
        (Some((&epoch, u64::MAX)), 9, false, vec![], false),
        (Some((&other, 8)), 2, false, vec![4, 5], false),
        (Some((&epoch, 6)), 9, true, vec![5, 4], true),
        (Some((&epoch, 6)), 1, true, vec![5], true),
        (Some((&epoch, 4)), 9, true, vec![], false),
        (Some((&epoch, 1)), 9, true, vec![], true),
        (Some((&epoch, 0)), 9, true, vec![], true),
        (Some((&other, 6)), 2, true, vec![8, 7], false),
    ] {
        let place = since.map(|(epoch, offset)| Position { epoch: epoch.clone(), offset });
        let page = node.history(Query { target: to("room"), since: place, limit, reverse }, five).await;
        assert_eq!((offsets(&page), page.complete), (expected, complete), "{since:?} {limit} {reverse}");
        assert_eq!(page.newest, Position { epoch: epoch.clone(), offset: 8 });
    }
    assert!(node.metric("fanwire_broker_history_seconds_count{result=\"read\"}") >= 19.0);
}

#[tokio::test]
async fn a_page_is_bounded() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    publish(&node, "room", u64::from(MAX_PAGE) + 1).await;
    let page = node.history(Query { limit: u32::MAX, ..all("room") }, MINUTE).await;
    assert_eq!(offsets(&page).last(), Some(&u64::from(MAX_PAGE)));
}

#[tokio::test]
async fn publications_expire_and_the_epoch_goes_on() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let place = publish(&node, "room", 3).await;
    let long: i64 = number(&server.ask("PTTL fanwire:{411}:s:room").await);
    assert!((50_000..=60_000).contains(&long), "{long}");
    let long: i64 = number(&server.ask("PTTL fanwire:{411}:m:room").await);
    assert!((86_450_000..=86_460_000).contains(&long), "{long}");

    let brief = Retention { ttl: Duration::from_millis(20), ..MINUTE };
    node.keep(Publishing { retention: Some(brief), ..kept("room", "x") }).await.unwrap();
    soon("expired", async {
        while server.ask("EXISTS fanwire:{411}:s:room").await.starts_with(":1") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let last = Position { offset: 4, ..place.clone() };
    assert_eq!(newest(&node, "room").await, last);
    assert!(node.history(since("room", &last), MINUTE).await.complete);
    assert!(!node.history(since("room", &place), MINUTE).await.complete);
    assert_eq!(publish(&node, "room", 1).await, Position { offset: 5, ..place });
}

#[tokio::test]
async fn a_place_that_was_only_read_stays_and_expires() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let place = newest(&node, "room").await;
    assert_eq!(place.offset, 0);
    assert_eq!(newest(&node, "room").await, place);
    assert!(number(&server.ask("PTTL fanwire:{411}:m:room").await) > 0);
    assert_eq!(publish(&node, "room", 1).await, Position { offset: 1, ..place });
}

#[tokio::test]
async fn the_same_key_is_published_once() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let with_key = |name: &str, key: &str| Publishing { idempotency_key: IdempotencyKey::new(key), ..kept(name, "x") };
    let first = node.keep(with_key("room", "k 1\n")).await.unwrap();
    publish(&node, "room", 1).await;
    assert_eq!(node.keep(with_key("room", "k 1\n")).await.unwrap(), first);
    assert_eq!(node.keep(with_key("room", "k 2\n")).await.unwrap().offset, 3);
    assert_eq!(node.keep(with_key("other", "k 1\n")).await.unwrap().offset, 1);
    assert_eq!(newest(&node, "room").await.offset, 3);
    node.keep(with_key("room", "key")).await.unwrap();
    let long = number(&server.ask("PTTL fanwire:{411}:i:4:room:key").await);
    assert!((290_000..=300_000).contains(&long), "{long}");
}

#[tokio::test]
async fn broadcasts_are_kept_too() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    let broadcast = |text| Publishing { retention: Some(MINUTE), ..plain(Target::Broadcast, text) };
    let first = node.keep(broadcast("1")).await.unwrap();
    let second = node.keep(broadcast("2")).await.unwrap();
    assert_eq!(node.next().await, Came::Kept("1".to_owned(), first.clone()));
    assert_eq!(node.next().await, Came::Kept("2".to_owned(), second.clone()));
    let query = Query { target: Target::Broadcast, since: Some(first), limit: 9, reverse: false };
    let page = node.history(query, MINUTE).await;
    assert_eq!((offsets(&page), page.newest, page.complete), (vec![2], second, true));
    assert!(server.ask("EXISTS fanwire:{all}:s fanwire:{all}:m").await.starts_with(":2"));
}

#[tokio::test]
async fn a_script_writes_envelopes_as_nodes_do() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    for offset in [1u64, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 9_007_199_254_740_991] {
        newest(&node, "room").await;
        server.ask(&format!("HSET fanwire:{{411}}:m:room offset {}", offset - 1)).await;
        let place = publish(&node, "room", 1).await;
        assert_eq!(place.offset, offset);
        let written = server
            .ask(
                "EVAL \"return (string.gsub(redis.call('XREVRANGE', KEYS[1], '+', '-')[1][2][2], '.', \
                 function(c) return string.format('%02x', string.byte(c)) end))\" 1 fanwire:{411}:s:room",
            )
            .await;
        let publication = Publication::new(to("room"), Content::string("0")).at(place);
        let delivery = Delivery { publication: Arc::new(publication), except: None, published_at: 1 };
        let expected: String = envelope::encode(NodeId::from_random(1), &delivery)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(written.lines().nth(1), Some(&*expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_its_scripts_costs_no_order_and_no_message() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.subscribe("room").await.unwrap();
    let (mut on_their_way, mut last) = (Vec::new(), 0);
    for n in 0..3_000 {
        on_their_way.push(node.broker.publish(kept("room", &n.to_string())).await.unwrap());
        if n % 300 == 0 {
            assert!(server.ask("SCRIPT FLUSH").await.starts_with("+OK"));
            assert!(newest(&node, "room").await.offset <= n + 1);
        }
    }
    for accepted in on_their_way {
        let place = soon("answer", accepted).await.unwrap().unwrap().unwrap();
        assert_eq!(place.offset, last + 1);
        last = place.offset;
    }
    for n in 0..3_000 {
        let Came::Kept(text, _) = node.next().await else { panic!("not kept") };
        assert_eq!(text, n.to_string());
    }
}

/// Another node brings the script back while this one still has publications on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_another_node_brings_back_cost_no_order() {
    let server = Server::start(&[]).await;
    let (a, b) = (Node::joined(&server.url(), 1).await, Node::joined(&server.url(), 2).await);
    let mut on_their_way = Vec::new();
    for n in 0..3_000 {
        on_their_way.push(a.broker.publish(kept("room", "x")).await.unwrap());
        if n % 100 == 0 {
            server.ask("SCRIPT FLUSH").await;
            publish(&b, "other", 1).await;
        }
    }
    let mut last = 0;
    for accepted in on_their_way {
        match soon("answer", accepted).await.unwrap() {
            Ok(place) => {
                assert_eq!(place.as_ref().unwrap().offset, last + 1);
                last = place.unwrap().offset;
            }
            Err(error) => assert!(error.to_string().contains("took a later publication first"), "{error}"),
        }
    }
    assert_eq!(newest(&a, "room").await.offset, last);
}

#[tokio::test]
async fn a_full_redis_refuses_and_changes_nothing() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    let before = publish(&node, "room", 3).await;
    server.ask("CONFIG SET maxmemory 1").await;
    for name in ["room", "new"] {
        let Err(PublishError::Unavailable(reason)) = node.keep(kept(name, "x")).await else { panic!("published") };
        assert!(reason.contains("OOM"), "{reason}");
    }
    assert_eq!(node.history(all("room"), MINUTE).await.publications.len(), 3);
    server.ask("CONFIG SET maxmemory 0").await;
    assert_eq!(publish(&node, "room", 1).await, Position { offset: 4, ..before });
}

#[tokio::test]
async fn what_redis_refuses_and_a_link_that_is_down_are_told() {
    let mut server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    server.ask("SET fanwire:{411}:m:room other").await;
    let refused = soon("history", node.broker.history(all("room"), MINUTE)).await.unwrap_err();
    assert!(matches!(&refused, ReadError::Unavailable(reason) if reason.contains("WRONGTYPE")), "{refused}");
    server.kill();
    node.is_down().await;
    let refused = soon("history", node.broker.history(all("room"), MINUTE)).await;
    assert!(matches!(refused, Err(ReadError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn these_rights_are_enough() {
    let server = Server::start(&[]).await;
    let acl = "on >secret resetkeys ~fanwire:* resetchannels &fanwire:* nocommands +auth +hello +subscribe \
               +unsubscribe +publish +eval +evalsha +info +hmget +hset +pexpire +unlink +xadd +get +set +xrange \
               +xrevrange";
    assert!(server.ask(&format!("ACL SETUSER narrow {acl}")).await.starts_with("+OK"));
    let node = Node::joined(&server.url().replace("redis://", "redis://narrow:secret@"), 1).await;
    let publishing = || Publishing { idempotency_key: IdempotencyKey::new("k"), ..kept("room", "x") };
    let place = node.keep(publishing()).await.unwrap();
    assert_eq!(node.keep(publishing()).await.unwrap(), place);
    assert_eq!(publish(&node, "room", 1).await.offset, 2);
    for reverse in [false, true] {
        assert_eq!(node.history(Query { reverse, ..all("room") }, MINUTE).await.publications.len(), 2);
    }
}

#[tokio::test]
async fn a_frozen_redis_keeps_no_reader_waiting() {
    let server = Server::start(&[]).await;
    let node = Node::joined(&server.url(), 1).await;
    server.freeze();
    let asked = (0..100).map(|_| node.broker.history(all("room"), MINUTE));
    let answers = soon("histories", futures_util::future::join_all(asked)).await;
    assert!(answers.iter().all(Result::is_err));
    server.thaw();
    node.is_down_because("").await;
    node.is_up().await;
    publish(&node, "room", 1).await;
    assert_eq!(offsets(&node.history(all("room"), MINUTE).await), [1]);
}

#[tokio::test]
async fn entries_that_are_no_publications_are_left_out() {
    let server = Server::start(&[]).await;
    let mut node = Node::joined(&server.url(), 1).await;
    node.subscribe("room").await.unwrap();
    let first = publish(&node, "room", 1).await;
    server.ask("XADD fanwire:{411}:s:room 2-0 d garbage").await;
    server.ask("HSET fanwire:{411}:m:room offset 2").await;
    publish(&node, "room", 2).await;
    let page = node.history(all("room"), MINUTE).await;
    assert_eq!((offsets(&page), page.complete), (vec![1], true));
    let page = node.history(since("room", &first), MINUTE).await;
    assert_eq!((offsets(&page), page.complete), (vec![3, 4], false));
    assert_eq!(node.next().await, Came::Kept("0".to_owned(), first));
    node.publish("room", "end").await.unwrap();
    assert_eq!(node.until(&text("end")).await.len(), 2);
}

fn number(reply: &str) -> i64 {
    let line = reply.lines().next().and_then(|line| line.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no number: {reply}")).parse().unwrap()
}
