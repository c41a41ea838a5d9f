//! Scenario: connections with small buffers that talk while messages flow.

use crate::{
    Error,
    arena::{Arena, Seats},
    arrivals::Arrivals,
    crowd::make_room,
    marker::LEAST_SIZE,
    options::{Common, MOST_MESSAGES, MOST_SIZE, Output, parse_rate},
    pace::{Pace, Schedule},
    publisher::Plan,
    stage::{Round, Stage, soon},
    talker::{Talk, talk},
};
use clap::Args;
use serde::Serialize;
use std::{fmt, rc::Rc, time::Duration};

/// How many connections, what they say, what they are sent.
#[derive(Debug, Clone, Args)]
pub struct Chatter {
    #[command(flatten)]
    common: Common,
    /// Connections
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    connections: u32,
    /// Pings and commands a second of each connection
    #[arg(long, default_value = "50", value_parser = parse_talk)]
    talk: f64,
    /// Publications
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=MOST_MESSAGES))]
    messages: u32,
    /// Publications a second
    #[arg(long, default_value = "500", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of content a publication
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Receive buffer (SO_RCVBUF) of each connection, in bytes
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1024..=64 << 20))]
    receive_buffer: u32,
}

/// For clap: pings and commands a second; the runtime's timers tick once in a millisecond.
fn parse_talk(text: &str) -> Result<f64, String> {
    parse_rate(text).ok().filter(|rate| *rate <= 1000.0).ok_or_else(|| "a number above 0 and at most 1000".to_owned())
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    connections: u32,
    receive_buffer: u32,
    /// Commands that were sent.
    commands: u64,
    /// Commands that were not answered.
    unanswered: u64,
    /// WebSocket pings that were sent.
    pings: u64,
    /// WebSocket pongs that came; a node may answer several pings at once (RFC 6455, section 5.5.3).
    pongs: u64,
    /// Turns at which nothing was said because too much was unanswered or unwritten.
    skipped: u64,
    /// Frames and answers that were wrong.
    broken: u64,
    /// What was wrong with the first of them.
    faults: Vec<String>,
    #[serde(flatten)]
    round: Round,
}

impl Chatter {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        make_room(self.connections as usize)?;
        let talk_state =
            Rc::new(Talk::new(Duration::from_secs_f64(1.0 / self.talk), self.common.dialect, self.common.channel()));
        let stage =
            Stage::open(&Arena::of_nodes(&self.common), &self.seats(), |seat| talk(seat, talk_state.clone())).await?;
        let start = soon();
        let pace = Pace::Open(Schedule { start, rate: self.rate, burst: 1 });
        let plan = Plan { start, pace, most: self.messages.into(), until: None };
        let (stage, round) = stage.play(plan, Duration::ZERO).await?;
        talk_state.finish();
        let answers: &Arrivals = &talk_state.answers;
        answers.wait_for(talk_state.expected_answers(self.connections), self.common.patience()).await;
        drop(stage);
        let said = talk_state.said();
        Ok(Report {
            scenario: "chatter",
            dialect: self.common.dialect,
            connections: self.connections,
            receive_buffer: self.receive_buffer,
            commands: said.commands,
            unanswered: said.commands - said.answered,
            pings: said.pings,
            pongs: said.pongs,
            skipped: said.skipped,
            broken: said.broken,
            faults: talk_state.faults(),
            round,
        })
    }

    fn seats(&self) -> Seats {
        Seats { receive_buffer: Some(self.receive_buffer), ..Seats::of(self.connections, self.size) }
    }
}

impl Report {
    /// Whether every frame was right, every command answered and every publication got exactly once and in order.
    pub fn is_clean(&self) -> bool {
        self.broken == 0 && self.unanswered == 0 && self.round.integrity.is_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dialect, connections, receive_buffer, commands, unanswered, pings, pongs, .. } = self;
        writeln!(f, "chatter: {connections} connections, receive buffer {receive_buffer} bytes, {dialect:?}")?;
        writeln!(
            f,
            "{commands} commands, {unanswered} unanswered; {pings} pings, {pongs} pongs; {} turns skipped",
            self.skipped
        )?;
        writeln!(f, "{} broken frames or wrong answers", self.broken)?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        write!(f, "{}", self.round)
    }
}
