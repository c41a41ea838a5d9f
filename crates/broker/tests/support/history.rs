//! What tests of histories publish and ask.

use super::node::{Node, plain, to};
use fanwire_broker::{MAX_PAGE, Page, Publishing, Query, Retention};
use fanwire_protocol::Position;
use std::time::Duration;

/// Long enough for every test.
pub(crate) const MINUTE: Retention = Retention { size: 10_000, ttl: Duration::from_secs(60) };

/// A publication to the channel `name` that is kept.
pub(crate) fn kept(name: &str, text: &str) -> Publishing {
    Publishing { retention: Some(MINUTE), ..plain(to(name), text) }
}

/// All that a page can hold, from the oldest on.
pub(crate) fn all(name: &str) -> Query {
    Query { target: to(name), since: None, limit: MAX_PAGE, reverse: false }
}

/// What follows `place`.
pub(crate) fn since(name: &str, place: &Position) -> Query {
    Query { since: Some(place.clone()), ..all(name) }
}

pub(crate) fn offsets(page: &Page) -> Vec<u64> {
    page.publications.iter().map(|delivery| delivery.publication.position.as_ref().unwrap().offset).collect()
}

/// Publishes `count` times, and returns the last place.
pub(crate) async fn publish(node: &Node, name: &str, count: u64) -> Position {
    let mut last = None;
    for n in 0..count {
        last = Some(node.keep(kept(name, &format!("{n}"))).await.unwrap());
    }
    last.unwrap()
}

pub(crate) async fn newest(node: &Node, name: &str) -> Position {
    node.history(Query { limit: 0, ..all(name) }, MINUTE).await.newest
}
