//! Subscribers and a publisher, ready for one round of messages after another.

use crate::{
    Error,
    arena::{Arena, Seats},
    board::Board,
    crew::{Crew, Job, Tally},
    generator::Generator,
    integrity::Integrity,
    latency::{Latency, Summary},
    letter::{Form, Letter},
    pace::Clock,
    process::Watch,
    publisher::{Confirm, Door, Plan, Publisher, Sent},
    rounds::Measured,
    subscriber::Seat,
    usage::{Begun, Meter, Usage},
    workers::Workers,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

/// Subscribers that are being read, and a publisher.
#[derive(Debug)]
pub struct Stage {
    /// What the subscribers of this process share.
    pub board: Rc<Board>,
    crew: Crew,
    workers: Workers,
    publisher: Publisher,
    meter: Meter,
    patience: Duration,
    memory_before: Vec<u64>,
    memory_open: Vec<u64>,
}

/// What one round of messages showed.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Whether all arrived, warm-up included.
    pub integrity: Integrity,
    /// Deliveries after the warm-up.
    pub measured_deliveries: u64,
    /// Seconds from the end of the warm-up to the last arrival.
    pub measured_seconds: f64,
    /// The former by the latter.
    pub deliveries_per_second: f64,
    /// From the time a message was due to its arrival, after the warm-up.
    pub latency: Summary,
    /// By how much the publisher was late: a part of the latency that is the load generator's own.
    pub send_lag: Summary,
    /// Growth of the watched processes' private memory by connections when all were open, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_connection: Option<f64>,
    /// What was used after the warm-up.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Stage {
    /// Opens the subscribers and the publisher; `read` is what each subscriber of this process does from then on.
    pub async fn open<R>(arena: &Arena, seats: &Seats, read: impl Fn(Seat) -> R) -> Result<Self, Error>
    where
        R: Future<Output = ()> + 'static,
    {
        let Arena { common, progress, .. } = arena;
        let watch = Watch::new(&common.pids)?;
        let memory_before = watch.memory()?;
        progress.count("connections", seats.count.into());
        let mut jobs = seats.jobs(arena);
        let Some(own) = jobs.pop() else {
            return Err(Error::Helper { role: "stage", reason: "nobody to seat".into() });
        };
        let publisher = Self::publisher(arena, seats, &own).await?;
        let workers = Workers::start(jobs, progress).await?;
        let confirmations = (seats.confirm == Confirm::Subscriber).then(|| publisher.confirmations());
        let others = workers.open();
        let crew = Crew::open(&own, read, confirmations.as_ref(), |open| progress.at(others + open)).await?;
        progress.say("messages");
        Ok(Self {
            board: crew.board.clone(),
            memory_open: watch.memory()?,
            meter: Meter { watch, generator: Generator::new(workers.pids())? },
            memory_before,
            patience: common.patience(),
            crew,
            workers,
            publisher,
        })
    }

    async fn publisher(arena: &Arena, seats: &Seats, job: &Job) -> Result<Publisher, Error> {
        let (speech, tls) = (Arc::new(arena.speech.clone()), job.tls()?);
        let door = Door { target: &arena.common.urls[0], tls: tls.as_ref(), speech: &speech };
        let form = match seats.to_all {
            true => Form::to_all(&speech)?,
            false => Form::of(&speech, seats.confirm == Confirm::Ok)?,
        };
        let letter = Letter { form, channels: job.channels.clone(), size: seats.size as usize };
        Publisher::connect(door, letter, Clock::start()).await
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.crew.len() + self.workers.open()
    }

    /// The processes that the subscribers are in.
    pub fn generator(&self) -> &Generator {
        &self.meter.generator
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.publisher.next()
    }

    /// Growth of the watched processes' private memory until now by connections, in bytes.
    pub fn bytes_per_connection(&self) -> Result<Option<f64>, Error> {
        Ok(growth(&self.memory_before, &self.meter.watch.memory()?, self.subscribers()))
    }

    /// Publishes as `plan` says and waits for the deliveries; measures from `warmup` after the start.
    pub async fn play(mut self, plan: Plan, warmup: Duration) -> Result<(Self, Round), Error> {
        let measured_from = plan.start + warmup;
        // A message that is due just then is measured, whichever process it arrives at.
        let from_nanos = self.board.clock.nanos(measured_from).saturating_sub(Clock::DOUBT);
        self.crew.restart(from_nanos, self.publisher.next());
        self.workers.restart(from_nanos, self.publisher.next()).await?;
        let mut publisher = self.publisher;
        let publishing = tokio::task::spawn_blocking(move || (publisher.publish(&plan), publisher));
        sleep_until(measured_from.into()).await;
        let begun = self.meter.start()?;
        let (sent, publisher) =
            publishing.await.map_err(|error| Error::System { what: "publishing thread", source: error.into() })?;
        self.publisher = publisher;
        let (own, others) =
            tokio::join!(self.crew.settle(sent.end, self.patience), self.workers.settle(sent.end, self.patience));
        let mut tallies = others?;
        tallies.push(own);
        let round = self.round(&sent, &tallies, from_nanos, &begun)?;
        Ok((self, round))
    }

    fn round(&self, sent: &Sent, tallies: &[Tally], from: u64, begun: &Begun) -> Result<Round, Error> {
        let (mut integrity, mut latency, mut last) = (Integrity::of(&[], sent), Latency::default(), from);
        for tally in tallies {
            integrity.add(&tally.integrity);
            latency.add(&tally.delays);
            last = last.max(tally.last);
        }
        integrity.note_errors(&self.publisher.refusals());
        let deliveries = latency.count();
        let seconds = Duration::from_nanos(last - from).as_secs_f64();
        Ok(Round {
            integrity,
            measured_deliveries: deliveries,
            measured_seconds: seconds,
            deliveries_per_second: if seconds > 0.0 { deliveries as f64 / seconds } else { 0.0 },
            latency: latency.summary(),
            send_lag: sent.lag.summary(),
            bytes_per_connection: growth(&self.memory_before, &self.memory_open, self.subscribers()),
            usage: self.meter.since(begun, deliveries)?,
        })
    }
}

