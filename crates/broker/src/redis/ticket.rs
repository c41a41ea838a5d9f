//! The answer that is owed for a publication.

use crate::{Accepted, PublishError, metrics::RedisMetrics};
use fanwire_protocol::Position;
use prometheus::IntGauge;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long an answer takes at most. Callers are promised one within 2 s; the rest is for its way to them.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(1_900);

/// Owes one answer, and gives the right one however it ends: as long as nothing was handed to a connection the
/// publication is certainly not published, and afterwards nobody can know.
#[derive(Debug)]
pub(super) struct Ticket {
    answer: Option<oneshot::Sender<Result<Option<Position>, PublishError>>>,
    since: Instant,
    sent: bool,
    metrics: Arc<RedisMetrics>,
}

impl Ticket {
    pub(super) fn new(metrics: Arc<RedisMetrics>) -> (Self, Accepted) {
        let (answer, accepted) = oneshot::channel();
        metrics.waiting.inc();
        (Self { answer: Some(answer), since: Instant::now(), sent: false, metrics }, accepted)
    }

    /// When the answer is due.
    pub(super) fn deadline(&self) -> Instant {
        self.since + ANSWER_WITHIN
    }

    /// The publication is about to be handed to a connection.
    pub(super) fn mark_sent(&mut self) {
        self.count().dec();
        self.sent = true;
        self.count().inc();
    }

    /// Redis has certainly not taken it.
    pub(super) fn mark_unsent(&mut self) {
        self.count().dec();
        self.sent = false;
        self.count().inc();
    }

    /// Redis refused it, with an error of this code.
    pub(super) fn refused(&self, code: &str) {
        self.metrics.refused(code);
    }

    /// Redis has answered.
    pub(super) fn settle(mut self, outcome: Result<Option<Position>, PublishError>) {
        self.send(outcome);
    }

    /// The publication is not taken in, and why.
    pub(super) fn refuse(mut self, reason: impl Into<String>) -> PublishError {
        let error = PublishError::Unavailable(reason.into());
        self.send(Err(error.clone()));
        error
    }

    fn count(&self) -> &IntGauge {
        if self.sent { &self.metrics.sent } else { &self.metrics.waiting }
    }

    fn send(&mut self, outcome: Result<Option<Position>, PublishError>) {
        let Some(answer) = self.answer.take() else { return };
        self.count().dec();
        self.metrics.published(&outcome, self.since.elapsed());
        // One who has gone needs no answer.
        let _ = answer.send(outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.send(Err(if self.sent {
            PublishError::Timeout
        } else {
            PublishError::Unavailable("the link to Redis ended before it was sent".to_owned())
        }));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use prometheus::Registry;

    fn ticket() -> (Ticket, Accepted) {
        Ticket::new(Arc::new(RedisMetrics::register(&Registry::new()).unwrap()))
    }

    #[tokio::test]
    async fn what_was_never_sent_is_unavailable_and_what_was_sent_may_be_delivered() {
        let (unsent, accepted) = ticket();
        drop(unsent);
        assert!(matches!(accepted.await.unwrap(), Err(PublishError::Unavailable(_))));

        let (mut sent, accepted) = ticket();
        sent.mark_sent();
        drop(sent);
        assert_eq!(accepted.await.unwrap(), Err(PublishError::Timeout));

        let (mut returned, accepted) = ticket();
        returned.mark_sent();
        returned.mark_unsent();
        drop(returned);
        assert!(matches!(accepted.await.unwrap(), Err(PublishError::Unavailable(_))));
    }

    #[tokio::test]
    async fn an_answer_is_given_once() {
        let (mut sent, accepted) = ticket();
        sent.mark_sent();
        let metrics = Arc::clone(&sent.metrics);
        assert_eq!((metrics.waiting.get(), metrics.sent.get()), (0, 1));
        sent.settle(Ok(None));
        assert_eq!((metrics.waiting.get(), metrics.sent.get()), (0, 0));
        assert_eq!(accepted.await.unwrap(), Ok(None));
        assert_eq!(Arc::strong_count(&metrics), 1);
    }
}
