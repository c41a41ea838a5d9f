//! Publishes: one task for the whole node, many publications per round trip, many round trips at once, one order.

use crate::redis::{
    batch::{Batch, MAX_BYTES, MAX_JOBS},
    job::Job,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use redis::aio::MultiplexedConnection;
use std::mem;
use tokio::{
    sync::mpsc,
    task::unconstrained,
    time::{Instant, sleep_until},
};

/// How many batches are on their way to Redis at once.
pub(super) const MAX_IN_FLIGHT: usize = 32;

/// How many publications may wait for the publisher.
pub(super) const QUEUE: usize = 1_024;

/// Takes jobs and publishes them in the order in which they come.
pub(super) struct Publisher {
    connection: MultiplexedConnection,
    jobs: mpsc::Receiver<Job>,
    /// Taken from the queue, not yet sent.
    next: Vec<Job>,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<(), String>>>,
}

impl Publisher {
    /// `connection` must have room for [`MAX_IN_FLIGHT`] requests.
    pub(super) fn new(connection: MultiplexedConnection, jobs: mpsc::Receiver<Job>) -> Self {
        Self { connection, jobs, next: Vec::with_capacity(MAX_JOBS), in_flight: FuturesUnordered::new() }
    }

    /// Publishes until the connection fails, and returns why. Dropping it answers everything that it holds.
    pub(super) async fn run(mut self) -> String {
        loop {
            self.launch();
            let room = MAX_JOBS - self.next.len();
            let due = self.next.first().map(|job| job.ticket.deadline());
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next() => {
                    if let Err(reason) = outcome {
                        return reason;
                    }
                }
                taken = self.jobs.recv_many(&mut self.next, room), if room > 0 => {
                    if taken == 0 {
                        return "nobody publishes any more".to_owned();
                    }
                }
                () = at(due) => self.next.retain(|job| job.ticket.deadline() > Instant::now()),
            }
        }
    }

    fn launch(&mut self) {
        while !self.next.is_empty() && self.in_flight.len() < MAX_IN_FLIGHT {
            let rest = self.next.split_off(fitting(&self.next));
            let jobs = mem::replace(&mut self.next, rest);
            // A request gets its place in the connection's queue when it is first polled. So each batch is polled once
            // before the next exists; and without tokio's budget, since a poll that is put off would lose its turn.
            let mut batch = unconstrained(Batch::new(jobs).publish(self.connection.clone())).boxed();
            match (&mut batch).now_or_never() {
                Some(outcome) => self.in_flight.push(std::future::ready(outcome).boxed()),
                None => self.in_flight.push(batch),
            }
        }
    }
}

/// How many of the first jobs make a batch: at least one, and no more bytes than a batch may have.
fn fitting(jobs: &[Job]) -> usize {
    let mut bytes = 0;
    let fits = |job: &&Job| {
        bytes += job.payload.len();
        bytes <= MAX_BYTES
    };
    jobs.iter().take(MAX_JOBS).take_while(fits).count().max(1)
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
