//! Arguments that several scenarios share, and their bounds.

use crate::{Error, Target, dialect::Dialect, marker, speech::Speech, template::Template};
use clap::Args;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// The most sockets that one process opens.
pub const MOST_SOCKETS: i64 = 19_000;

/// The most subscribers of a run, in all processes.
pub const MOST_SUBSCRIBERS: i64 = 2_000_000;

/// The longest content, in bytes.
pub const MOST_SIZE: i64 = 1 << 20;

/// The longest measurement, in seconds.
pub const MOST_SECONDS: i64 = 3600;

/// The most messages of a run.
pub const MOST_MESSAGES: i64 = 10_000_000;

/// What every scenario against a node takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Server to connect to, loopback only; repeat it to spread the connections evenly (the publisher uses the first)
    #[arg(long = "url", value_name = "URL", default_value = "ws://127.0.0.1:8765/")]
    pub urls: Vec<Target>,
    /// With wss://: authorities of the node's certificate, in PEM; the system's by default
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// What the connections speak
    #[arg(long, value_enum, default_value_t = Dialect::Json)]
    pub dialect: Dialect,
    /// Channel to use; by default one that no other run uses
    #[arg(long, value_parser = parse_channel)]
    pub channel: Option<String>,
    /// Process whose processor time and memory are reported; repeat it for several
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Loopback address to connect from: from each there are some 28,000 ports to one server
    #[arg(long, value_name = "IP", value_parser = parse_source)]
    pub source: Option<IpAddr>,
    /// Seconds without any arrival after which the rest counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub patience: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields say it")]
    pub output: Output,
}

/// Another server than a node.
#[derive(Debug, Clone, Default, Args)]
pub struct Foreign {
    /// What another server than a node is told: a file in TOML, see crates/bench/README.md; then --dialect is not used
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
}

impl Foreign {
    /// What is spoken: `dialect`, unless there is a template.
    pub fn speech(&self, dialect: Dialect) -> Result<Speech, Error> {
        self.template.as_deref().map_or(Ok(Speech::Native(dialect)), |path| Template::read(path).map(Speech::Foreign))
    }
}

/// Rounds, and what they are compared to.
#[derive(Debug, Clone, Copy, Args)]
pub struct Repeat {
    /// Rounds, each with new connections; 5 with --floor if not said, and 1 without
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// After each round one of the same against the least that could do the job: a thread that only writes ready frames
    #[arg(long)]
    pub floor: bool,
}

impl Repeat {
    /// How many rounds.
    pub fn rounds(self) -> u32 {
        self.rounds.unwrap_or(if self.floor { 5 } else { 1 })
    }
}

/// What is measured, and how often.
#[derive(Debug, Clone, Args)]
pub struct Subject {
    /// The servers.
    #[command(flatten)]
    pub common: Common,
    /// What others than nodes are told.
    #[command(flatten)]
    pub foreign: Foreign,
    /// The rounds.
    #[command(flatten)]
    pub repeat: Repeat,
}

impl Subject {
    /// What is spoken.
    pub fn speech(&self) -> Result<Speech, Error> {
        self.foreign.speech(self.common.dialect)
    }
}

/// More processes than this one.
#[derive(Debug, Clone, Copy, Args)]
pub struct Processes {
    /// Processes that share the subscribers; each connects from an address of its own (127.0.1.1 and up, or --source and up)
    #[arg(id = "processes", long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=250))]
    pub count: u32,
}

/// How a result is told.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print one JSON object instead of a summary
    #[arg(long)]
    pub json: bool,
    /// Exit with 0 even if something was lost, doubled, out of order or broken
    #[arg(long)]
    pub allow_loss: bool,
}

impl Common {
    /// The channel that was asked for, or one of this process alone.
    pub fn channel(&self) -> String {
        self.channel.clone().unwrap_or_else(|| format!("bench.{}", std::process::id()))
    }

    /// How long to wait without any arrival.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.patience))
    }
}

fn parse_channel(text: &str) -> Result<String, String> {
    if text.contains(marker::PREFIX) {
        return Err(format!("{:?} marks measured messages and can't be part of a channel", marker::PREFIX));
    }
    Ok(text.to_owned())
}

fn parse_source(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Ok(address),
        _ => Err("a source is a loopback address, such as 127.0.1.1".to_owned()),
    }
}

/// For clap: messages a second, above 0 and at most a million.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("a rate is a number above 0 and at most 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_positive_and_bounded() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "1000001", "x"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn connections_come_from_this_machine() {
        assert!(parse_source("127.0.1.1").is_ok());
        assert!(parse_source("192.168.0.1").is_err());
    }

    #[test]
    fn a_channel_can_not_look_like_a_mark() {
        assert!(parse_channel("afw:b").is_err());
        assert_eq!(parse_channel("news"), Ok("news".to_owned()));
    }
}
