//! Subscribers and a publisher, ready for one round of messages after another.

use crate::{
    Error,
    board::Board,
    crowd::Crowd,
    integrity::Integrity,
    latency::Summary,
    options::Common,
    pace::Clock,
    process::{Cost, Cpu, Watch},
    publisher::{Confirm, Letter, Plan, Publisher, Sent},
    subscriber::{Seat, SharedAccount},
};
use serde::Serialize;
use std::{
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};
use tokio_rustls::rustls::ClientConfig;

/// Subscribers that are being read, and a publisher.
#[derive(Debug)]
pub struct Stage {
    /// What the subscribers share.
    pub board: Rc<Board>,
    accounts: Vec<SharedAccount>,
    publisher: Publisher,
    watch: Watch,
    own: Watch,
    patience: Duration,
    /// Aborted with the stage.
    _readers: JoinSet<()>,
}

/// How many subscribers, and what they are sent.
#[derive(Debug, Clone, Copy)]
pub struct Seats {
    /// Subscribers, at least one.
    pub count: usize,
    /// `SO_RCVBUF` of each, in bytes; the system's default if absent.
    pub receive_buffer: Option<u32>,
    /// Bytes of content a message.
    pub size: usize,
    /// What confirms a message when a window paces the publisher. Of the subscribers, it is the last.
    pub confirm: Confirm,
}

impl Seats {
    fn crowd<'a>(&self, common: &'a Common, tls: Option<&'a Arc<ClientConfig>>, channel: &'a str) -> Crowd<'a> {
        Crowd {
            targets: &common.urls,
            tls,
            dialect: common.dialect,
            channel,
            receive_buffer: self.receive_buffer,
            source: common.source,
            count: self.count,
        }
    }
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
    /// What the watched processes used after the warm-up.
    pub servers: Vec<Cost>,
    /// What the load generator used after the warm-up.
    pub generator: Vec<Cost>,
}

impl Stage {
    /// Opens the subscribers and the publisher; `read` is what each subscriber does from then on.
    pub async fn open<F, R>(common: &Common, seats: Seats, read: F) -> Result<Self, Error>
    where
        F: Fn(Seat) -> R,
        R: Future<Output = ()> + 'static,
    {
        let watch = Watch::new(&common.pids)?;
        let clock = Clock::start();
        let board = Rc::new(Board::new(clock));
        let (channel, tls) = (common.channel(), common.tls()?);
        let sockets = seats.crowd(common, tls.as_ref(), &channel).open(&board.scratch).await?;
        let letter = Letter { dialect: common.dialect, channel, size: seats.size, confirm: seats.confirm };
        let publisher = Publisher::connect(&common.urls[0], tls.as_ref(), letter, clock).await?;
        let accounts: Vec<_> = sockets.iter().map(|_| SharedAccount::default()).collect();
        let confirmations = (seats.confirm == Confirm::Subscriber).then(|| publisher.confirmations());
        let mut readers = JoinSet::new();
        for (index, (socket, account)) in sockets.into_iter().zip(&accounts).enumerate() {
            let last = index + 1 == accounts.len();
            readers.spawn_local(read(Seat {
                index,
                socket,
                dialect: common.dialect,
                account: account.clone(),
                board: board.clone(),
                confirmations: confirmations.clone().filter(|_| last),
            }));
        }
        let own = Watch::own()?;
        Ok(Self { board, accounts, publisher, watch, own, patience: common.patience(), _readers: readers })
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.publisher.next()
    }

    /// Publishes as `plan` says and waits for the deliveries; measures from `warmup` after the start.
    pub async fn play(mut self, plan: Plan, warmup: Duration) -> Result<(Self, Round), Error> {
        let measured_from = plan.start + warmup;
        let from_nanos = self.board.clock.nanos(measured_from);
        self.board.restart(from_nanos);
        self.accounts.iter().for_each(|account| account.borrow_mut().restart(self.publisher.next()));
        let mut publisher = self.publisher;
        let publishing = tokio::task::spawn_blocking(move || (publisher.publish(&plan), publisher));
        sleep_until(measured_from.into()).await;
        let before = (self.watch.cpu()?, self.own.cpu()?);
        let (sent, publisher) =
            publishing.await.map_err(|error| Error::System { what: "publishing thread", source: error.into() })?;
        self.publisher = publisher;
        self.board.arrivals.wait_for((sent.end - sent.first) * self.accounts.len() as u64, self.patience).await;
        let round = self.round(&sent, from_nanos, &before)?;
        Ok((self, round))
    }

    fn round(&self, sent: &Sent, from: u64, before: &(Vec<Cpu>, Vec<Cpu>)) -> Result<Round, Error> {
        let (latency, last) = self.board.take();
        let deliveries = latency.count();
        let seconds = Duration::from_nanos(last.saturating_sub(from)).as_secs_f64();
        let mut integrity = Integrity::of(&self.accounts, sent);
        integrity.note_errors(&self.publisher.refusals());
        Ok(Round {
            integrity,
            measured_deliveries: deliveries,
            measured_seconds: seconds,
            deliveries_per_second: if seconds > 0.0 { deliveries as f64 / seconds } else { 0.0 },
            latency: latency.summary(),
            send_lag: sent.lag.summary(),
            servers: self.watch.cost_since(&before.0, deliveries)?,
            generator: self.own.cost_since(&before.1, deliveries)?,
        })
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
        for cost in &self.servers {
            write!(f, "\n{cost}")?;
        }
        self.generator.iter().try_for_each(|cost| write!(f, "\nload generator, {cost}"))
    }
}

/// A moment in the near future, so that a round begins with everyone ready.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}
