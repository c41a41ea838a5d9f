#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Accepted, PublishError, Retention,
    metrics::RedisMetrics,
    partition::Partition,
    redis::{
        keep::Keep,
        names::Names,
        ticket::{ANSWER_WITHIN, Ticket},
    },
};
use fanwire_protocol::{ChannelName, Target};
use prometheus::Registry;
use redis::{AsyncConnectionConfig, IntoConnectionInfo};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinSet,
};

fn target(channel: &str) -> Target {
    Target::Channel(ChannelName::parse(channel).unwrap())
}

fn metrics() -> Arc<RedisMetrics> {
    Arc::new(RedisMetrics::register(&Registry::new()).unwrap())
}

#[track_caller]
fn check_fitting(lengths: &[usize], expected: usize) {
    let metrics = metrics();
    let job = |length: &usize| Job {
        name: "c".into(),
        partition: Partition::BROADCASTS,
        payload: vec![0; *length],
        keep: None,
        ticket: Ticket::new(Arc::clone(&metrics)).0,
    };
    assert_eq!(fitting(&lengths.iter().map(job).collect::<Vec<_>>()), expected);
}

#[test]
fn a_batch_is_bounded_by_number_and_bytes() {
    check_fitting(&[10], 1);
    check_fitting(&[10, MAX_BYTES - 10, 1], 2);
    check_fitting(&[MAX_BYTES + 1, 1], 1);
    check_fitting(&[1; MAX_JOBS + 1], MAX_JOBS);
}

/// A publisher over a pipe of `room` bytes, and the other end of the pipe.
struct Rig {
    jobs: mpsc::Sender<Job>,
    withdrawals: mpsc::Sender<Withdraw>,
    doubt: Arc<Doubt>,
    far: DuplexStream,
    tasks: JoinSet<()>,
    metrics: Arc<RedisMetrics>,
}

impl Rig {
    async fn new(room: usize) -> Self {
        Self::of(room, Kind::Plain).await
    }

