//! Scenario: connections that are opened and closed again, or all dialled at once.

use crate::{
    Error, Target,
    arena::Arena,
    board::SCRATCH,
    crowd::make_room,
    latency::{Latency, Summary},
    options::{MOST_MESSAGES, MOST_SOCKETS, Output, Subject},
    pace::to_nanos,
    rounds::{Measured, Report},
    usage::{Meter, Usage},
    websocket::{Options, Scratch, WebSocket},
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
    time::Instant,
};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;

/// How many, and how many at a time.
#[derive(Debug, Clone, Args)]
pub struct Connect {
    #[command(flatten)]
    subject: Subject,
    /// Cycles of connecting, upgrading and closing, in each round
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=MOST_MESSAGES))]
    cycles: u32,
    /// Cycles that go on at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrent: u32,
    /// Instead of cycles: so many connections, dialled all at once, and closed when every one has succeeded or failed
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["cycles", "concurrent"],
          value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    at_once: Option<u32>,
}

/// What one round showed.
#[derive(Debug, Serialize)]
pub struct Round {
    /// Connections that were to be opened.
    pub attempted: u64,
    /// Those that were upgraded and closed as they should.
    pub succeeded: u64,
    /// What became of the others, and how often.
    pub failed: BTreeMap<String, u64>,
    /// Seconds from the first dial to the last close, or when all are dialled at once to the last upgrade.
    pub seconds: f64,
    /// Those that succeeded by these.
    pub per_second: f64,
    /// From dialling to the answer to the upgrade.
    pub upgrade: Summary,
    /// From dialling to the end of the connection; from asking to close when all were dialled at once.
    pub close: Summary,
    /// What was used meanwhile.
    #[serde(flatten)]
    pub usage: Usage,
}

/// What all cycles share. One thread only.
struct Yard {
    targets: Vec<Target>,
    tls: Option<Arc<ClientConfig>>,
    options: Options,
    scratch: Scratch,
    left: Cell<u32>,
    upgrade: RefCell<Latency>,
    close: RefCell<Latency>,
    failed: RefCell<BTreeMap<String, u64>>,
}

impl Connect {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.subject.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report<Round>, Error> {
        let sockets = self.at_once.unwrap_or(self.concurrent);
        make_room(sockets as usize)?;
        let speech = self.subject.speech()?;
        let settings = self.settings(speech.name());
        Report::play("connect", settings, (&self.subject, speech), async |arena| self.round(&arena).await).await
    }

    fn settings(&self, speech: &str) -> Value {
        let cycling = |value: u32| self.at_once.is_none().then_some(value);
        json!({
            "dialect": speech, "cycles": cycling(self.cycles), "concurrent": cycling(self.concurrent),
            "at_once": self.at_once,
        })
    }

    async fn round(&self, arena: &Arena) -> Result<Round, Error> {
        let yard = Rc::new(Yard::new(arena, self.cycles)?);
        let meter = Meter::new(&arena.common.pids)?;
        let begun = meter.start()?;
        arena.progress.say("connecting");
        let (attempted, seconds) = match self.at_once {
            Some(count) => (count, yard.dial_all(count).await),
            None => (self.cycles, yard.cycle_all(self.concurrent).await),
        };
        let succeeded = yard.close.borrow().count();
        Ok(Round {
            attempted: attempted.into(),
            succeeded,
            failed: yard.failed.take(),
            seconds,
            per_second: succeeded as f64 / seconds.max(f64::MIN_POSITIVE),
            upgrade: yard.upgrade.take().summary(),
            close: yard.close.take().summary(),
            usage: meter.since(&begun, succeeded)?,
        })
    }
}

impl Yard {
    fn new(arena: &Arena, cycles: u32) -> Result<Self, Error> {
        let job = arena.job();
        Ok(Self {
            targets: job.targets.clone(),
            tls: job.tls()?,
            options: job.options(),
            scratch: Scratch::new(SCRATCH),
            left: Cell::new(cycles),
            upgrade: RefCell::default(),
            close: RefCell::default(),
            failed: RefCell::default(),
        })
    }

    /// Carries out all cycles; the seconds that they took.
    async fn cycle_all(self: &Rc<Self>, concurrent: u32) -> f64 {
        let (start, mut cycling) = (Instant::now(), JoinSet::new());
        for _ in 0..concurrent {
            let yard = Rc::clone(self);
            cycling.spawn_local(async move {
                while let Some(left) = yard.left.get().checked_sub(1) {
                    yard.left.set(left);
                    yard.cycle(left).await;
                }
            });
        }
        cycling.join_all().await;
        start.elapsed().as_secs_f64()
    }

    async fn cycle(&self, index: u32) {
        let start = Instant::now();
        if let Some(socket) = self.dial(index, start).await {
            self.close(socket, start).await;
        }
    }

    /// Dials all at once; the seconds until the last was upgraded or had failed.
    async fn dial_all(self: &Rc<Self>, count: u32) -> f64 {
        let (start, mut dialling) = (Instant::now(), JoinSet::new());
        for index in 0..count {
            let yard = Rc::clone(self);
            dialling.spawn_local(async move { yard.dial(index, start).await });
        }
        let open: Vec<_> = dialling.join_all().await.into_iter().flatten().collect();
        let seconds = start.elapsed().as_secs_f64();
        let (start, mut closing) = (Instant::now(), JoinSet::new());
        for socket in open {
            let yard = Rc::clone(self);
            closing.spawn_local(async move { yard.close(socket, start).await });
        }
        closing.join_all().await;
        seconds
    }

    async fn dial(&self, index: u32, start: Instant) -> Option<WebSocket> {
        let target = &self.targets[index as usize % self.targets.len()];
        match WebSocket::connect(target, self.tls.as_ref(), self.options.clone()).await {
            Ok(socket) => {
                self.upgrade.borrow_mut().record(to_nanos(start.elapsed()));
                Some(socket)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    async fn close(&self, socket: WebSocket, start: Instant) {
        match socket.close(&self.scratch).await {
            Ok(()) => self.close.borrow_mut().record(to_nanos(start.elapsed())),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &Error) {
        *self.failed.borrow_mut().entry(error.to_string()).or_default() += 1;
    }
}

impl Measured for Round {
    fn figures(&self) -> BTreeMap<&'static str, f64> {
        let mut figures = self.usage.figures();
        figures.insert("per_second", self.per_second);
        figures.insert("upgrade_p50_us", self.upgrade.p50_us);
        figures.insert("upgrade_p99_us", self.upgrade.p99_us);
        figures.insert("upgrade_max_us", self.upgrade.max_us);
        figures
    }

    fn is_clean(&self) -> bool {
        self.succeeded == self.attempted && self.failed.is_empty()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, succeeded, seconds, per_second, .. } = self;
        write!(f, "{succeeded} of {attempted} connections in {seconds:.2} s: {per_second:.0} a second")?;
        self.failed.iter().try_for_each(|(how, count)| write!(f, "\n  {count} failed: {how}"))?;
        write!(f, "\nupgrade   {}\nclose     {}", self.upgrade, self.close)?;
        write!(f, "\n{}", self.usage)
    }
}
