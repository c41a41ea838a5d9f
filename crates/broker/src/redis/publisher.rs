//! Publishes: one task for each server, many publications per round trip, many round trips at once, one order.
//!
//! Redis is sent the text of the script for what is kept once a connection, and its hash from then on. If it forgets it
//! (`SCRIPT FLUSH`), or a server of a cluster does not have what a publication is for, the publisher waits until all that
//! is on its way to the same partition is answered, and sends again what was not taken; or gives it away to another server.

use crate::{
    partition::Partitions,
    redis::{
        batch::{Batch, MAX_BYTES, MAX_JOBS},
        doubt::Doubt,
        job::Job,
        kind::Kind,
        strays::{Outcome, Strays},
    },
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use redis::aio::MultiplexedConnection;
use std::{mem, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    task::unconstrained,
    time::{Instant, sleep_until},
};

/// How many batches are on their way to Redis at once.
pub(super) const MAX_IN_FLIGHT: usize = 32;

/// How many publications may wait for the publisher.
pub(super) const QUEUE: usize = 1_024;

/// Partitions move to another server: what was taken in for them and not published goes there.
#[derive(Debug)]
pub(super) struct Withdraw {
    pub(super) partitions: Partitions,
    /// Answered when nothing of them is on its way. Nothing of them may come behind this.
    pub(super) answer: oneshot::Sender<Vec<Job>>,
}

/// What the publisher works on.
pub(super) struct Work {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) withdrawals: mpsc::Receiver<Withdraw>,
}

/// Takes jobs and publishes them in the order in which they come.
pub(super) struct Publisher {
    connection: MultiplexedConnection,
    kind: Kind,
    doubt: Arc<Doubt>,
    work: Work,
    /// Taken from the queue, not yet sent.
    next: Vec<Job>,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Vec<Outcome>, String>>>,
    /// How many batches were sent, and how many of these are answered.
    launched: u64,
    answered: u64,
    /// Whether Redis has the script that publishes what is kept, as far as is known.
    script_known: bool,
    strays: Strays,
    /// Under way until nothing of theirs is.
    withdrawals: Vec<Withdraw>,
}

impl Publisher {
    /// `connection` must have room for [`MAX_IN_FLIGHT`] requests.
    pub(super) fn new(connection: MultiplexedConnection, kind: Kind, doubt: Arc<Doubt>, work: Work) -> Self {
        Self {
            connection,
            kind,
            doubt,
            work,
            next: Vec::with_capacity(MAX_JOBS),
            in_flight: FuturesOrdered::new(),
            launched: 0,
            answered: 0,
            script_known: false,
            strays: Strays::default(),
            withdrawals: Vec::new(),
        }
    }

    /// Publishes until the connection fails, and returns why. Dropping it answers everything that it holds.
    pub(super) async fn run(mut self) -> String {
        loop {
            self.launch();
            let room = if self.strays.has_room() { MAX_JOBS.saturating_sub(self.next.len()) } else { 0 };
            let (due, again) = (self.due(), self.strays.ready_at(self.answered));
            tokio::select! {
                biased;
                Some(outcome) = self.in_flight.next() => match outcome {
                    Ok(outcomes) => self.answered(outcomes),
                    Err(reason) => return reason,
                },
                Some(withdraw) = self.work.withdrawals.recv() => self.withdraw(withdraw),
                taken = self.work.jobs.recv_many(&mut self.next, room), if room > 0 => {
                    if taken == 0 {
                        return "nobody publishes any more".to_owned();
                    }
                }
                () = at(due) => self.expire(),
                () = at(again) => drop(self.next.splice(0..0, self.strays.release())),
            }
        }
    }

    fn answered(&mut self, outcomes: Vec<Outcome>) {
        self.answered += 1;
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Returned { .. })) {
            self.script_known = false;
        }
        self.strays.take(outcomes, self.launched, Instant::now());
        self.give_away();
    }

    fn withdraw(&mut self, withdraw: Withdraw) {
        // Everything that was taken in before the withdrawal is in the queue.
        while let Ok(job) = self.work.jobs.try_recv() {
            self.next.push(job);
        }
        self.strays.stop(&withdraw.partitions, self.launched);
        self.strays.hold(&mut self.next);
        self.withdrawals.push(withdraw);
        self.give_away();
    }

    fn give_away(&mut self) {
        if self.strays.is_quiet(self.answered) {
            for Withdraw { partitions, answer } in self.withdrawals.drain(..) {
                // What nobody takes is answered by its tickets.
                let _ = answer.send(self.strays.give_away(&partitions));
            }
        }
    }

    /// When the first that was not sent is due.
    fn due(&self) -> Option<Instant> {
        let next = self.next.first().map(|job| job.ticket.deadline());
        self.strays.due().into_iter().chain(next).min()
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.strays.expire(now);
        self.next.retain(|job| job.ticket.deadline() > now);
    }

    fn launch(&mut self) {
        self.strays.hold(&mut self.next);
        while !self.next.is_empty() && self.in_flight.len() < MAX_IN_FLIGHT {
            let rest = self.next.split_off(fitting(&self.next));
            let jobs = mem::replace(&mut self.next, rest);
            let batch = Batch::new(jobs, self.kind, &mut self.script_known);
            // A request gets its place in the connection's queue when it is first polled. So each batch is polled once
            // before the next exists; and without tokio's budget, since a poll that is put off would lose its turn.
            let mut batch = unconstrained(batch.publish(self.connection.clone(), Arc::clone(&self.doubt))).boxed();
            self.launched += 1;
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
