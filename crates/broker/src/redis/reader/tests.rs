#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{
    Delivery, Feed, FeedItem, feed,
    metrics::RedisMetrics,
    partition::{Partition, Partitions},
    redis::{interest::Interest, kind::Kind, member::MemberId, names::Names, subscriptions::Owner},
};
use fanwire_protocol::{Content, NodeId, Publication, Target};
use prometheus::Registry;
use std::time::Duration;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};

fn broadcast() -> Arc<str> {
    Names::new("fanwire", 0).broadcast()
}

/// A reader over a pipe.
struct Rig {
    far: DuplexStream,
    sender: mpsc::Sender<FeedItem>,
    feed: Feed,
    member: Arc<Member>,
    doubt: Arc<Doubt>,
    came_round: oneshot::Receiver<()>,
    end: JoinHandle<End>,
}

impl Rig {
    fn new() -> Self {
        let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
        let interest = Arc::new(Interest::new([(broadcast(), Partition::BROADCASTS)], Arc::clone(&metrics)));
        interest.reroute(|_| Owner::Member(MemberId(0)));
        let name = Names::new("fanwire", 0).heartbeat(NodeId::from_random(1), 0);
        let member = Member::new(MemberId(0), None, name, &interest, &metrics);
        member.window.own(Partitions::all());
        Self::with(member)
    }

    fn with(member: Arc<Member>) -> Self {
        let (near, far) = duplex(1024 * 1024);
        let (sender, feed) = feed(1);
        let heartbeat = Arc::new(Heartbeat::new(&member.heartbeat(), Kind::Plain, 7));
        let rest = (BytesMut::new(), Replies::default());
        let (outlet, doubt) = (Outlet::new(sender.clone()), Arc::<Doubt>::default());
        let (reader, came_round) = Reader::new(near, rest, outlet, heartbeat, Arc::clone(&member), Arc::clone(&doubt));
        Self { far, sender, feed, member, doubt, came_round, end: tokio::spawn(reader.run()) }
    }

    async fn message(&mut self, name: &str, payload: &[u8]) {
        let mut bytes =
            format!("*3\r\n$7\r\nmessage\r\n${}\r\n{name}\r\n${}\r\n", name.len(), payload.len()).into_bytes();
        bytes.extend([payload, b"\r\n"].concat());
        self.far.write_all(&bytes).await.unwrap();
    }

    async fn beat(&mut self) {
        let (name, payload) = (self.member.heartbeat(), b"7-1");
        self.message(&name, payload).await;
    }

    async fn publication(&mut self, at: u64) {
        let publication = Arc::new(Publication::new(Target::Broadcast, Content::string("x")));
        let delivery = Delivery { publication, except: None, published_at: at };
        self.message(&broadcast(), &envelope::encode(NodeId::from_random(1), &delivery).unwrap()).await;
    }

    async fn next(&mut self) -> Vec<u64> {
        match self.feed.recv().await.unwrap() {
            FeedItem::Gap(_) => panic!("a gap"),
            FeedItem::Deliveries(deliveries) => deliveries.iter().map(|delivery| delivery.published_at).collect(),
        }
    }
}

