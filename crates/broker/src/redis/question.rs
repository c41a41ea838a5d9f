//! A part of a history that is asked for.

use crate::{
    Delivery, MAX_PAGE, Page, Query, ReadError, Retention,
    api::PLACE_KEPT,
    envelope, epoch,
    metrics::RedisMetrics,
    redis::{
        asking::Unanswered,
        doubt::Doubt,
        keep::{position, refusal},
        names::Names,
        redirect::Again,
        reply::bulk,
        script::{self, millis},
    },
};
use fanwire_protocol::Position;
use redis::{RedisResult, Value, aio::MultiplexedConnection};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is asked, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Question {
    query: Query,
    /// The arguments behind the script.
    arguments: Vec<String>,
    metrics: Arc<RedisMetrics>,
    doubt: Arc<Doubt>,
    answer: oneshot::Sender<Result<Page, Unanswered>>,
}

impl Question {
    pub(super) fn new(
        names: &Names,
        query: Query,
        retention: Retention,
        metrics: Arc<RedisMetrics>,
        doubt: Arc<Doubt>,
    ) -> (Self, oneshot::Receiver<Result<Page, Unanswered>>) {
        let (answer, answered) = oneshot::channel();
        (Self { arguments: arguments(names, &query, retention), query, metrics, doubt, answer }, answered)
    }

    /// Asks Redis, unless nobody waits any more.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more.
    pub(super) async fn ask(self, mut connection: MultiplexedConnection) -> RedisResult<()> {
        if self.answer.is_closed() {
            return Ok(());
        }
        let reply = script::HISTORY.run(&mut connection, &self.arguments).await?;
        let page = match Again::in_reply(&reply) {
            Some(again) => Err(self.doubt.about(again)),
            None => self.page(reply).map_err(Unanswered::Failed),
        };
        // One who has gone needs no answer.
        let _ = self.answer.send(page);
        Ok(())
    }

    fn page(&self, reply: Value) -> Result<Page, ReadError> {
        if let Value::ServerError(error) = reply {
            return Err(ReadError::Unavailable(refusal(&error)));
        }
        let (newest, entries) =
            parts(reply).ok_or_else(|| ReadError::Unavailable("Redis answered what is no history".to_owned()))?;
        let mut publications = self.publications(entries, &newest);
        let complete = self.query.is_complete(&newest, publications.first().and_then(offset));
        publications.truncate(limit(&self.query));
        Ok(Page { newest, publications, complete })
    }

    /// The first of `entries` that this node can read, and those that follow it without a gap.
    fn publications(&self, entries: Vec<Value>, newest: &Position) -> Vec<Delivery> {
        let mut publications: Vec<Delivery> = Vec::with_capacity(entries.len());
        for entry in entries {
            let read = delivery(entry).filter(|read| self.is_next(read, publications.last(), newest));
            match read {
                Some(read) => publications.push(read),
                None if publications.is_empty() => self.metrics.invalid.inc(),
                None => break,
            }
        }
        publications
    }

    fn is_next(&self, delivery: &Delivery, last: Option<&Delivery>, newest: &Position) -> bool {
        let publication = &delivery.publication;
        let belongs = |place: &Position| place.epoch == newest.epoch && publication.target == self.query.target;
        let step = |last: u64| if self.query.reverse { last.checked_sub(1) } else { last.checked_add(1) };
        publication.position.as_ref().is_some_and(belongs)
            && last.and_then(offset).is_none_or(|last| step(last) == offset(delivery))
    }
}

fn offset(delivery: &Delivery) -> Option<u64> {
    delivery.publication.position.as_ref().map(|place| place.offset)
}

fn limit(query: &Query) -> usize {
    query.limit.min(MAX_PAGE) as usize
}

fn arguments(names: &Names, query: &Query, retention: Retention) -> Vec<String> {
    let since = query.since.as_ref();
    // Whether nothing is missing behind a place shows in what follows it.
    let count = limit(query).max(usize::from(since.is_some()));
    let next = |offset: u64| if query.reverse { offset.saturating_sub(1) } else { offset.saturating_add(1) };
    let [command, first, last] = if query.reverse { ["XREVRANGE", "+", "-"] } else { ["XRANGE", "-", "+"] };
    vec![
        "2".to_owned(),
        names.stream(&query.target).to_string(),
        names.place(&query.target).to_string(),
        millis(retention.ttl.saturating_add(PLACE_KEPT)).to_string(),
        epoch::random().to_string(),
        count.to_string(),
        command.to_owned(),
        since.map_or_else(String::new, |since| since.epoch.to_string()),
        since.map_or_else(String::new, |since| next(since.offset).to_string()),
        first.to_owned(),
        last.to_owned(),
    ]
}

fn parts(reply: Value) -> Option<(Position, Vec<Value>)> {
    let Value::Array(parts) = reply else { return None };
    let mut parts = parts.into_iter();
    let newest = position(&mut parts)?;
    match parts.next()? {
        Value::Array(entries) => Some((newest, entries)),
        _ => None,
    }
}

/// What an entry of a stream, `[id, [field, envelope]]`, holds.
fn delivery(entry: Value) -> Option<Delivery> {
    let Value::Array(entry) = entry else { return None };
    let Value::Array(fields) = entry.into_iter().nth(1)? else { return None };
    let bytes = bulk(fields.into_iter().nth(1)?)?;
    envelope::decode(&bytes.into()).ok().map(|envelope| envelope.delivery)
}

#[cfg(test)]
mod tests;
