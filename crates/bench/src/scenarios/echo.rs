//! Scenario: requests and their answers.

use crate::{
    Error,
    arena::Arena,
    asker::{Asker, Hall},
    board::Board,
    crowd::{Crowd, make_room},
    latency::Summary,
    marker::LEAST_SIZE,
    metronome::Metronome,
    options::{MOST_SECONDS, MOST_SIZE, MOST_SOCKETS, Output, Subject, parse_rate},
    pace::{Clock, Schedule},
    rounds::{Measured, Report},
    speech::Speech,
    stage::soon,
    usage::{Meter, Usage},
};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};

/// How many ask, how fast, how long.
#[derive(Debug, Clone, Args)]
pub struct Echo {
    #[command(flatten)]
    subject: Subject,
    /// Connections that ask; a node is asked by `ping`
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    connections: u32,
    /// Requests a second of all connections together, answered or not; without it each asks again when it has its answer
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Without --rate: requests of a connection without an answer at most
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "rate")]
    window: u32,
    /// With --template: bytes of content a request
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Seconds to measure
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    /// Seconds before them that are not measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    warmup: u32,
}

/// What one round showed.
#[derive(Debug, Serialize)]
pub struct Round {
    /// Requests that were due, warm-up included.
    pub asked: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Answers to requests that were due after the warm-up.
    pub measured: u64,
    /// The former by the seconds from then to the last of them.
    pub per_second: f64,
    /// From the time at which a request was due to its answer.
    pub delay: Summary,
    /// By how much requests were late: the load generator's own part of the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_lag: Option<Summary>,
    /// Connections that ended, by how.
    pub ended: BTreeMap<String, u64>,
    /// What was used after the warm-up.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Echo {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.subject.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report<Round>, Error> {
        make_room(self.connections as usize)?;
        let speech = self.subject.speech()?;
        if matches!(&speech, Speech::Foreign(template) if template.echo.is_none()) {
            return Err(Error::Lacking { key: "echo" });
        }
        let settings = self.settings(&speech);
        Report::play("echo", settings, (&self.subject, speech), async |arena| self.round(&arena).await).await
    }

    fn settings(&self, speech: &Speech) -> Value {
        let sized = matches!(speech, Speech::Foreign(_)).then_some(self.size);
        json!({
            "dialect": speech.name(), "connections": self.connections, "rate": self.rate, "size": sized,
            "window": self.rate.is_none().then_some(self.window), "seconds": self.seconds, "warmup": self.warmup,
        })
    }

    async fn round(&self, arena: &Arena) -> Result<Round, Error> {
        let meter = Meter::new(&arena.common.pids)?;
        let board = Rc::new(Board::new(Clock::start()));
        let sockets = self.open(arena, &board).await?;
        let start = soon();
        let measured_from = start + Duration::from_secs(self.warmup.into());
        let until = measured_from + Duration::from_secs(self.seconds.into());
        let from = board.clock.nanos(measured_from);
        board.restart(from);
        let hall = Rc::new(self.hall(arena, board, until));
        let (metronome, dues) = self.metronome(start, until)?.unzip();
        let mut dues = dues.unwrap_or_default().into_iter();
        let mut asking = JoinSet::new();
        for socket in sockets {
            let asker = Asker::new(Rc::clone(&hall), socket, arena.common.channel());
            asking.spawn_local(asker.ask(dues.next()));
        }
        sleep_until(measured_from.into()).await;
        let begun = meter.start()?;
        sleep_until(until.into()).await;
        let beaten = match metronome {
            Some(metronome) => metronome.end().await,
            None => None,
        };
        let asked = beaten.as_ref().map_or(hall.asked.get(), |beaten| beaten.due);
        hall.board.arrivals.wait_for(asked, arena.common.patience()).await;
        let (delays, last) = hall.board.take();
        let measured = delays.count();
        let seconds = Duration::from_nanos(last.saturating_sub(from)).as_secs_f64();
        Ok(Round {
            asked,
            answered: hall.board.arrivals.counted(),
            measured,
            per_second: if seconds > 0.0 { measured as f64 / seconds } else { 0.0 },
            delay: delays.summary(),
            send_lag: beaten.map(|beaten| beaten.lag),
            ended: hall.ended.borrow().clone(),
            usage: meter.since(&begun, measured)?,
        })
    }

    async fn open(&self, arena: &Arena, board: &Board) -> Result<Vec<crate::websocket::WebSocket>, Error> {
        let job = arena.job();
        let (options, tls) = (job.options(), job.tls()?);
        let crowd = Crowd { count: self.connections as usize, ..job.crowd(&options, tls.as_ref()) };
        arena.progress.count("connections", self.connections.into());
        let sockets = crowd.open(&board.scratch, |open| arena.progress.at(open)).await?;
        arena.progress.say("asking");
        Ok(sockets)
    }

    fn hall(&self, arena: &Arena, board: Rc<Board>, until: Instant) -> Hall {
        Hall {
            board,
            speech: Arc::new(arena.speech.clone()),
            window: self.window,
            size: self.size as usize,
            until,
            asked: Cell::new(0),
            ended: RefCell::default(),
        }
    }

    #[expect(clippy::type_complexity, reason = "a pair")]
    fn metronome(
        &self,
        start: Instant,
        until: Instant,
    ) -> Result<Option<(Metronome, Vec<tokio::sync::mpsc::Receiver<Instant>>)>, Error> {
        let schedule = self.rate.map(|rate| Schedule { start, rate, burst: 1 });
        schedule.map(|schedule| Metronome::start(schedule, until, self.connections as usize)).transpose()
    }
}

impl Measured for Round {
    fn figures(&self) -> BTreeMap<&'static str, f64> {
        let mut figures = self.usage.figures();
        figures.insert("per_second", self.per_second);
        figures.insert("delay_p50_us", self.delay.p50_us);
        figures.insert("delay_p99_us", self.delay.p99_us);
        figures
    }

    fn is_clean(&self) -> bool {
        self.answered == self.asked && self.ended.is_empty()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, answered, measured, per_second, .. } = self;
        writeln!(f, "{asked} requests, {answered} answered; {measured} of them measured: {per_second:.0} a second")?;
        self.ended.iter().try_for_each(|(how, count)| writeln!(f, "  {count} connections {how}"))?;
        write!(f, "delay     {}", self.delay)?;
        self.send_lag.iter().try_for_each(|lag| write!(f, "\nsend lag  {lag}"))?;
        write!(f, "\n{}", self.usage)
    }
}
