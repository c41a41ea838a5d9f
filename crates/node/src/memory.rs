//! Pressure on the memory that the node may use: what it does before the kernel ends it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `reading` | how much memory is used, and how much may be |
//! | `cgroup` | the control groups that bound it |
//! | `pressure` | when it is short, and for how long |
//! | `spare` | what has been freed and is counted as used all the same |
//! | `relief` | which connections go |

mod cgroup;
mod pressure;
mod reading;
mod relief;
mod spare;

use crate::metrics::MemoryMetrics;
use fanwire_hub::{Hub, HubMetrics, Largest, ShardGone, Waiting};
use fanwire_protocol::CloseReason;
use pressure::{Change, Pressure};
use reading::{Reading, Source};
use relief::Outbox;
use spare::Spare;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// From reading to reading while memory is not nearly short.
const CALM: Duration = Duration::from_millis(250);

/// The same while it nearly is. What arrives meanwhile has to fit above the share at which pressure begins.
const CLOSE: Duration = Duration::from_millis(50);

/// How long shards may take to say which outboxes are the largest, and to take in which are to be closed.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections are closed between two readings, at most: what that frees is to be seen before more go.
const MOST_CLOSED: usize = 64;

/// The part of its limit that an outbox must have reached to be closed: below it little would be gained, and a client that
/// reads well may have as much waiting for a moment.
const LEAST_PART: usize = 16;

/// How much memory a node may use, and when that is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes that the process may use; `None` for what its control group may, or the machine has.
    pub limit: Option<u64>,
    /// The percentage of that at which memory is short; `None` for never.
    pub pressure: Option<u8>,
}

/// Whether memory is short. Cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shortage(Arc<AtomicBool>);

impl Shortage {
    /// Whether it is.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, is_there: bool) {
        self.0.store(is_there, Relaxed);
    }
}

/// What looks after the node's memory.
pub(crate) struct Watch {
    pub(crate) limits: MemoryLimits,
    pub(crate) shortage: Shortage,
    pub(crate) hub: Hub,
    pub(crate) hub_metrics: HubMetrics,
    /// The most that an outbox may cost, in bytes.
    pub(crate) outbox_limit: usize,
    pub(crate) metrics: MemoryMetrics,
}

/// What is known from the readings so far.
struct State {
    pressure: Pressure,
    spare: Spare,
}

impl State {
    fn new(begins_at: Option<u8>) -> Self {
        Self { pressure: Pressure::new(begins_at), spare: Spare::default() }
    }
}

impl Watch {
    /// Looks for ever, or until a shard has ended.
    pub(crate) async fn run(self) -> Result<(), ShardGone> {
        let mut state = State::new(self.limits.pressure);
        let (mut source, mut is_blind) = (None, false);
        loop {
            let (found, reading) = read(source, self.limits.limit).await;
            let mut pause = CALM;
            match reading {
                Ok(reading) => {
                    self.take_in(&mut state, reading).await?;
                    pause = if state.pressure.is_near(reading) { CLOSE } else { CALM };
                }
                Err(error) if !is_blind => tracing::warn!(%error, "can't read how much memory is used"),
                Err(_) => {}
            }
            is_blind = found.is_none();
            source = found;
            sleep(pause).await;
        }
    }

    async fn take_in(&self, state: &mut State, reading: Reading) -> Result<(), ShardGone> {
        let outboxes = u64::try_from(self.hub_metrics.outbox_bytes()).unwrap_or(0);
        let in_use = Reading { used: state.spare.besides(reading, outboxes), ..reading };
        let change = state.pressure.take_in(in_use);
        self.metrics.read(reading.used, reading.limit, state.pressure.is_there());
        self.shortage.set(state.pressure.is_there());
        self.tell(change, in_use);
        match state.pressure.excess(in_use) {
            Some(excess) => self.relieve(excess).await,
            None => Ok(()),
        }
    }

    fn tell(&self, change: Option<Change>, Reading { used, limit }: Reading) {
        match change {
            Some(Change::Begins) => {
                tracing::warn!(used, limit, "short of memory: no new connections, and the largest outboxes are closed");
            }
            Some(Change::Ends) => tracing::info!(used, limit, "memory is not short any more"),
            None => {}
        }
    }

    /// Closes the connections with the largest outboxes that come to `excess` bytes, as far as there are any.
    async fn relieve(&self, excess: u64) -> Result<(), ShardGone> {
        // A shard that is behind is asked again after the next reading.
        timeout(PATIENCE, self.close_largest(excess)).await.unwrap_or(Ok(()))
    }

    async fn close_largest(&self, excess: u64) -> Result<(), ShardGone> {
        let which = Largest { most: MOST_CLOSED, least: self.outbox_limit / LEAST_PART };
        let mut outboxes = Vec::new();
        for (shard, handle) in self.hub.shards().iter().enumerate() {
            let largest = handle.largest_outboxes(which).await?;
            let outbox = |Waiting { connection, bytes }| Outbox { key: (shard, connection), bytes };
            outboxes.extend(largest.into_iter().map(outbox));
        }
        for (shard, connection) in relief::chosen(outboxes, excess, MOST_CLOSED) {
            self.hub.shards()[shard].close(connection, CloseReason::MemoryPressure).await?;
        }
        Ok(())
    }
}

/// Reads on a thread that may wait for the kernel, and finds first where to where that is not known.
async fn read(source: Option<Source>, limit: Option<u64>) -> (Option<Source>, io::Result<Reading>) {
    let reading = spawn_blocking(move || {
        let source = source.map_or_else(|| Source::find(limit), Ok)?;
        source.read().map(|reading| (source, reading))
    });
    match reading.await.unwrap_or_else(|failed| Err(io::Error::other(failed))) {
        Ok((source, reading)) => (Some(source), Ok(reading)),
        Err(error) => (None, Err(error)),
    }
}

#[cfg(test)]
mod tests;
