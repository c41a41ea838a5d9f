//! Publications that are sent to Redis together.

use crate::{
    PublishError,
    redis::{job::Job, reply::server_text, ticket::Ticket},
};
use redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection};
use std::pin::pin;
use tokio::time::{Instant, sleep_until};

/// How many publications a batch has at most.
pub(super) const MAX_JOBS: usize = 128;

/// How many bytes a batch of more than one publication has at most, so that none waits long for others' bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// One request of many PUBLISHes, and whom to tell.
pub(super) struct Batch {
    request: Pipeline,
    /// As many as there are PUBLISHes, in their order; those that are answered are gone.
    tickets: Vec<Option<Ticket>>,
}

impl Batch {
    /// From here on the jobs count as sent.
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let mut request = Pipeline::with_capacity(jobs.len());
        let publish = |mut job: Job| {
            request.cmd("PUBLISH").arg(&*job.name).arg(&job.payload);
            job.ticket.mark_sent();
            Some(job.ticket)
        };
        let tickets = jobs.into_iter().map(publish).collect();
        Self { request, tickets }
    }

    /// Resolves when Redis has answered all, however late that is; what it owes is answered in time.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more, and why.
    pub(super) async fn publish(self, mut connection: MultiplexedConnection) -> Result<(), String> {
        let Self { request, mut tickets } = self;
        let mut replies = pin!(connection.send_packed_commands(&request, 0, tickets.len()));
        loop {
            let Some(due) = tickets.iter().flatten().map(Ticket::deadline).min() else {
                return settle(tickets, replies.await);
            };
            tokio::select! {
                biased;
                replies = &mut replies => return settle(tickets, replies),
                () = sleep_until(due) => expire(&mut tickets),
            }
        }
    }
}

fn settle(tickets: Vec<Option<Ticket>>, replies: RedisResult<Vec<Value>>) -> Result<(), String> {
    let replies = replies.map_err(|error| format!("publishing failed: {error}"))?;
    for (ticket, reply) in tickets.into_iter().zip(replies) {
        if let Some(ticket) = ticket {
            ticket.settle(outcome(reply));
        }
    }
    Ok(())
}

fn outcome(reply: Value) -> Result<(), PublishError> {
    match reply {
        Value::ServerError(error) => {
            Err(PublishError::Unavailable(format!("Redis refused it: {}", server_text(&error))))
        }
        _ => Ok(()),
    }
}

fn expire(tickets: &mut [Option<Ticket>]) {
    let now = Instant::now();
    for ticket in tickets {
        // A ticket that is dropped answers that nobody knows.
        drop(ticket.take_if(|ticket| ticket.deadline() <= now));
    }
}
