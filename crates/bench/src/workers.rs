//! Processes that have subscribers for this one: more sockets than one process may open, read on more processors.

use crate::{
    Error,
    crew::{Job, Tally},
    helper::Helper,
    progress::Progress,
    worker::{Answer, Order},
};
use futures_util::future::try_join_all;
use std::{cell::Cell, net::IpAddr, time::Duration};
use tokio::time::timeout;

/// How long a worker may take for an answer beyond what it was told to wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other processes of a run. They end with this value.
#[derive(Debug, Default)]
pub struct Workers {
    workers: Vec<Worker>,
    open: usize,
}

#[derive(Debug)]
struct Worker(Helper);

impl Workers {
    /// Starts a process for each of `jobs`, and waits until all have opened what they can.
    pub async fn start(jobs: Vec<Job>, progress: &Progress) -> Result<Self, Error> {
        let open = Cell::new(0);
        let starting = jobs.into_iter().map(|job| Worker::start(job, &open, progress));
        let workers = try_join_all(starting).await?;
        Ok(Self { workers, open: open.get() })
    }

    /// How many subscribers they have.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Their processes.
    pub fn pids(&self) -> Vec<u32> {
        self.workers.iter().filter_map(|worker| worker.0.pid()).collect()
    }

    /// See [`crate::crew::Crew::restart`].
    pub async fn restart(&mut self, nanos: u64, first: u64) -> Result<(), Error> {
        try_join_all(self.workers.iter_mut().map(|worker| worker.restart(nanos, first))).await.map(drop)
    }

    /// See [`crate::crew::Crew::settle`].
    pub async fn settle(&mut self, end: u64, patience: Duration) -> Result<Vec<Tally>, Error> {
        try_join_all(self.workers.iter_mut().map(|worker| worker.settle(end, patience))).await
    }
}

impl Worker {
    async fn start(job: Job, open: &Cell<usize>, progress: &Progress) -> Result<Self, Error> {
        let mut worker = Self(Helper::start("worker", &[])?);
        let mut own = 0;
        worker.tell(&Order::Open(Box::new(job))).await?;
        loop {
            let (now, done) = match worker.hear(PATIENCE).await? {
                Answer::Opening(now) => (now, false),
                Answer::Open(now) => (now, true),
                other => return Err(unexpected(&other)),
            };
            open.set(open.get() + now - own);
            own = now;
            progress.at(open.get());
            if done {
                return Ok(worker);
            }
        }
    }

    async fn restart(&mut self, nanos: u64, first: u64) -> Result<(), Error> {
        self.tell(&Order::Restart { nanos, first }).await?;
        match self.hear(PATIENCE).await? {
            Answer::Restarted => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn settle(&mut self, end: u64, patience: Duration) -> Result<Tally, Error> {
        self.tell(&Order::Settle { end, patience }).await?;
        // As long as messages come it waits, so this is as long as a round may take at all.
        match self.hear(Duration::from_secs(3600)).await? {
            Answer::Settled(tally) => Ok(tally),
            other => Err(unexpected(&other)),
        }
    }

    async fn tell(&mut self, order: &Order) -> Result<(), Error> {
        let line = serde_json::to_string(order).map_err(|error| failed(error.to_string()))?;
        self.0.tell(&line).await
    }

    async fn hear(&mut self, patience: Duration) -> Result<Answer, Error> {
        let line =
            timeout(patience, self.0.hear()).await.map_err(|_| failed(format!("no answer within {patience:?}")))??;
        match serde_json::from_str(&line).map_err(|error| failed(error.to_string()))? {
            Answer::Failed(reason) => Err(failed(reason)),
            answer => Ok(answer),
        }
    }
}

fn failed(reason: String) -> Error {
    Error::Helper { role: "worker", reason }
}

fn unexpected(answer: &Answer) -> Error {
    failed(format!("unexpected answer {answer:?}"))
}

/// `count` subscribers shared out over `processes` so that none has more than one more than another; the last share is
/// this process's own.
pub fn shares(count: u32, processes: u32) -> Vec<u32> {
    let processes = processes.clamp(1, count.max(1));
    (0..processes).map(|index| count / processes + u32::from(index < count % processes)).collect()
}

/// The address that process `index` connects from: each its own, since ports are taken for each source.
pub fn source(first: Option<IpAddr>, index: u32, processes: u32) -> Option<IpAddr> {
    match (first, processes) {
        (first, 1) => first,
        (Some(IpAddr::V4(first)), _) => Some(IpAddr::V4((first.to_bits() + index).into())),
        (Some(first), _) => Some(first),
        (None, _) => {
            Some(IpAddr::from([127, 0, 1 + u8::try_from(index / 250).unwrap_or(u8::MAX), 1 + (index % 250) as u8]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_are_shared_out_evenly() {
        assert_eq!(shares(10, 3), [4, 3, 3]);
        assert_eq!(shares(10, 1), [10]);
        assert_eq!(shares(2, 5), [1, 1]);
        assert_eq!(shares(1_000_000, 53).iter().sum::<u32>(), 1_000_000);
    }

    #[test]
    fn each_process_has_a_source_of_its_own() {
        let at = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(source(None, 0, 1), None);
        assert_eq!(
            [0, 249, 250].map(|index| source(None, index, 300)),
            [at("127.0.1.1"), at("127.0.1.250"), at("127.0.2.1")]
        );
        assert_eq!(source(at("127.0.9.255"), 1, 2), at("127.0.10.0"));
    }
}
