//! Publications that are sent to Redis together.

use crate::{
    PublishError,
    redis::{
        doubt::Doubt,
        job::Job,
        keep::{given, refusal},
        kind::Kind,
        redirect::Again,
        strays::Outcome,
    },
};
use fanwire_protocol::Position;
use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How many publications a batch has at most.
pub(super) const MAX_JOBS: usize = 128;

/// How many bytes a batch of more than one publication has at most, so that none waits long for others' bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// How long a publication waits before it is sent again that a server can't take now.
const PAUSE: Duration = Duration::from_millis(50);

/// One request of many publications, and whom to tell.
pub(super) struct Batch {
    request: Pipeline,
    /// As many as there are commands, in their order; those that are answered are gone.
    jobs: Vec<Option<Job>>,
    kind: Kind,
}

impl Batch {
    /// From here on the jobs count as sent. `known`: whether Redis has the script that publishes what is kept; it has
    /// it behind a batch with such a publication.
    pub(super) fn new(jobs: Vec<Job>, kind: Kind, known: &mut bool) -> Self {
        let mut request = Pipeline::with_capacity(jobs.len());
        let jobs = jobs.into_iter().map(|job| Some(job.send(&mut request, kind, known))).collect();
        Self { request, jobs, kind }
    }

    /// Resolves when Redis has answered all, however late that is, to what became of those that may have to be sent again
    /// and of those that must not be overtaken; what is owed for them is answered in time.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more, and why.
    pub(super) async fn publish(
        self,
        mut connection: MultiplexedConnection,
        doubt: Arc<Doubt>,
    ) -> Result<Vec<Outcome>, String> {
        let Self { request, mut jobs, kind } = self;
        let mut replies = pin!(connection.send_packed_commands(&request, 0, jobs.len()));
        loop {
            let Some(due) = jobs.iter().flatten().map(|job| job.ticket.deadline()).min() else {
                return settle(jobs, kind, replies.await, &doubt);
            };
            tokio::select! {
                biased;
                replies = &mut replies => return settle(jobs, kind, replies, &doubt),
                () = sleep_until(due) => expire(&mut jobs),
            }
        }
    }
}

fn settle(
    jobs: Vec<Option<Job>>,
    kind: Kind,
    replies: RedisResult<Vec<Value>>,
    doubt: &Doubt,
) -> Result<Vec<Outcome>, String> {
    let replies = replies.map_err(|error| format!("publishing failed: {error}"))?;
    let answered = jobs.into_iter().zip(replies).filter_map(|(job, reply)| Some((job?, reply)));
    Ok(answered.filter_map(|(job, reply)| answer(job, kind, reply, doubt)).collect())
}

/// Answers a job, unless it may be sent again. What became of it if it could be overtaken, or overtake.
fn answer(job: Job, kind: Kind, reply: Value, doubt: &Doubt) -> Option<Outcome> {
    if let Value::ServerError(error) = &reply {
        job.ticket.refused(error.code());
        if let Some(again) = Again::of(error).filter(|_| job.is_whole()) {
            return Some(returned(job, again, refusal(error), doubt));
        }
    }
    let is_kept = job.keep.is_some();
    let outcome = outcome(reply, is_kept);
    let published = (outcome.is_ok() && (is_kept || kind == Kind::Sharded)).then(|| Outcome::Published(job.name));
    job.ticket.settle(outcome);
    published
}

fn returned(mut job: Job, again: Again, reason: String, doubt: &Doubt) -> Outcome {
    job.ticket.mark_unsent();
    let pause = if again == Again::Unknown { Duration::ZERO } else { PAUSE };
    match again {
        Again::Elsewhere(redirect) => doubt.hint(redirect),
        Again::Later => doubt.raise(),
        Again::Unknown => {}
    }
    Outcome::Returned { job: Box::new(job), reason, pause }
}

fn outcome(reply: Value, is_kept: bool) -> Result<Option<Position>, PublishError> {
    match reply {
        Value::ServerError(error) => Err(PublishError::Unavailable(refusal(&error))),
        // An answer that can't be read is none.
        reply if is_kept => given(reply).map(Some).ok_or(PublishError::Timeout),
        _ => Ok(None),
    }
}

fn expire(jobs: &mut [Option<Job>]) {
    let now = Instant::now();
    for job in jobs {
        // A ticket that is dropped answers that nobody knows.
        drop(job.take_if(|job| job.ticket.deadline() <= now));
    }
}
