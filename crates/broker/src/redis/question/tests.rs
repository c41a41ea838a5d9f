#![allow(clippy::unwrap_used)]

use super::*;
use fanwire_protocol::{Content, Epoch, NodeId, Publication, Target};
use prometheus::Registry;
use std::time::Duration;

fn question(since: Option<u64>, limit: u32, reverse: bool) -> Question {
    let since = since.map(|offset| place("ep", offset));
    let query = Query { target: Target::Broadcast, since, limit, reverse };
    let retention = Retention { size: 10, ttl: Duration::from_secs(60) };
    let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
    Question::new(&Names::new("fanwire", 0), query, retention, metrics, Arc::default()).0
}

fn place(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset }
}

fn text(text: &str) -> Value {
    Value::BulkString(text.into())
}

fn entry(epoch: &str, offset: u64) -> Value {
    let publication = Publication::new(Target::Broadcast, Content::string("x")).at(place(epoch, offset));
    let delivery = Delivery { publication: Arc::new(publication), except: None, published_at: 1 };
    let bytes = envelope::encode(NodeId::from_random(1), &delivery).unwrap();
    Value::Array(vec![text("1-0"), Value::Array(vec![text("d"), Value::BulkString(bytes)])])
}

fn reply(newest: i64, entries: Vec<Value>) -> Value {
    Value::Array(vec![text("ep"), Value::Int(newest), Value::Array(entries)])
}

#[track_caller]
fn check(question: &Question, reply: Value, expected: &[u64], complete: bool, invalid: u64) {
    let page = question.page(reply).unwrap();
    assert_eq!(page.publications.iter().filter_map(offset).collect::<Vec<_>>(), expected);
    assert_eq!((page.complete, question.metrics.invalid.get()), (complete, invalid));
}

#[test]
fn a_page_ends_before_what_can_not_be_read() {
    let whole = || vec![entry("ep", 3), entry("ep", 4), entry("ep", 5)];
    check(&question(Some(2), 9, false), reply(5, whole()), &[3, 4, 5], true, 0);
    check(&question(Some(2), 2, false), reply(5, whole()), &[3, 4], true, 0);
    check(&question(Some(2), 0, false), reply(5, whole()), &[], true, 0);
    check(&question(Some(1), 0, false), reply(5, whole()), &[], false, 0);
    check(&question(None, 9, false), reply(5, Vec::new()), &[], true, 0);
    check(&question(Some(2), 9, false), reply(5, vec![entry("ep", 3), text("?"), entry("ep", 5)]), &[3], true, 0);
    check(&question(Some(2), 9, false), reply(5, vec![entry("ep", 3), entry("ep", 5)]), &[3], true, 0);
    check(&question(Some(2), 9, false), reply(5, vec![entry("old", 3), entry("ep", 4)]), &[4], false, 1);
    check(&question(None, 9, true), reply(5, vec![entry("ep", 5), entry("ep", 4), entry("ep", 2)]), &[5, 4], true, 0);
}

#[test]
fn what_is_no_history_is_refused() {
    let question = question(None, 9, false);
    for other in [
        Value::Nil,
        Value::Array(Vec::new()),
        Value::Array(vec![text("ep"), Value::Int(1)]),
        Value::Array(vec![text("ep"), Value::Int(-1), Value::Array(Vec::new())]),
        Value::Array(vec![text("e p"), Value::Int(1), Value::Array(Vec::new())]),
        Value::Array(vec![text("ep"), Value::Int(1), Value::Nil]),
    ] {
        assert!(matches!(question.page(other), Err(ReadError::Unavailable(_))));
    }
}
