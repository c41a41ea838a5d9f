//! Scenario: many subscribers lose their connections at once, and come back at once.

use crate::{
    Error,
    arena::Arena,
    board::Board,
    crew::Job,
    crowd::make_room,
    integrity::Integrity,
    lane::Channels,
    latency::Summary,
    letter::{Form, Letter},
    marker::LEAST_SIZE,
    options::{Common, MOST_SECONDS, MOST_SIZE, Output, parse_rate},
    pace::{Clock, Pace, Schedule},
    progress::Progress,
    publisher::{Door, Plan, Publisher, Sent},
    returning::{Returner, Returns, Way},
    speech::Speech,
    stage::soon,
    subscriber::{Seat, SharedAccount, follow},
    usage::{Meter, Usage},
    websocket::WebSocket,
};
use clap::Args;
use serde::Serialize;
use std::{fmt, rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::sleep_until};

/// How many come back, what they missed, and who watches.
#[derive(Debug, Clone, Args)]
pub struct Storm {
    #[command(flatten)]
    common: Common,
    /// Namespace of the channel, for which the node keeps a history; not with --channel
    #[arg(long, default_value = "kept", conflicts_with = "channel")]
    namespace: String,
    /// Subscribers that lose their connections and come back
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    clients: u32,
    /// Subscribers that stay connected
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=900))]
    staying: u32,
    /// Messages a second
    #[arg(long, default_value = "500", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of content a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Seconds of messages before the storm
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    before: u32,
    /// Seconds of messages from its beginning on
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    after: u32,
    /// Seconds for one of them to be live again
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    limit: u32,
}

/// The delay of what arrived at those who stayed connected.
#[derive(Debug, Serialize)]
pub struct Delay {
    before: Summary,
    /// From the loss of the connections until all were live.
    during: Summary,
    after: Summary,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    clients: u32,
    staying: u32,
    rate: f64,
    size: u32,
    /// What those got who came back, over both connections.
    returned: Integrity,
    /// What those got who stayed.
    stayed: Integrity,
    /// How many were live again.
    live: u64,
    /// How many were told that something is lost.
    not_recovered: u64,
    /// Attempts at a connection that failed.
    failed_attempts: u64,
    /// Seconds until the last was live.
    all_live_seconds: f64,
    connect: Summary,
    recover: Summary,
    away: Summary,
    delay: Delay,
    send_lag: Summary,
    /// What was used until all were live.
    #[serde(flatten)]
    usage: Usage,
}

/// What the storm showed while it lasted.
struct Passed {
    before: Summary,
    during: Summary,
    usage: Usage,
}

/// All who read, and what they write down.
struct Scene {
    stayers: Rc<Board>,
    returners: Rc<Board>,
    stayed: Vec<SharedAccount>,
    returned: Vec<SharedAccount>,
    returns: Rc<Returns>,
    storm: watch::Sender<bool>,
    /// Aborted with the scene.
    _readers: JoinSet<()>,
}

