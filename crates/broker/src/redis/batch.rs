//! Publications that are sent to Redis together.

use crate::{
    PublishError,
    redis::{
        job::Job,
        keep::{given, is_unknown_script, refusal},
        missed::Kept,
    },
};
use fanwire_protocol::Position;
use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection};
use std::pin::pin;
use tokio::time::{Instant, sleep_until};

/// How many publications a batch has at most.
pub(super) const MAX_JOBS: usize = 128;

/// How many bytes a batch of more than one publication has at most, so that none waits long for others' bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// One request of many publications, and whom to tell.
pub(super) struct Batch {
    request: Pipeline,
    /// As many as there are commands, in their order; those that are answered are gone.
    jobs: Vec<Option<Job>>,
}

impl Batch {
    /// From here on the jobs count as sent. `known`: whether Redis has the script that publishes what is kept; it has
    /// it behind a batch with such a publication.
    pub(super) fn new(jobs: Vec<Job>, known: &mut bool) -> Self {
        let mut request = Pipeline::with_capacity(jobs.len());
        let jobs = jobs.into_iter().map(|job| Some(job.send(&mut request, known))).collect();
        Self { request, jobs }
    }

    /// Resolves when Redis has answered all, however late that is, to what became of those that are to be kept; what is
    /// owed for them is answered in time.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more, and why.
    pub(super) async fn publish(self, mut connection: MultiplexedConnection) -> Result<Vec<Kept>, String> {
        let Self { request, mut jobs } = self;
        let mut replies = pin!(connection.send_packed_commands(&request, 0, jobs.len()));
        loop {
            let Some(due) = jobs.iter().flatten().map(|job| job.ticket.deadline()).min() else {
                return settle(jobs, replies.await);
            };
            tokio::select! {
                biased;
                replies = &mut replies => return settle(jobs, replies),
                () = sleep_until(due) => expire(&mut jobs),
            }
        }
    }
}

fn settle(jobs: Vec<Option<Job>>, replies: RedisResult<Vec<Value>>) -> Result<Vec<Kept>, String> {
    let replies = replies.map_err(|error| format!("publishing failed: {error}"))?;
    let answered = jobs.into_iter().zip(replies).filter_map(|(job, reply)| Some((job?, reply)));
    Ok(answered.filter_map(|(job, reply)| answer(job, reply)).collect())
}

/// Answers a job, unless it must be sent again. What became of it if it is to be kept.
fn answer(mut job: Job, reply: Value) -> Option<Kept> {
    let is_kept = job.keep.is_some();
    if is_kept && is_unknown_script(&reply) {
        job.ticket.mark_unsent();
        return Some(Kept::Missed(job));
    }
    let outcome = outcome(reply, is_kept);
    let published = (is_kept && outcome.is_ok()).then(|| Kept::Published(job.name));
    job.ticket.settle(outcome);
    published
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