    async fn of(room: usize, kind: Kind) -> Self {
        let (near, far) = duplex(room);
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(MAX_IN_FLIGHT);
        let info = "redis://127.0.0.1".into_connection_info().unwrap().redis_settings().clone();
        let info = info.set_skip_set_lib_name();
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, near, config).await.unwrap();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (withdrawals, withdrawn) = mpsc::channel(QUEUE);
        let doubt = Arc::<Doubt>::default();
        let work = Work { jobs: queue, withdrawals: withdrawn };
        let publisher = Publisher::new(connection, kind, Arc::clone(&doubt), work);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        tasks.spawn(async move { drop(publisher.run().await) });
        Self { jobs, withdrawals, doubt, far, tasks, metrics: metrics() }
    }

    async fn publish(&self, n: usize, padding: usize) -> Accepted {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let payload = format!("<{n}>{}", "x".repeat(padding)).into_bytes();
        self.send("c", payload, None, ticket).await;
        accepted
    }

    async fn send(&self, channel: &str, payload: Vec<u8>, keep: Option<Keep>, ticket: Ticket) {
        let target = target(channel);
        let (name, partition) = (Names::new("fanwire", 0).target(&target), Partition::of_target(&target));
        self.jobs.send(Job { name, partition, payload, keep, ticket }).await.unwrap();
    }

    /// The numbers of the publications that can be read from the pipe, in order.
    async fn read(mut self) -> Vec<usize> {
        drop(self.jobs);
        self.tasks.shutdown().await;
        let mut bytes = Vec::new();
        self.far.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.split('<').skip(1).filter_map(|rest| rest.split_once('>')?.0.parse().ok()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_frozen_redis_never_got_is_unavailable_and_the_rest_may_be_delivered() {
    let rig = Rig::new(10_000).await;
    let mut answers = Vec::new();
    // More than fit into the batches on their way; as many as the queue takes besides.
    for n in 0..MAX_IN_FLIGHT + 100 {
        answers.push((n, rig.publish(n, MAX_BYTES).await));
    }
    let since = Instant::now();
    let (mut unavailable, mut unanswered) = (Vec::new(), Vec::new());
    for (n, answer) in answers {
        match answer.await.unwrap().unwrap_err() {
            PublishError::Unavailable(_) => unavailable.push(n),
            PublishError::Timeout => unanswered.push(n),
        }
    }
    assert!(since.elapsed() < ANSWER_WITHIN + Duration::from_millis(10));
    assert_eq!(unanswered, (0..MAX_IN_FLIGHT).collect::<Vec<_>>());
    assert_eq!(unavailable.len(), 100);
    assert!(rig.read().await.iter().all(|n| unanswered.contains(n)));
}

/// Batches are handed over one after the other although none is answered.
#[tokio::test]
async fn order_is_kept_over_many_batches() {
    let rig = Rig::new(16 * 1024 * 1024).await;
    let mut answers = Vec::new();
    for n in 0..3_000 {
        answers.push(rig.publish(n, 0).await);
    }
    while rig.jobs.capacity() < QUEUE {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let read = rig.read().await;
    assert_eq!(read, (0..read.len()).collect::<Vec<_>>());
    assert_eq!(read.len(), 3_000);
}

#[tokio::test]
async fn each_gets_the_answer_to_its_own() {
    let mut rig = Rig::new(1024 * 1024).await;
    let (good, bad, dropped) = (rig.publish(1, 0).await, rig.publish(2, 0).await, rig.publish(3, 0).await);
    drop(dropped);
    let last = rig.publish(4, 0).await;
    let mut asked = Vec::new();
    while !asked.ends_with(b"<4>\r\n") {
        rig.far.read_buf(&mut asked).await.unwrap();
    }
    rig.far.write_all(b":7\r\n-NOPERM no\r\n:0\r\n:1\r\n").await.unwrap();
    assert_eq!(good.await.unwrap(), Ok(None));
    let refused = PublishError::Unavailable("Redis refused it: NOPERM no".to_owned());
    assert_eq!(bad.await.unwrap(), Err(refused));
    assert_eq!(last.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_no_question_open() {
    let rig = Rig::new(1024 * 1024).await;
    let accepted = rig.publish(1, 0).await;
    let Rig { jobs, far, mut tasks, .. } = rig;
    while jobs.capacity() < QUEUE {
        tokio::task::yield_now().await;
    }
    drop(far);
    assert_eq!(accepted.await.unwrap(), Err(PublishError::Timeout));
    while tasks.join_next().await.is_some() {}
    assert!(jobs.is_closed());
}

const KNOWN_PLACE: &[u8] = b"*2\r\n$2\r\nep\r\n:7\r\n";
const UNKNOWN: &[u8] = b"-NOSCRIPT No matching script. Please use EVAL.\r\n";

impl Rig {
    async fn keep(&self, channel: &str, n: usize) -> Accepted {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let retention = Retention { size: 10, ttl: Duration::from_secs(60) };
        let keep = Keep::new(&Names::new("fanwire", 0), &target(channel), retention, None);
        self.send(channel, format!("<{n}>").into_bytes(), Some(keep), ticket).await;
        accepted
    }

    /// A publication to `channel`, sharded, which is not kept.
    async fn shard(&self, channel: &str, n: usize) -> Accepted {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        self.send(channel, format!("<{n}>").into_bytes(), None, ticket).await;
        accepted
    }

    /// The commands up to the one that publishes `last`: whether each has a script's text, its hash, or none, and what
    /// it publishes.
    async fn commands(&mut self, last: usize) -> Vec<(String, usize)> {
        let mut bytes = Vec::new();
        let end = format!("<{last}>");
        while !bytes.windows(end.len()).any(|window| window == end.as_bytes()) {
            self.far.read_buf(&mut bytes).await.unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        let mut commands = Vec::new();
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if at >= 2 && lines[at - 2].starts_with('*') {
                commands.push(((*line).to_owned(), 0));
            } else if let Some(n) = line.trim_end().strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
                commands.last_mut().unwrap().1 = n.parse().unwrap();
            }
        }
        commands
    }

    async fn answer(&mut self, replies: &[&[u8]]) {
        self.far.write_all(&replies.concat()).await.unwrap();
    }
}

fn commands(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(command, n)| ((*command).to_owned(), *n)).collect()
}

async fn offset(accepted: Accepted) -> u64 {
    accepted.await.unwrap().unwrap().unwrap().offset
}

#[tokio::test]
async fn what_redis_missed_is_sent_again_in_order_and_before_what_is_later() {
    let mut rig = Rig::new(1024 * 1024).await;
    let (first, second) = (rig.keep("a", 1).await, rig.keep("a", 2).await);
    assert_eq!(rig.commands(2).await, commands(&[("EVAL", 1), ("EVALSHA", 2)]));
    rig.answer(&[KNOWN_PLACE, KNOWN_PLACE]).await;
    assert_eq!((offset(first).await, offset(second).await), (7, 7));

    let missed = [rig.keep("a", 3).await, rig.keep("b", 4).await];
    let plain = rig.publish(5, 0).await;
    assert_eq!(rig.commands(5).await, commands(&[("EVALSHA", 3), ("EVALSHA", 4), ("PUBLISH", 5)]));
    rig.answer(&[UNKNOWN]).await;
    // Of the next batch, which is on its way when the script turns out to be unknown.
    let next = rig.keep("a", 6).await;
    assert_eq!(rig.commands(6).await, commands(&[("EVALSHA", 6)]));
    rig.answer(&[UNKNOWN, b":1\r\n"]).await;
    assert_eq!(plain.await.unwrap(), Ok(None));
    // Of other partitions nothing waits; of these all does.
    let (elsewhere, later) = (rig.publish(7, 0).await, rig.keep("a", 8).await);
    assert_eq!(rig.commands(7).await, commands(&[("PUBLISH", 7)]));
    rig.answer(&[UNKNOWN]).await;
    let again = [("EVAL", 3), ("EVALSHA", 4), ("EVALSHA", 6), ("EVALSHA", 8)];
    assert_eq!(rig.commands(8).await, commands(&again));
    rig.answer(&[b":1\r\n", KNOWN_PLACE, KNOWN_PLACE, KNOWN_PLACE, KNOWN_PLACE]).await;
    for accepted in missed.into_iter().chain([next, later]) {
        assert_eq!(offset(accepted).await, 7);
    }
    assert_eq!(elsewhere.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn what_was_overtaken_in_its_channel_is_refused() {
    let mut rig = Rig::new(1024 * 1024).await;
    let (overtaken, other, taken) = (rig.keep("a", 1).await, rig.keep("b", 2).await, rig.keep("a", 3).await);
    rig.commands(3).await;
    rig.answer(&[UNKNOWN, UNKNOWN, KNOWN_PLACE]).await;
    assert!(matches!(overtaken.await.unwrap(), Err(PublishError::Unavailable(_))));
    assert_eq!(offset(taken).await, 7);
    assert_eq!(rig.commands(2).await, commands(&[("EVAL", 2)]));
    rig.answer(&[KNOWN_PLACE]).await;
    assert_eq!(offset(other).await, 7);
}

#[tokio::test(start_paused = true)]
async fn what_redis_missed_before_it_froze_is_unavailable_in_time() {
    let mut rig = Rig::new(1024 * 1024).await;
    let missed = rig.keep("a", 1).await;
    rig.commands(1).await;
    let unanswered = rig.publish(2, 0).await;
    rig.commands(2).await;
    rig.answer(&[UNKNOWN]).await;
    let since = Instant::now();
    assert!(matches!(missed.await.unwrap(), Err(PublishError::Unavailable(_))));
    assert_eq!(unanswered.await.unwrap(), Err(PublishError::Timeout));
    assert!(since.elapsed() < ANSWER_WITHIN + Duration::from_millis(10));
}

#[tokio::test]
async fn an_answer_that_is_no_place_may_be_a_publication() {
    let mut rig = Rig::new(1024 * 1024).await;
    let accepted = rig.keep("a", 1).await;
    rig.commands(1).await;
    rig.answer(&[b"+OK\r\n"]).await;
    assert_eq!(accepted.await.unwrap(), Err(PublishError::Timeout));
}

const MOVED: &[u8] = b"-MOVED 5421 127.0.0.1:7001\r\n";
const DOWN: &[u8] = b"-CLUSTERDOWN The cluster is down\r\n";
const DONE: &[u8] = b":0\r\n";

#[tokio::test(start_paused = true)]
async fn what_a_server_can_not_take_now_is_sent_again_in_order_and_held_back_behind_it() {
    let mut rig = Rig::of(1024 * 1024, Kind::Sharded).await;
    let (first, other) = (rig.shard("a", 1).await, rig.shard("b", 2).await);
    assert_eq!(rig.commands(2).await, commands(&[("SPUBLISH", 1), ("SPUBLISH", 2)]));
    let second = rig.shard("a", 3).await;
    rig.commands(3).await;
    rig.answer(&[DOWN, DONE]).await;
    assert_eq!(other.await.unwrap(), Ok(None));
    // Of the same partition nothing is sent before it, of others all.
    let (held, free) = (rig.shard("a", 4).await, rig.shard("b", 5).await);
    assert_eq!(rig.commands(5).await, commands(&[("SPUBLISH", 5)]));
    rig.answer(&[DOWN, DONE]).await;
    let again = [("SPUBLISH", 1), ("SPUBLISH", 3), ("SPUBLISH", 4)];
    assert_eq!(rig.commands(4).await, commands(&again));
    rig.answer(&[DONE, DONE, DONE]).await;
    for accepted in [first, second, held, free] {
        assert_eq!(accepted.await.unwrap(), Ok(None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_can_be_taken_is_certainly_not_published() {
    let mut rig = Rig::of(1024 * 1024, Kind::Sharded).await;
    let (since, accepted) = (Instant::now(), rig.shard("a", 1).await);
    let answers = async {
        loop {
            rig.commands(1).await;
            rig.answer(&[DOWN]).await;
        }
    };
    let refused = tokio::select! {
        () = answers => unreachable!(),
        refused = accepted => refused.unwrap().unwrap_err(),
    };
    assert!(matches!(refused, PublishError::Unavailable(reason) if reason.contains("CLUSTERDOWN")));
    assert!(since.elapsed() < ANSWER_WITHIN + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_given_away_in_order_when_nothing_of_it_is_on_its_way() {
    let mut rig = Rig::of(1024 * 1024, Kind::Sharded).await;
    let (taken, moved) = (rig.shard("a", 1).await, rig.keep("a", 2).await);
    rig.commands(2).await;
    let (answer, mut answered) = oneshot::channel();
    let partitions = [Partition::of_target(&target("a"))].into_iter().collect();
    // Behind what was taken in.
    let (last, other) = (rig.shard("a", 3).await, rig.shard("b", 4).await);
    rig.withdrawals.send(Withdraw { partitions, answer }).await.unwrap();
    rig.commands(4).await;
    assert!(answered.try_recv().is_err(), "given away while something is on its way");
    rig.answer(&[DONE, MOVED, DONE]).await;
    let given: Vec<_> = answered.await.unwrap();
    assert_eq!(rig.doubt.take_hint().unwrap().port, 7001);
    let texts: Vec<_> = given.iter().map(|job| std::str::from_utf8(&job.payload).unwrap()).collect();
    assert_eq!(texts, ["<2>", "<3>"]);
    assert_eq!(taken.await.unwrap(), Ok(None));
    assert_eq!(other.await.unwrap(), Ok(None));
    drop(given);
    for accepted in [moved, last] {
        assert!(matches!(accepted.await.unwrap(), Err(PublishError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_bare_publication_of_one_server_is_not_sent_again() {
    let mut rig = Rig::new(1024 * 1024).await;
    let accepted = rig.publish(1, 0).await;
    rig.commands(1).await;
    rig.answer(&[b"-LOADING Redis is loading the dataset in memory\r\n"]).await;
    assert!(matches!(accepted.await.unwrap(), Err(PublishError::Unavailable(_))));
}