impl Storm {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        make_room((self.clients + self.staying) as usize)?;
        let (meter, clock) = (Meter::new(&self.common.pids)?, Clock::start());
        let scene = self.open(clock).await?;
        let (job, speech) = (self.job(), self.speech());
        let tls = job.tls()?;
        let door = Door { target: &self.common.urls[0], tls: tls.as_ref(), speech: &speech };
        let mut publisher = Publisher::connect(door, self.letter()?, clock).await?;
        let plan = self.plan();
        let publishing = tokio::task::spawn_blocking(move || (publisher.publish(&plan), publisher));
        sleep_until((plan.start + seconds(self.before)).into()).await;
        let passed = self.pass(&scene, &meter).await?;
        let (sent, publisher) =
            publishing.await.map_err(|error| Error::System { what: "publishing thread", source: error.into() })?;
        self.settle(&scene, &sent).await;
        Ok(self.report(&scene, passed, &sent, &publisher))
    }

    /// Lets the storm pass.
    async fn pass(&self, scene: &Scene, meter: &Meter) -> Result<Passed, Error> {
        let begun = meter.start()?;
        let before = scene.stayers.take().0.summary();
        scene.storm.send_replace(true);
        scene.returns.live.wait_for(self.clients.into(), seconds(self.limit)).await;
        let during = scene.stayers.take().0.summary();
        Ok(Passed { before, during, usage: meter.since(&begun, 0)? })
    }

    /// Waits for what has not arrived.
    async fn settle(&self, scene: &Scene, sent: &Sent) {
        let (published, patience) = (sent.end - sent.first, self.common.patience());
        scene.stayers.arrivals.wait_for(published * u64::from(self.staying), patience).await;
        scene.returners.arrivals.wait_for(published * u64::from(self.clients), patience).await;
    }

    fn report(&self, scene: &Scene, passed: Passed, sent: &Sent, publisher: &Publisher) -> Report {
        let Scene { returns, .. } = scene;
        let mut stayed = Integrity::of(&scene.stayed, sent);
        stayed.note_errors(&publisher.refusals());
        let away = returns.away.borrow().summary();
        let Self { clients, staying, rate, size, .. } = *self;
        let Passed { before, during, usage } = passed;
        Report {
            scenario: "storm",
            dialect: self.common.dialect,
            clients,
            staying,
            rate,
            size,
            returned: Integrity::of(&scene.returned, sent),
            stayed,
            live: away.count,
            not_recovered: returns.not_recovered.get(),
            failed_attempts: returns.failed_attempts.get(),
            all_live_seconds: away.max_us / 1e6,
            connect: returns.connect.borrow().summary(),
            recover: returns.recover.borrow().summary(),
            away,
            delay: Delay { before, during, after: scene.stayers.take().0.summary() },
            send_lag: sent.lag.summary(),
            usage,
        }
    }

    fn letter(&self) -> Result<Letter, Error> {
        let form = Form::of(&self.speech(), false)?;
        Ok(Letter { form, channels: Channels::one(self.channel()), size: self.size as usize })
    }

    fn speech(&self) -> Arc<Speech> {
        Arc::new(Speech::Native(self.common.dialect))
    }

    fn job(&self) -> Job {
        Job { channels: Channels::one(self.channel()), ..Arena::of_nodes(&self.common).job() }
    }

    fn channel(&self) -> String {
        self.common.channel.clone().unwrap_or_else(|| format!("{}:{}", self.namespace, self.common.channel()))
    }

    fn plan(&self) -> Plan {
        let start = soon();
        let until = Some(start + seconds(self.before) + seconds(self.after));
        Plan { start, pace: Pace::Open(Schedule { start, rate: self.rate, burst: 1 }), most: u64::MAX, until }
    }

    /// Opens all connections. Nothing is published meanwhile, so all begin at the same place.
    async fn open(&self, clock: Clock) -> Result<Scene, Error> {
        let (stayers, returners) = (Rc::new(Board::new(clock)), Rc::new(Board::new(clock)));
        let (storm, _) = watch::channel(false);
        let way = Rc::new(self.way(&stayers).await?);
        let mut readers = JoinSet::new();
        let (mut stayed, mut returned, returns) = (Vec::new(), Vec::new(), Rc::new(Returns::default()));
        let staying = self.open_crowd(&way, self.staying, &stayers).await?;
        for (index, socket) in staying.into_iter().enumerate() {
            let (speech, account, board) = (self.speech(), SharedAccount::default(), Rc::clone(&stayers));
            stayed.push(Rc::clone(&account));
            readers.spawn_local(follow(Seat { index, socket, speech, account, board, confirmations: None }));
        }
        let returning = self.open_crowd(&way, self.clients, &returners).await?;
        for (socket, target) in returning.into_iter().zip(self.common.urls.iter().cycle()) {
            let returner = Returner {
                target: target.clone(),
                way: Rc::clone(&way),
                account: SharedAccount::default(),
                board: Rc::clone(&returners),
                returns: Rc::clone(&returns),
                last: Vec::new(),
            };
            returned.push(Rc::clone(&returner.account));
            readers.spawn_local(returner.live(socket, storm.subscribe()));
        }
        Ok(Scene { stayers, returners, stayed, returned, returns, storm, _readers: readers })
    }

    /// How to come back, from what the node says of the channel.
    async fn way(&self, board: &Board) -> Result<Way, Error> {
        let (job, channel) = (self.job(), self.channel());
        let (options, tls, dialect) = (job.options(), job.tls()?, self.common.dialect);
        let mut socket = WebSocket::connect(&self.common.urls[0], tls.as_ref(), options.clone()).await?;
        let begun = socket.subscribe(&board.scratch, &channel).await?;
        match begun.epoch.zip(begun.offset) {
            Some((epoch, offset)) => {
                Ok(Way { options, dialect, tls, channel, epoch, offset, patience: seconds(self.limit) })
            }
            None => Err(Error::NoHistory { channel }),
        }
    }

    async fn open_crowd(&self, way: &Way, count: u32, board: &Board) -> Result<Vec<WebSocket>, Error> {
        let (job, progress) = (Job { count, ..self.job() }, Progress::new());
        progress.count("connections", count.into());
        let opened = job.crowd(&way.options, way.tls.as_ref()).open(&board.scratch, |open| progress.at(open)).await;
        progress.clear();
        opened
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

impl Report {
    /// Whether everybody got everything exactly once and in order, over both connections.
    pub fn is_clean(&self) -> bool {
        let all = self.live == u64::from(self.clients) && self.not_recovered == 0;
        all && self.returned.is_clean() && self.stayed.is_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dialect, clients, staying, rate, size, live, all_live_seconds, delay, .. } = self;
        writeln!(
            f,
            "storm: {clients} clients, {staying} that stay, {rate} messages a second, {size} bytes, {dialect:?}"
        )?;
        writeln!(f, "-- those who came back\n{}", self.returned)?;
        writeln!(
            f,
            "{live} live, the last after {all_live_seconds:.2} s; {} told of a loss, {} failed attempts",
            self.not_recovered, self.failed_attempts
        )?;
        writeln!(f, "connect   {}\nrecover   {}\naway      {}", self.connect, self.recover, self.away)?;
        writeln!(f, "-- those who stayed\n{}", self.stayed)?;
        writeln!(f, "delay before  {}\ndelay during  {}\ndelay after   {}", delay.before, delay.during, delay.after)?;
        write!(f, "-- until all were live\nsend lag of all  {}", self.send_lag)?;
        write!(f, "\n{}", self.usage)
    }
}