fn lost(reason: &impl ToString) -> End {
    End::Lost(reason.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_silent_link_ends() {
    let mut rig = Rig::new();
    rig.beat().await;
    let since = Instant::now();
    assert_eq!(rig.end.await.unwrap(), lost(&crate::redis::watch::Dead::Silent));
    assert_eq!(since.elapsed(), crate::redis::watch::SILENCE);
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_only_others_are_heard_ends() {
    let mut rig = Rig::new();
    while !rig.end.is_finished() {
        rig.publication(1).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rig.end.await.unwrap(), lost(&crate::redis::watch::Dead::Deaf));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_for_room_is_not_a_dead_link() {
    let mut rig = Rig::new();
    rig.beat().await;
    (&mut rig.came_round).await.unwrap();
    for at in 1..=3 {
        rig.publication(at).await;
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(60)).await;
    rig.beat().await;
    for at in 1..=3 {
        assert_eq!(rig.next().await, [at]);
    }
    rig.publication(4).await;
    assert_eq!(rig.next().await, [4]);
    assert!(!rig.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_did_not_reach_the_feed_is_told_of_by_the_next_link() {
    let mut first = Rig::new();
    first.beat().await;
    (&mut first.came_round).await.unwrap();

    // Up, but the feed is full when it ends.
    let mut second = Rig::with(Arc::clone(&first.member));
    second.sender.try_send(FeedItem::Deliveries(Vec::new())).unwrap();
    second.beat().await;
    (&mut second.came_round).await.unwrap();
    second.end.abort();
    assert!((&mut second.end).await.unwrap_err().is_cancelled());
    assert_eq!(first.member.metrics.gaps.get(), 0);

    let mut third = Rig::with(Arc::clone(&first.member));
    third.publication(2).await;
    third.beat().await;
    assert!(matches!(third.feed.recv().await, Some(FeedItem::Gap(_))));
    assert_eq!(third.next().await, [2]);
    assert_eq!(first.member.metrics.gaps.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_redis_refuses_and_what_is_no_redis_end_the_link() {
    for (bytes, expected) in [
        (&b"-NOPERM no\r\n"[..], "Redis refused a subscription: NOPERM no"),
        (b"HTTP/1.1 400 Bad Request\r\n", "Redis sent what is not its protocol"),
    ] {
        let mut rig = Rig::new();
        rig.far.write_all(bytes).await.unwrap();
        let End::Lost(reason) = rig.end.await.unwrap() else { unreachable!() };
        assert!(reason.starts_with(expected), "{reason}");
    }
    let rig = Rig::new();
    drop(rig.far);
    assert_eq!(rig.end.await.unwrap(), lost(&"Redis closed the subscriber connection"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_feed_is_gone_ends() {
    let mut rig = Rig::new();
    rig.beat().await;
    (&mut rig.came_round).await.unwrap();
    rig.feed.close();
    rig.publication(1).await;
    assert_eq!(rig.end.await.unwrap(), End::FeedClosed);
}

impl Rig {
    async fn send(&mut self, bytes: &str) {
        self.far.write_all(bytes.as_bytes()).await.unwrap();
    }

    fn subscribe(&self) {
        self.member.interest.link_made(self.member.id, self.member.heartbeat());
    }
}

fn confirmation(verb: &str, name: &str) -> String {
    format!("*3\r\n${}\r\n{verb}\r\n${}\r\n{name}\r\n:1\r\n", verb.len(), name.len())
}

#[tokio::test(start_paused = true)]
async fn what_a_server_lets_go_of_or_refuses_is_a_doubt_and_no_end() {
    let mut rig = Rig::new();
    rig.subscribe();
    rig.member.interest.next_batch(rig.member.id).await;
    rig.send(&confirmation("ssubscribe", &broadcast())).await;
    rig.send(&confirmation("sunsubscribe", &broadcast())).await;
    rig.doubt.raised().await;
    assert_eq!(rig.doubt.take_hint(), None);
    rig.send("-MOVED 3894 127.0.0.1:7001\r\n").await;
    rig.doubt.raised().await;
    assert_eq!(rig.doubt.take_hint().unwrap().slot, 3894);
    assert!(!rig.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_on_its_way_from_another_server_is_told_when_it_is_here() {
    let mut rig = Rig::new();
    rig.subscribe();
    rig.beat().await;
    (&mut rig.came_round).await.unwrap();
    let broadcasts: Partitions = [Partition::BROADCASTS].into_iter().collect();
    rig.member.window.arrive(std::time::Instant::now(), broadcasts);
    rig.publication(1).await;
    rig.beat().await;
    rig.publication(2).await;
    assert_eq!(rig.next().await, [1, 2]);

    let batch = rig.member.interest.next_batch(rig.member.id).await;
    for name in &batch.subscribe {
        rig.send(&confirmation("ssubscribe", name)).await;
    }
    rig.publication(3).await;
    rig.beat().await;
    assert_eq!(rig.next().await, [3]);
    let Some(FeedItem::Gap(gap)) = rig.feed.recv().await else { panic!("no gap") };
    assert_eq!(gap.partitions, broadcasts);
    rig.publication(4).await;
    rig.beat().await;
    rig.publication(5).await;
    assert_eq!(rig.next().await, [4, 5]);
    assert_eq!(rig.member.metrics.gaps.get(), 1);
}
