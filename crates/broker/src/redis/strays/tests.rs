#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Accepted, PublishError,
    metrics::RedisMetrics,
    partition::Partition,
    redis::ticket::{ANSWER_WITHIN, Ticket},
};
use prometheus::Registry;
use std::sync::Arc;

const PAUSE: Duration = Duration::from_millis(50);

struct Rig {
    strays: Strays,
    metrics: Arc<RedisMetrics>,
    answers: Vec<Accepted>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
        Self { strays: Strays::default(), metrics, answers: Vec::new(), now: Instant::now() }
    }

    /// Publication number `n`, whose channel is `n` modulo 10 and whose partition is that modulo 2.
    fn job(&mut self, n: usize) -> Job {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        self.answers.push(accepted);
        let name = format!("c{}", n % 10).into();
        Job { name, partition: partition(n), payload: n.to_string().into_bytes(), keep: None, ticket }
    }

    fn returned(&mut self, n: usize, launched: u64) {
        let outcome = Outcome::Returned { job: Box::new(self.job(n)), reason: "it was DOWN".to_owned(), pause: PAUSE };
        self.strays.take(vec![outcome], launched, self.now);
    }

    /// Those of `numbers` that can be sent.
    fn hold(&mut self, numbers: &[usize]) -> Vec<usize> {
        let mut jobs: Vec<_> = numbers.iter().map(|n| self.job(*n)).collect();
        self.strays.hold(&mut jobs);
        numbered(&jobs)
    }
}

fn partition(n: usize) -> Partition {
    Partition::every().nth(n % 2).unwrap()
}

fn numbered(jobs: &[Job]) -> Vec<usize> {
    jobs.iter().map(|job| std::str::from_utf8(&job.payload).unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn what_was_returned_goes_before_what_was_held_back_for_it() {
    let mut rig = Rig::new();
    assert_eq!(rig.hold(&[0, 1]), [0, 1]);
    rig.returned(2, 3);
    assert_eq!(rig.hold(&[10, 11]), [11]);
    rig.returned(4, 5);
    assert_eq!(rig.strays.ready_at(2), None, "batch 3 is on its way");
    assert_eq!(rig.strays.ready_at(3), Some(rig.now + PAUSE));
    assert_eq!(numbered(&rig.strays.release()), [2, 4, 10]);
    assert_eq!(rig.strays.ready_at(9), None);
    assert_eq!(rig.hold(&[12]), [12]);
}

#[tokio::test]
async fn one_partition_can_be_given_away() {
    let mut rig = Rig::new();
    rig.returned(2, 1);
    rig.returned(3, 1);
    assert_eq!(rig.hold(&[10, 11]), [0_usize; 0]);
    assert_eq!(numbered(&rig.strays.give_away(&[partition(0)].into_iter().collect())), [2, 10]);
    assert_eq!(numbered(&rig.strays.release()), [3, 11]);
}

#[tokio::test]
async fn what_was_overtaken_is_refused() {
    let mut rig = Rig::new();
    rig.returned(2, 1);
    rig.returned(4, 1);
    rig.strays.take(vec![Outcome::Published("c2".into())], 1, rig.now);
    assert_eq!(numbered(&rig.strays.release()), [4]);
    let refused = rig.answers.remove(0).await.unwrap();
    assert!(matches!(refused, Err(PublishError::Unavailable(reason)) if reason.contains("took a later")));
}

#[tokio::test]
async fn what_is_due_is_refused_with_the_reason() {
    let mut rig = Rig::new();
    rig.returned(2, 1);
    rig.hold(&[4]);
    let due = rig.strays.due().unwrap();
    assert!(due <= Instant::now() + ANSWER_WITHIN);
    rig.strays.expire(due + ANSWER_WITHIN);
    assert_eq!(rig.strays.due(), None);
    for accepted in rig.answers {
        assert_eq!(accepted.await.unwrap(), Err(PublishError::Unavailable("it was DOWN".to_owned())));
    }
}

#[tokio::test]
async fn what_is_held_back_is_bounded() {
    let mut rig = Rig::new();
    rig.returned(0, 1);
    rig.hold(&vec![2; MAX_HELD - 1]);
    assert!(rig.strays.has_room());
    rig.hold(&[2]);
    assert!(!rig.strays.has_room());
    assert_eq!(rig.strays.release().len(), MAX_HELD + 1);
    assert!(rig.strays.has_room());
}
