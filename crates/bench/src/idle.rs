//! Scenario: many connections that do nothing.

use crate::{
    Error,
    board::Board,
    crowd::{Crowd, make_room},
    options::{Common, MOST_SECONDS, MOST_SOCKETS, Output},
    pace::Clock,
    process::{Cost, Watch},
    subscriber::{Seat, SharedAccount, follow},
};
use clap::Args;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, rc::Rc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// How many connections, how long.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    #[command(flatten)]
    common: Common,
    /// Connections, each with one subscription
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    connections: u32,
    /// Seconds to hold them
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    /// Seconds to let the node settle before memory is read, each time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    settle: u32,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    connections: u32,
    seconds: u32,
    /// Private memory of each process in bytes: before, with the connections, and after holding them.
    memory_before: Vec<u64>,
    memory_open: Vec<u64>,
    memory_held: Vec<u64>,
    /// Growth of all processes together by connections, in bytes; absent when none was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_connection: Option<f64>,
    /// Connections that ended while they were held, by how.
    ended: BTreeMap<String, u64>,
    /// What the watched processes used while the connections were held.
    servers: Vec<Cost>,
}

impl Idle {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        make_room(self.connections as usize)?;
        let watch = Watch::new(&self.common.pids)?;
        let settle = Duration::from_secs(self.settle.into());
        let memory_before = watch.memory()?;
        let (accounts, _readers) = self.open().await?;
        sleep(settle).await;
        let (memory_open, before) = (watch.memory()?, watch.cpu()?);
        sleep(Duration::from_secs(self.seconds.into())).await;
        let servers = watch.cost_since(&before, 0)?;
        let memory_held = watch.memory()?;
        Ok(Report {
            scenario: "idle",
            dialect: self.common.dialect,
            connections: self.connections,
            seconds: self.seconds,
            bytes_per_connection: growth(&memory_before, &memory_held, self.connections),
            memory_before,
            memory_open,
            memory_held,
            ended: ends(&accounts),
            servers,
        })
    }

    async fn open(&self) -> Result<(Vec<SharedAccount>, JoinSet<()>), Error> {
        let board = Rc::new(Board::new(Clock::start()));
        let (channel, tls) = (self.common.channel(), self.common.tls()?);
        let crowd = Crowd {
            targets: &self.common.urls,
            tls: tls.as_ref(),
            dialect: self.common.dialect,
            channel: &channel,
            receive_buffer: None,
            source: self.common.source,
            count: self.connections as usize,
        };
        let (mut accounts, mut readers) = (Vec::new(), JoinSet::new());
        for (index, socket) in crowd.open(&board.scratch).await?.into_iter().enumerate() {
            let account = SharedAccount::default();
            accounts.push(account.clone());
            let board = board.clone();
            let seat = Seat { index, socket, dialect: self.common.dialect, account, board, confirmations: None };
            readers.spawn_local(follow(seat));
        }
        Ok((accounts, readers))
    }
}

fn growth(before: &[u64], after: &[u64], connections: u32) -> Option<f64> {
    let sum = |values: &[u64]| values.iter().sum::<u64>() as f64;
    (!before.is_empty()).then(|| (sum(after) - sum(before)) / f64::from(connections))
}

fn ends(accounts: &[SharedAccount]) -> BTreeMap<String, u64> {
    let mut ends = BTreeMap::new();
    for ended in accounts.iter().filter_map(|account| account.borrow().ended.clone()) {
        *ends.entry(ended.to_string()).or_default() += 1;
    }
    ends
}

impl Report {
    /// Whether every connection lasted.
    pub fn is_clean(&self) -> bool {
        self.ended.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "idle: {} connections, {:?}, held for {} s", self.connections, self.dialect, self.seconds)?;
        for ((before, open), held) in self.memory_before.iter().zip(&self.memory_open).zip(&self.memory_held) {
            let [before, open, held] = [before, open, held].map(|bytes| bytes / 1024);
            write!(f, "\nprivate memory: before {before} KiB, connected {open} KiB, at the end {held} KiB")?;
        }
        if let Some(bytes) = self.bytes_per_connection {
            write!(f, "\n{bytes:.0} bytes a connection")?;
        }
        self.servers.iter().try_for_each(|cost| write!(f, "\n{cost} in {} s", self.seconds))?;
        self.ended.iter().try_for_each(|(how, count)| write!(f, "\n{count} connections {how}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_shared_out_over_connections_and_may_be_negative() {
        assert_eq!(growth(&[100, 100], &[300, 200], 10), Some(30.0));
        assert_eq!(growth(&[100], &[50], 10), Some(-5.0));
        assert_eq!(growth(&[], &[], 10), None);
    }
}