/// How much `after` is more than `before`, all together, for each of `connections`; none without a process.
pub fn growth(before: &[u64], after: &[u64], connections: usize) -> Option<f64> {
    let sum = |values: &[u64]| values.iter().sum::<u64>() as f64;
    (!before.is_empty() && connections > 0).then(|| (sum(after) - sum(before)) / connections as f64)
}

impl Measured for Round {
    fn figures(&self) -> BTreeMap<&'static str, f64> {
        let mut figures = self.usage.figures();
        figures.insert("deliveries_per_second", self.deliveries_per_second);
        figures.insert("latency_p50_us", self.latency.p50_us);
        figures.insert("latency_p99_us", self.latency.p99_us);
        figures.insert("latency_max_us", self.latency.max_us);
        figures
    }

    fn is_clean(&self) -> bool {
        self.integrity.is_clean()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.integrity)?;
        let Self { measured_deliveries, measured_seconds, deliveries_per_second, .. } = self;
        writeln!(
            f,
            "measured {measured_deliveries} deliveries in {measured_seconds:.2} s: {deliveries_per_second:.0} a second"
        )?;
        writeln!(f, "latency   {}", self.latency)?;
        write!(f, "send lag  {}", self.send_lag)?;
        self.bytes_per_connection.iter().try_for_each(|bytes| write!(f, "\n{bytes:.0} bytes a connection"))?;
        write!(f, "\n{}", self.usage)
    }
}

/// A moment in the near future, so that a round begins with everyone ready.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_shared_out_over_connections_and_may_be_negative() {
        assert_eq!(growth(&[100, 100], &[300, 200], 10), Some(30.0));
        assert_eq!(growth(&[100], &[50], 10), Some(-5.0));
        assert_eq!(growth(&[], &[], 10), None);
        assert_eq!(growth(&[1], &[1], 0), None);
    }
}
