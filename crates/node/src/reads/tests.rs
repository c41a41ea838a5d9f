#![allow(clippy::unwrap_used)]
use super::*;
use crate::testing::Scripted;
use fanwire_protocol::{ChannelName, Epoch, Position, Target};
use std::time::Duration;

const RETENTION: Retention = Retention { size: 1, ttl: Duration::from_secs(1) };

fn query(channel: &str) -> Query {
    let target = Target::Channel(ChannelName::parse(channel).unwrap());
    Query { target, since: None, limit: 0, reverse: false }
}

fn page(offset: u64) -> Page {
    let newest = Position { epoch: Epoch::parse("a").unwrap(), offset };
    Page { newest, publications: Vec::new(), complete: true }
}

#[tokio::test]
async fn equal_reads_under_way_are_one() {
    let (broker, mut calls) = Scripted::new();
    let reads = Reads::new(broker);
    let (first, second) = (reads.read(query("a"), RETENTION), reads.read(query("a"), RETENTION));
    let other = tokio::spawn(reads.read(query("b"), RETENTION));
    let both = tokio::spawn(async { (first.await, second.await) });
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(calls.history().await);
    }
    assert!(calls.is_empty());
    for (asked, answer) in answers {
        answer.send(Ok(page(if asked == query("a") { 1 } else { 2 }))).unwrap();
    }
    let (first, second) = both.await.unwrap();
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(other.await.unwrap().unwrap().newest.offset, 2);
}

#[tokio::test]
async fn a_read_that_has_ended_is_not_answered_again() {
    let (broker, mut calls) = Scripted::new();
    let reads = Reads::new(broker);
    for offset in 1..=2 {
        let read = tokio::spawn(reads.read(query("a"), RETENTION));
        calls.history().await.1.send(Ok(page(offset))).unwrap();
        assert_eq!(read.await.unwrap().unwrap().newest.offset, offset);
    }
    let read = tokio::spawn(reads.read(query("a"), RETENTION));
    calls.history().await.1.send(Err(ReadError::Timeout)).unwrap();
    assert_eq!(read.await.unwrap().unwrap_err(), ReadError::Timeout);
    assert!(lock(&reads.under_way).is_empty());
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_given_up() {
    let (broker, mut calls) = Scripted::new();
    let reads = Reads::new(broker);
    let (first, second) = (reads.read(query("a"), RETENTION), reads.read(query("a"), RETENTION));
    drop(first);
    assert_eq!(lock(&reads.under_way).len(), 1);
    drop(second);
    assert!(lock(&reads.under_way).is_empty());
    assert!(calls.history().await.1.is_closed());
}
