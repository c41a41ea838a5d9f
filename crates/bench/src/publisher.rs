//! The one publisher of a run: a connection with a thread of its own for writing, because the runtime's timers are too
//! coarse (1 ms) for a schedule, and one for reading, so that pings are answered and refusals noticed.

use crate::{
    Error, Target,
    answers::{Answers, Outcome},
    confirm::Confirmations,
    dial::dial,
    latency::Latency,
    letter::{Form, Letter},
    outgoing::Masker,
    pace::{Clock, Pace},
    speech::Speech,
    websocket::{Options, Scratch, WebSocket},
    wire::Wire,
};
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::ClientConfig;
use tokio_util::either::Either;

/// How long one write may be held up by a node that doesn't read, and how long a window may stay shut.
const PATIENCE: Duration = Duration::from_secs(20);

/// As many bytes as this are written at once where several messages are due.
const MOST_AT_ONCE: usize = 64 * 1024;

/// What confirms a message when a window paces the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// One of the subscribers got it
    Subscriber,
    /// The server answered the publication with ok
    Ok,
}

/// How many messages to send, and when.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// When to begin.
    pub start: Instant,
    /// When each message goes.
    pub pace: Pace,
    /// No more messages than this.
    pub most: u64,
    /// No message after this.
    pub until: Option<Instant>,
}

/// What was sent.
#[derive(Debug)]
pub struct Sent {
    /// The number of the first message.
    pub first: u64,
    /// The number after the last message.
    pub end: u64,
    /// By how much messages went later than they were due: the load generator's own fault.
    pub lag: Latency,
    /// Why it ended early, if it did.
    pub failure: Option<String>,
}

/// Where a publisher connects to.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    /// The server; another one where publications go by another protocol.
    pub target: &'a Target,
    /// What connections with TLS are made with.
    pub tls: Option<&'a Arc<ClientConfig>>,
    /// What is spoken there.
    pub speech: &'a Arc<Speech>,
}

/// A connection that publishes.
#[derive(Debug)]
pub struct Publisher {
    letter: Letter,
    clock: Clock,
    wire: Arc<Wire>,
    masker: Masker,
    outcome: Arc<Outcome>,
    next: u64,
}

impl Publisher {
    /// Connects to where `door` leads.
    pub async fn connect(door: Door<'_>, letter: Letter, clock: Clock) -> Result<Self, Error> {
        let (wire, answers, unparsed) = match &letter.form {
            Form::Native { .. } | Form::Frame(_) => open(door, &letter).await?,
            form @ Form::Http { target } => (blocking(target).await?, Answers::without_frames(form), Vec::new()),
            form @ Form::Redis => (blocking(door.target).await?, Answers::without_frames(form), Vec::new()),
        };
        let (wire, outcome) = (Arc::new(wire), Arc::<Outcome>::default());
        let reader = Reader { answers, wire: wire.clone(), masker: Masker::default(), outcome: outcome.clone() };
        let work = move || reader.run(&unparsed);
        thread::Builder::new().spawn(work).map_err(Error::system("thread for the publisher's answers"))?;
        Ok(Self { letter, clock, wire, masker: Masker::default(), outcome, next: 0 })
    }

    /// Where subscribers confirm messages, when they are asked to.
    pub fn confirmations(&self) -> Arc<Confirmations> {
        self.outcome.confirmations.clone()
    }

