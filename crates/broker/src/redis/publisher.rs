//! Publishes: one task for the whole node, many publications per round trip, many round trips at once, one order.
//!
//! Redis is sent the text of the script for what is kept once a connection, and its hash from then on. If it forgets it
//! (`SCRIPT FLUSH`), the publisher lets it answer everything that is on its way, and sends again what it did not take.

use crate::redis::{
    batch::{Batch, MAX_BYTES, MAX_JOBS},
    job::Job,
    missed::{Kept, Missed},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
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
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Vec<Kept>, String>>>,
    /// Whether Redis has the script that publishes what is kept, as far as is known.
    script_known: bool,
    /// To be sent again as soon as everything behind them is answered: until then nothing else is sent.
    missed: Missed,
}

impl Publisher {
    /// `connection` must have room for [`MAX_IN_FLIGHT`] requests.
    pub(super) fn new(connection: MultiplexedConnection, jobs: mpsc::Receiver<Job>) -> Self {
        Self {
            connection,
            jobs,
            next: Vec::with_capacity(MAX_JOBS),
            in_flight: FuturesOrdered::new(),
            script_known: false,
            missed: Missed::default(),
        }
    }

    /// Publishes until the connection fails, and returns why. Dropping it answers everything that it holds.
    pub(super) async fn run(mut self) -> String {
        loop {
            self.launch();
            let room = MAX_JOBS.saturating_sub(self.next.len());
            let due = self.due();
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next() => match outcome {
                    Ok(outcomes) => self.missed.add(outcomes),
                    Err(reason) => return reason,
                },
                taken = self.jobs.recv_many(&mut self.next, room), if room > 0 => {
                    if taken == 0 {
                        return "nobody publishes any more".to_owned();
                    }
                }
                () = at(due) => self.expire(),
            }
        }
    }

    /// When the first that was not sent is due; those to be sent again are the oldest.
    fn due(&mut self) -> Option<Instant> {
        self.missed.jobs().first().or(self.next.first()).map(|job| job.ticket.deadline())
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for jobs in [self.missed.jobs(), &mut self.next] {
            jobs.retain(|job| job.ticket.deadline() > now);
        }
    }

    fn launch(&mut self) {
        if self.in_flight.is_empty() && !self.missed.is_empty() {
            self.script_known = false;
            self.next.splice(0..0, self.missed.jobs().drain(..));
        }
        while !self.next.is_empty() && self.missed.is_empty() && self.in_flight.len() < MAX_IN_FLIGHT {
            let rest = self.next.split_off(fitting(&self.next));
            let jobs = mem::replace(&mut self.next, rest);
            // A request gets its place in the connection's queue when it is first polled. So each batch is polled once
            // before the next exists; and without tokio's budget, since a poll that is put off would lose its turn.
            let batch = unconstrained(Batch::new(jobs, &mut self.script_known).publish(self.connection.clone()));
            let mut batch = batch.boxed();
            match (&mut batch).now_or_never() {
                Some(outcome) => self.in_flight.push_back(std::future::ready(outcome).boxed()),
                None => self.in_flight.push_back(batch),
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
