//! Scenario: some subscribers never read.

use crate::{
    Error,
    arena::{Arena, Seats},
    crew::Job,
    crowd::make_room,
    marker::LEAST_SIZE,
    options::{Common, MOST_MESSAGES, MOST_SECONDS, MOST_SIZE, Output, parse_rate},
    pace::{Pace, Schedule},
    process::Watch,
    publisher::Plan,
    sampler::Sampler,
    stage::{Round, Stage, soon},
    stalled::{Outcome, Resume, Stalled},
    subscriber::follow,
};
use clap::Args;
use serde::Serialize;
use std::{fmt, time::Duration};
use tokio::time::sleep;

/// Messages of the unmeasured round that lets everything warm up.
const WARMUP_MESSAGES: u64 = 100;

/// How long the node has to give memory back after the stalled connections are gone.
const SETTLE: Duration = Duration::from_secs(2);

/// How many subscribers, how many of them stalled, and what they are sent.
#[derive(Debug, Clone, Args)]
pub struct Stall {
    #[command(flatten)]
    common: Common,
    /// Subscribers that read
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    subscribers: u32,
    /// Subscribers that don't
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=900))]
    stalled: u32,
    /// Messages of each round
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST_MESSAGES))]
    messages: u32,
    /// Bytes of content a message
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Messages a second; without it as fast as a subscriber confirms them
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Without --rate: unconfirmed messages at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "rate")]
    window: u32,
    /// Receive buffer (SO_RCVBUF) of the stalled connections, in bytes
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1024..=64 << 20))]
    receive_buffer: u32,
    /// Let the stalled connections read on after the round, and report what they see
    #[arg(long)]
    resume: bool,
    /// With --resume: read on so many seconds after the round began, while it still goes on
    #[arg(long, value_name = "SECONDS", requires = "resume", value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    resume_after: Option<u32>,
    /// Seconds to wait for the stalled connections' ends, or for more to read
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    wait: u32,
}

/// Private memory of each watched process, in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    before: Vec<u64>,
    /// The highest sample.
    peak: Vec<u64>,
    /// When the last message had arrived.
    after: Vec<u64>,
    /// When the stalled connections were gone or given up.
    settled: Vec<u64>,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    subscribers: u32,
    stalled: u32,
    size: u32,
    /// The round in which all read.
    without: Round,
    /// The round with stalled subscribers, told of the others.
    with: Round,
    memory: Memory,
    /// How each stalled connection fared.
    outcomes: Vec<Outcome>,
}

impl Stall {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        make_room(self.subscribers as usize + self.stalled as usize)?;
        let watch = Watch::new(&self.common.pids)?;
        let stage =
            Stage::open(&Arena::of_nodes(&self.common), &Seats::of(self.subscribers, self.size), follow).await?;
        let (stage, _) = stage.play(self.plan(WARMUP_MESSAGES), Duration::ZERO).await?;
        // Sampled too, so that sampling costs both rounds the same.
        let (stage, without, _) = self.play_sampled(stage, &watch).await?;

        let before = watch.memory()?;
        let stalled = self.open_stalled(&stage).await?;
        let (stage, with, peak) = self.play_sampled(stage, &watch).await?;
        let after = watch.memory()?;
        let outcomes = stalled.end(stage.next()).await;
        sleep(SETTLE).await;
        let memory = Memory { before, peak, after, settled: watch.memory()? };
        let Self { subscribers, stalled, size, .. } = *self;
        let dialect = self.common.dialect;
        Ok(Report { scenario: "stall", dialect, subscribers, stalled, size, without, with, memory, outcomes })
    }

    async fn play_sampled(&self, stage: Stage, watch: &Watch) -> Result<(Stage, Round, Vec<u64>), Error> {
        let sampler = Sampler::start(watch.clone())?;
        let (stage, round) = stage.play(self.plan(self.messages.into()), Duration::ZERO).await?;
        Ok((stage, round, sampler.stop()))
    }

    async fn open_stalled(&self, stage: &Stage) -> Result<Stalled, Error> {
        let receive_buffer = Some(self.receive_buffer);
        let job = Job { count: self.stalled, receive_buffer, ..Arena::of_nodes(&self.common).job() };
        let (options, tls) = (job.options(), job.tls()?);
        let sockets = job.crowd(&options, tls.as_ref()).open(&stage.board.scratch, |_| {}).await?;
        let patience = Duration::from_secs(self.wait.into());
        Ok(Stalled::start(sockets, self.common.dialect, stage.next(), self.resume(), patience))
    }

    fn resume(&self) -> Resume {
        match (self.resume, self.resume_after) {
            (false, _) => Resume::Never,
            (true, None) => Resume::AtEnd,
            (true, Some(seconds)) => Resume::After(Duration::from_secs(seconds.into())),
        }
    }

    fn plan(&self, most: u64) -> Plan {
        let start = soon();
        let pace = match self.rate {
            Some(rate) => Pace::Open(Schedule { start, rate, burst: 1 }),
            None => Pace::Window(self.window.into()),
        };
        Plan { start, pace, most, until: None }
    }
}

impl Report {
    /// Whether those that read got everything exactly once and in order in both rounds, and those that read on later
    /// saw nothing doubled, out of order or broken.
    pub fn is_clean(&self) -> bool {
        self.without.integrity.is_clean()
            && self.with.integrity.is_clean()
            && self.outcomes.iter().all(Outcome::is_clean)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dialect, subscribers, stalled, size, without, with, memory, .. } = self;
        writeln!(f, "stall: {subscribers} subscribers that read, {stalled} that don't, {size} bytes, {dialect:?}")?;
        writeln!(f, "-- all read\n{without}\n-- some stalled, told of the others\n{with}")?;
        write!(f, "-- the stalled")?;
        self.outcomes.iter().try_for_each(|outcome| write!(f, "\n{outcome}"))?;
        for (index, before) in memory.before.iter().enumerate() {
            let kib = |values: &[u64]| values.get(index).map_or(0, |bytes| bytes / 1024);
            let (peak, after, settled) = (kib(&memory.peak), kib(&memory.after), kib(&memory.settled));
            let before = before / 1024;
            write!(f, "\nprivate memory: before {before} KiB, peak {peak}, after the last message {after}, ")?;
            write!(f, "{} s after the stalled were done {settled}", SETTLE.as_secs())?;
        }
        Ok(())
    }
}