    /// How many messages are confirmed, once those before number `end` are, or nothing more comes for a while. Blocks.
    pub fn answered(&self, end: u64) -> u64 {
        self.outcome.confirmations.wait(end, 1, Instant::now() + PATIENCE);
        self.outcome.confirmations.confirmed()
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The first texts of what the server refused.
    pub fn refusals(&self) -> Vec<String> {
        self.outcome.refusals()
    }

    /// Sends as `plan` says. Blocks.
    pub fn publish(&mut self, plan: &Plan) -> Sent {
        let mut sent = Sent { first: self.next, end: self.next, lag: Latency::default(), failure: None };
        sleep_until(plan.start);
        let (mut bytes, mut due) = (Vec::new(), Vec::new());
        while sent.end - sent.first < plan.most {
            let Some(turn) = self.wait_for_turn(plan, sent.end - sent.first) else {
                sent.failure = Some(format!("no confirmation within {PATIENCE:?}"));
                break;
            };
            if plan.until.is_some_and(|until| turn >= until) {
                break;
            }
            bytes.clear();
            due.clear();
            self.gather(plan, &sent, turn, &mut bytes, &mut due);
            if let Err(error) = self.wire.write_all(&bytes) {
                sent.failure = Some(format!("publishing failed: {error}"));
                break;
            }
            let now = self.clock.now();
            due.iter().for_each(|due| sent.lag.record(now.saturating_sub(self.clock.nanos(*due))));
            self.next += due.len() as u64;
            sent.end = self.next;
        }
        sent
    }

    /// When the next message is due, once that time has come; none when a window stays shut.
    fn wait_for_turn(&self, plan: &Plan, index: u64) -> Option<Instant> {
        match plan.pace {
            Pace::Open(schedule) => {
                let due = schedule.due(index);
                sleep_until(due);
                Some(due)
            }
            Pace::Window(window) => {
                let open = self.outcome.confirmations.wait(self.next, window, Instant::now() + PATIENCE);
                open.then(Instant::now)
            }
        }
    }

    /// The message that is due at `turn`, and by the clock all that are due by now.
    fn gather(&mut self, plan: &Plan, sent: &Sent, turn: Instant, bytes: &mut Vec<u8>, due: &mut Vec<Instant>) {
        let now = Instant::now();
        let mut next = Some(turn);
        while let Some(instant) = next {
            let sequence = self.next + due.len() as u64;
            self.letter.append(sequence, self.clock.nanos(instant), &mut self.masker, bytes);
            due.push(instant);
            let index = sequence + 1 - sent.first;
            next = match plan.pace {
                Pace::Open(schedule) if index < plan.most && bytes.len() < MOST_AT_ONCE => {
                    Some(schedule.due(index)).filter(|due| *due <= now && plan.until.is_none_or(|until| *due < until))
                }
                _ => None,
            };
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // The reading thread ends with the socket.
        self.wire.shutdown();
    }
}

/// A connection like those of subscribers.
async fn open(door: Door<'_>, letter: &Letter) -> Result<(Wire, Answers, Vec<u8>), Error> {
    let Door { target, tls, speech } = door;
    let options = Options { speech: speech.clone(), receive_buffer: None, source: None };
    let channel = letter.channels.name(0);
    let mut socket = WebSocket::connect(&target.of_channel(&channel), tls, options).await?;
    if let Speech::Foreign(_) = **speech {
        socket.subscribe(&Scratch::new(MOST_AT_ONCE), &channel).await?;
    }
    let (stream, parser, unparsed) = socket.into_parts();
    let answers = match **speech {
        Speech::Native(dialect) => Answers::Native(dialect, parser),
        Speech::Foreign(_) => Answers::Foreign(speech.clone(), parser),
    };
    Ok((Wire::new(stream, PATIENCE).map_err(Error::system(BLOCKING))?, answers, unparsed))
}

const BLOCKING: &str = "socket for blocking use";

async fn blocking(target: &Target) -> Result<Wire, Error> {
    let failed = |source| Error::Connect { address: target.address, source };
    let stream = dial(target.address, None, None).await.map_err(failed)?;
    Wire::new(Either::Left(stream), PATIENCE).map_err(Error::system(BLOCKING))
}

fn sleep_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

/// The reading side of a publisher's connection.
struct Reader {
    answers: Answers,
    wire: Arc<Wire>,
    masker: Masker,
    outcome: Arc<Outcome>,
}

impl Reader {
    fn run(mut self, unparsed: &[u8]) {
        let mut buffer = vec![0; 16 * 1024];
        let mut alive = self.take(unparsed).is_ok();
        while alive {
            alive = match self.wire.read(&mut buffer) {
                Ok(0) | Err(_) => false,
                Ok(length) => self.take(&buffer[..length]).is_ok(),
            };
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        self.answers.take(bytes, &mut self.masker, &self.outcome, &mut out)?;
        if out.is_empty() { Ok(()) } else { self.wire.write_all(&out) }
    }
}
