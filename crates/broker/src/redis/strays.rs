//! Publications on which Redis did nothing, and that may be sent again. Pure: no Redis, no clock.

use crate::{
    partition::Partitions,
    redis::{job::Job, names::Name},
};
use std::time::Duration;
use tokio::time::Instant;

/// How many publications may be held back for others that must go first, before no more are taken in.
const MAX_HELD: usize = 1_024;

/// What became of a publication that was sent.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was published, on this Redis channel.
    Published(Name),
    /// Redis did nothing.
    Returned {
        job: Box<Job>,
        /// What Redis said.
        reason: String,
        /// How long to wait before it is sent again.
        pause: Duration,
    },
}

/// What was returned, and what came later to the same partitions: of these nothing is sent until all of them that was
/// on its way is answered. So the order is kept when they are sent again, there or at another server.
#[derive(Debug, Default)]
pub(super) struct Strays {
    astray: Partitions,
    /// In the order in which they were sent.
    returned: Vec<Job>,
    /// Not sent yet, hence newer.
    held: Vec<Job>,
    reason: String,
    /// When so many batches are answered, nothing of these partitions is on its way.
    quiet_at: u64,
    not_before: Option<Instant>,
}

impl Strays {
    /// Takes in what became of publications that were sent together, `launched` batches having been sent by now.
    pub(super) fn take(&mut self, outcomes: Vec<Outcome>, launched: u64, now: Instant) {
        for outcome in outcomes {
            match outcome {
                Outcome::Published(name) => self.overtaken(&name),
                Outcome::Returned { job, reason, pause } => {
                    self.stop(&[job.partition].into_iter().collect(), launched);
                    self.not_before = self.not_before.max(Some(now + pause));
                    self.reason = reason;
                    self.returned.push(*job);
                }
            }
        }
    }

    /// Nothing of `partitions` is to be sent any more.
    pub(super) fn stop(&mut self, partitions: &Partitions, launched: u64) {
        if !partitions.without(&self.astray).is_empty() {
            self.quiet_at = launched;
        }
        self.astray = self.astray.with(partitions);
    }

    /// Holds back those of `jobs` that must wait.
    pub(super) fn hold(&mut self, jobs: &mut Vec<Job>) {
        if self.astray.is_empty() {
            return;
        }
        let astray = self.astray;
        self.held.extend(jobs.extract_if(.., |job| astray.contains(job.partition)));
    }

    /// Whether more may be taken in that may have to be held back.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() < MAX_HELD
    }

    /// When they can be sent again, `answered` batches having been answered by now; none while that must not be.
    pub(super) fn ready_at(&self, answered: u64) -> Option<Instant> {
        let ready = !self.astray.is_empty() && self.is_quiet(answered);
        ready.then_some(self.not_before).flatten()
    }

    /// Whether nothing of them is on its way, `answered` batches having been answered by now.
    pub(super) fn is_quiet(&self, answered: u64) -> bool {
        answered >= self.quiet_at
    }

    /// All of them, in order, to be sent again.
    pub(super) fn release(&mut self) -> Vec<Job> {
        (self.astray, self.not_before) = (Partitions::default(), None);
        let mut jobs = std::mem::take(&mut self.returned);
        jobs.append(&mut self.held);
        jobs
    }

    /// Those of `partitions`, in order, which are nothing of ours any more.
    pub(super) fn give_away(&mut self, partitions: &Partitions) -> Vec<Job> {
        self.astray = self.astray.without(partitions);
        let of = |job: &mut Job| partitions.contains(job.partition);
        let mut jobs: Vec<_> = self.returned.extract_if(.., of).collect();
        jobs.extend(self.held.extract_if(.., of));
        jobs
    }

    /// When the first of them is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.returned.iter().chain(&self.held).map(|job| job.ticket.deadline()).min()
    }

    /// Refuses those that are due: they are certainly not published.
    pub(super) fn expire(&mut self, now: Instant) {
        for jobs in [&mut self.returned, &mut self.held] {
            for job in jobs.extract_if(.., |job| job.ticket.deadline() <= now) {
                // The answer has gone its own way.
                let _ = job.ticket.refuse(self.reason.as_str());
            }
        }
    }

    /// What was sent later was taken: an earlier one to the same target would now come behind it, hence is refused.
    fn overtaken(&mut self, name: &Name) {
        for job in self.returned.extract_if(.., |job| job.name == *name) {
            // The answer has gone its own way.
            let _ = job.ticket.refuse("Redis did not take it, and took a later publication first");
        }
    }
}

#[cfg(test)]
mod tests;
