//! Publications that Redis did not take since it had forgotten the script.

use crate::redis::{job::Job, names::Name};

/// What became of a publication that is to be kept.
#[derive(Debug)]
pub(super) enum Kept {
    /// It was published, on this Redis channel.
    Published(Name),
    /// Redis did nothing, as it does not have the script.
    Missed(Job),
}

/// What must be sent again, in order.
#[derive(Debug, Default)]
pub(super) struct Missed {
    jobs: Vec<Job>,
}

impl Missed {
    /// Takes in what became of publications, in the order in which they were sent.
    ///
    /// Another node may have brought the script back in the meantime, so that later publications were taken. An earlier
    /// one to the same target would now come behind them, hence is refused.
    pub(super) fn add(&mut self, outcomes: Vec<Kept>) {
        for outcome in outcomes {
            match outcome {
                Kept::Missed(job) => self.jobs.push(job),
                Kept::Published(name) => self.overtaken(&name),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Those that were missed, in order.
    pub(super) fn jobs(&mut self) -> &mut Vec<Job> {
        &mut self.jobs
    }

    fn overtaken(&mut self, name: &Name) {
        for job in self.jobs.extract_if(.., |job| job.name == *name) {
            // The answer has gone its own way.
            let _ = job.ticket.refuse("Redis had lost its scripts, and took a later publication first");
        }
    }
}
