//! Scenario: one publisher, many subscribers.

use crate::{
    Error,
    crowd::make_room,
    marker::LEAST_SIZE,
    options::{Common, MOST_SECONDS, MOST_SIZE, MOST_SOCKETS, parse_rate},
    pace::{Pace, Schedule},
    publisher::{Confirm, Plan},
    stage::{Round, Seats, Stage, soon},
    subscriber::follow,
};
use clap::Args;
use serde::Serialize;
use std::{fmt, time::Duration};

/// How many subscribers, how fast, how long.
#[derive(Debug, Clone, Args)]
pub struct Fanout {
    #[command(flatten)]
    common: Common,
    /// Subscribers
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..MOST_SOCKETS))]
    subscribers: u32,
    /// Messages a second
    #[arg(long, default_value = "20", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of content a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Seconds to measure
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    /// Seconds before them that are not measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    warmup: u32,
    /// Publish as fast as messages are confirmed, instead of at a rate
    #[arg(long, conflicts_with = "rate")]
    saturate: bool,
    /// With --saturate: unconfirmed messages at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "saturate")]
    window: u32,
    /// With --saturate: what confirms a message
    #[arg(long, value_enum, default_value_t = Confirm::Subscriber, requires = "saturate")]
    confirm: Confirm,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    subscribers: u32,
    size: u32,
    /// Messages a second; absent when a window paced them.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// Unconfirmed messages; absent when a rate paced them.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
    #[serde(flatten)]
    round: Round,
}

impl Fanout {
    /// How the result is told.
    pub fn output(&self) -> crate::options::Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        make_room(self.subscribers as usize)?;
        let seats = Seats {
            count: self.subscribers as usize,
            receive_buffer: None,
            size: self.size as usize,
            confirm: self.confirm(),
        };
        let stage = Stage::open(&self.common, seats, follow).await?;
        let (_, round) = stage.play(self.plan(), Duration::from_secs(self.warmup.into())).await?;
        Ok(Report {
            scenario: "fanout",
            dialect: self.common.dialect,
            subscribers: self.subscribers,
            size: self.size,
            rate: (!self.saturate).then_some(self.rate),
            window: self.saturate.then_some(self.window),
            round,
        })
    }

    fn confirm(&self) -> Confirm {
        // Paced by a rate, nothing is confirmed; asking for answers would only cost the node.
        if self.saturate { self.confirm } else { Confirm::Subscriber }
    }

    fn plan(&self) -> Plan {
        let start = soon();
        let until = start + Duration::from_secs(u64::from(self.warmup) + u64::from(self.seconds));
        let pace = match self.saturate {
            true => Pace::Window(self.window.into()),
            false => Pace::Open(Schedule { start, rate: self.rate }),
        };
        Plan { start, pace, most: u64::MAX, until: Some(until) }
    }
}

impl Report {
    /// Whether every subscriber got everything exactly once and in order.
    pub fn is_clean(&self) -> bool {
        self.round.integrity.is_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fanout: {} subscribers, {} bytes, {:?}, ", self.subscribers, self.size, self.dialect)?;
        match (self.rate, self.window) {
            (Some(rate), _) => writeln!(f, "{rate} messages a second")?,
            (_, Some(window)) => writeln!(f, "window of {window}")?,
            _ => writeln!(f)?,
        }
        write!(f, "{}", self.round)
    }
}
