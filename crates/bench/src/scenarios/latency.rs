//! Scenario: what the nodes add to the time that a message takes through Redis.

use crate::{
    Error, Target,
    arena::{Arena, Seats},
    bare_redis,
    latency::Summary,
    marker::LEAST_SIZE,
    options::{Common, MOST_SECONDS, MOST_SIZE, Output, parse_rate},
    pace::{Pace, Schedule},
    publisher::Plan,
    rounds::{Spread, Table},
    stage::{Round, Stage, soon},
    subscriber::follow,
};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// How fast, to how many, and by which Redis.
#[derive(Debug, Clone, Args)]
pub struct Latency {
    #[command(flatten)]
    common: Common,
    /// The Redis of the nodes, without TLS, which is measured by itself in turn
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6379", value_parser = parse_redis)]
    redis: Target,
    /// Subscribers, at all nodes that are named but the first, to which it is published
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    subscribers: u32,
    /// Messages a second
    #[arg(long, default_value = "1000", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of content a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Seconds to measure, in each round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    /// Seconds before them that are not measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    warmup: u32,
    /// Rounds by the nodes and by Redis alone, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

fn parse_redis(text: &str) -> Result<Target, String> {
    Target::http(&format!("http://{text}")).map_err(|_| "an address of loopback, such as 127.0.0.1:6379".to_owned())
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    settings: Value,
    /// Each round by the nodes.
    rounds: Vec<Round>,
    /// Each round by Redis alone, which was played after the round of the same place.
    redis_rounds: Vec<bare_redis::Round>,
    /// How the latency by the nodes varied from round to round, in microseconds.
    summary: Table,
    /// The same by Redis alone.
    redis_summary: Table,
    /// The former minus the latter, round by round: what the nodes add.
    added: Table,
}

impl Latency {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        let arena = Arena::of_nodes(&self.common);
        let (mut rounds, mut redis_rounds) = (Vec::new(), Vec::new());
        let (warmup, patience) = (Duration::from_secs(self.warmup.into()), self.common.patience());
        for number in 1..=self.rounds {
            arena.progress.round(format!("round {number} of {}: ", self.rounds));
            let stage = Stage::open(&arena, &self.seats(), follow).await?;
            rounds.push(stage.play(self.plan(), warmup).await?.1);
            arena.progress.say("Redis alone");
            redis_rounds.push(bare_redis::play(&self.redis, self.size as usize, self.plan(), warmup, patience).await?);
        }
        arena.progress.clear();
        let (own, redis): (Vec<_>, Vec<_>) = (
            rounds.iter().map(|round| round.latency).collect(),
            redis_rounds.iter().map(|round| round.latency).collect(),
        );
        let settings = self.settings();
        let (summary, redis_summary, added) = (table(&own, &[]), table(&redis, &[]), table(&own, &redis));
        Ok(Report { scenario: "latency", settings, rounds, redis_rounds, summary, redis_summary, added })
    }

    fn seats(&self) -> Seats {
        let others = self.common.urls.get(1..).unwrap_or_default().to_vec();
        Seats { targets: others, ..Seats::of(self.subscribers, self.size) }
    }

    fn plan(&self) -> Plan {
        let start = soon();
        let until = Some(start + Duration::from_secs(u64::from(self.warmup) + u64::from(self.seconds)));
        Plan { start, pace: Pace::Open(Schedule { start, rate: self.rate, burst: 1 }), most: u64::MAX, until }
    }

    fn settings(&self) -> Value {
        json!({
            "dialect": self.common.dialect, "nodes": self.common.urls.len(), "subscribers": self.subscribers,
            "rate": self.rate, "size": self.size, "seconds": self.seconds, "warmup": self.warmup,
        })
    }
}

/// The percentiles of `own`, minus those of `others` where there are any.
fn table(own: &[Summary], others: &[Summary]) -> Table {
    let of = |part: fn(&Summary) -> f64| {
        let values = own.iter().enumerate().map(|(index, own)| part(own) - others.get(index).map_or(0.0, part));
        Spread::of(values.collect())
    };
    let parts = [
        ("mean_us", of(|summary| summary.mean_us)),
        ("p50_us", of(|summary| summary.p50_us)),
        ("p90_us", of(|summary| summary.p90_us)),
        ("p99_us", of(|summary| summary.p99_us)),
    ];
    parts.into_iter().filter_map(|(name, spread)| Some((name, spread?))).collect()
}

impl Report {
    /// Whether every message arrived exactly once and in order, by the nodes and by Redis alone.
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().all(|round| round.integrity.is_clean())
            && self.redis_rounds.iter().all(|round| round.integrity.is_clean())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, subscribers, nodes) =
            (&self.settings["rate"], &self.settings["subscribers"], &self.settings["nodes"]);
        write!(f, "latency: {rate} messages a second to {subscribers} subscribers, {nodes} nodes")?;
        for (index, (round, redis)) in self.rounds.iter().zip(&self.redis_rounds).enumerate() {
            write!(f, "\n-- round {}\n{round}\n-- Redis alone\n{}\n", index + 1, redis.integrity)?;
            write!(f, "latency   {}\nsend lag  {}", redis.latency, redis.send_lag)?;
        }
        write!(f, "\n-- medians of {} rounds (least to most), in microseconds", self.rounds.len())?;
        for (name, added) in &self.added {
            let (own, redis) = (self.summary[name].median, self.redis_summary[name].median);
            let Spread { median, least, most } = added;
            write!(f, "\n{name:<8} {own:.0}, Redis alone {redis:.0}, added {median:.0} ({least:.0} to {most:.0})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_taken_round_by_round() {
        let summary = |p50_us| Summary { p50_us, ..Summary::default() };
        let added = table(&[summary(10.0), summary(100.0)], &[summary(1.0), summary(98.0)]);
        assert_eq!(added["p50_us"], Spread { median: 5.5, least: 2.0, most: 9.0 });
        assert!(table(&[], &[]).is_empty());
    }
}
