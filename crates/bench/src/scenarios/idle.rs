//! Scenario: many connections that do nothing, and then all get something.

use crate::{
    Error,
    arena::{Arena, Seats},
    marker::LEAST_SIZE,
    options::{Common, Foreign, MOST_SECONDS, MOST_SUBSCRIBERS, Output, Processes, parse_rate},
    pace::{Pace, Schedule},
    process::{Cost, Watch},
    progress::Progress,
    publisher::Plan,
    stage::{Round, Stage, soon},
    subscriber::follow,
};
use clap::Args;
use serde::Serialize;
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How many connections, how long.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    processes: Processes,
    /// Connections, each with one subscription
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST_SUBSCRIBERS))]
    connections: u32,
    /// Seconds to hold them
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Seconds to let the server settle before memory is read
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    settle: u32,
    /// Connections to open a second at most; as fast as can be if not said
    #[arg(long, value_parser = parse_rate)]
    ramp: Option<f64>,
    /// Open no more connections when the machine has less memory than this available, in MiB; the others are measured
    #[arg(long, value_name = "MIB", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1 << 24))]
    least_memory: u32,
    /// Messages to all connections in the end, one a second: whoever misses one was lost without having noticed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    messages: u32,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    settings: serde_json::Value,
    /// Connections that were opened: fewer than asked for where memory ran short.
    connections: usize,
    /// Seconds that opening them took.
    opening_seconds: f64,
    /// Growth of all watched processes together by connections after holding them, in bytes; absent when none was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_connection: Option<f64>,
    /// Private memory of each process after holding them, in bytes.
    memory_held: Vec<u64>,
    /// What the watched processes used while the connections were held.
    servers: Vec<Cost>,
    /// Processor time of all of them by connections and seconds, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_connection_second: Option<f64>,
    /// Private memory of the load generator by connections, in bytes.
    generator_bytes_per_connection: f64,
    /// The messages in the end.
    finale: Round,
}

impl Idle {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        let speech = self.foreign.speech(self.common.dialect)?;
        let (name, progress) = (speech.name().to_owned(), Progress::new());
        let arena = Arena { common: self.common.clone(), speech, progress: progress.clone() };
        let (watch, begun) = (Watch::new(&self.common.pids)?, Instant::now());
        let stage = Stage::open(&arena, &self.seats(), follow).await?;
        let opening_seconds = begun.elapsed().as_secs_f64();
        sleep(Duration::from_secs(self.settle.into())).await;
        let before = watch.cpu()?;
        progress.say(&format!("holding {} connections for {} s", stage.subscribers(), self.seconds));
        sleep(Duration::from_secs(self.seconds.into())).await;
        let (servers, memory_held) = (watch.cost_since(&before, 0)?, watch.memory()?);
        let bytes_per_connection = stage.bytes_per_connection()?;
        let generator_bytes_per_connection = stage.generator().memory()? as f64 / stage.subscribers().max(1) as f64;
        progress.say("a message to all");
        let (stage, finale) = stage.play(self.plan(), Duration::ZERO).await?;
        progress.clear();
        Ok(Report {
            scenario: "idle",
            settings: self.settings(&name),
            connections: stage.subscribers(),
            opening_seconds,
            bytes_per_connection,
            memory_held,
            cpu_us_per_connection_second: per_connection_second(&servers, stage.subscribers(), self.seconds),
            servers,
            generator_bytes_per_connection,
            finale,
        })
    }

    fn seats(&self) -> Seats {
        Seats {
            processes: self.processes.count,
            ramp: self.ramp,
            least_memory: u64::from(self.least_memory) << 20,
            to_all: true,
            ..Seats::of(self.connections, LEAST_SIZE)
        }
    }

    fn plan(&self) -> Plan {
        let start = soon();
        Plan {
            start,
            pace: Pace::Open(Schedule { start, rate: 1.0, burst: 1 }),
            most: self.messages.into(),
            until: None,
        }
    }

    fn settings(&self, speech: &str) -> serde_json::Value {
        serde_json::json!({
            "dialect": speech, "connections": self.connections, "seconds": self.seconds, "settle": self.settle,
            "processes": self.processes.count, "messages": self.messages, "ramp": self.ramp,
            "least_memory": self.least_memory,
        })
    }
}

fn per_connection_second(servers: &[Cost], connections: usize, seconds: u32) -> Option<f64> {
    let used: f64 = servers.iter().map(|cost| cost.user_seconds + cost.system_seconds).sum();
    let shared_by = connections as f64 * f64::from(seconds);
    (!servers.is_empty() && shared_by > 0.0).then(|| used * 1e6 / shared_by)
}

impl Report {
    /// Whether all connections that were asked for were opened, lasted, and got all messages.
    pub fn is_clean(&self) -> bool {
        self.finale.integrity.is_clean() && !self.fell_short()
    }

    fn fell_short(&self) -> bool {
        self.settings["connections"] != self.connections
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, seconds) = (&self.settings["connections"], &self.settings["seconds"]);
        write!(f, "idle: {} connections of {asked}, opened in {:.1} s", self.connections, self.opening_seconds)?;
        write!(f, ", held for {seconds} s")?;
        if self.fell_short() {
            write!(f, "\nNO MORE WERE OPENED: less memory was available than --least-memory")?;
        }
        for (cost, bytes) in self.servers.iter().zip(&self.memory_held) {
            write!(f, "\n{cost}, private memory {} KiB", bytes / 1024)?;
        }
        if let Some((bytes, us)) = self.bytes_per_connection.zip(self.cpu_us_per_connection_second) {
            write!(f, "\n{bytes:.0} bytes a connection, {us:.2} us of processor time a connection and second")?;
        }
        write!(f, "\nload generator: {:.0} bytes a connection", self.generator_bytes_per_connection)?;
        write!(f, "\n-- messages to all\n{}", self.finale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_shared_out_over_connections_and_seconds() {
        assert_eq!(per_connection_second(&[], 5, 1), None);
        let cost = Cost { pid: 1, user_seconds: 1.0, system_seconds: 2.0, user_us_each: None, system_us_each: None };
        assert_eq!(per_connection_second(&[cost], 1000, 3), Some(1000.0));
    }
}
