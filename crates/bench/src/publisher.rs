//! The one publisher of a run: a connection with a thread of its own for writing, because the runtime's timers are too
//! coarse (1 ms) for a schedule, and one for reading, so that pings are answered and refusals noticed.

use crate::{
    Error, Target,
    confirm::Confirmations,
    dialect::{Command, Dialect},
    frame::{Frame, Opcode, Parser},
    latency::Latency,
    marker::Marker,
    outgoing::Masker,
    pace::{Clock, Pace},
    websocket::{Options, WebSocket},
    wire::Wire,
};
use fanwire_protocol::frame::Opcode as Sending;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::ClientConfig;

/// How long one write may be held up by a node that doesn't read, and how long a window may stay shut.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most texts of refusals that are kept.
const MOST_REFUSALS: usize = 4;

/// What confirms a message when a window paces the publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// One of the subscribers got it
    Subscriber,
    /// The node answered the publication with ok
    Ok,
}

/// What every message has in common.
#[derive(Debug, Clone)]
pub struct Letter {
    /// How commands are spelled.
    pub dialect: Dialect,
    /// Where they go.
    pub channel: String,
    /// The length of the content, in bytes.
    pub size: usize,
    /// Whether publications carry an id and their answers confirm them.
    pub confirm: Confirm,
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

/// A connection that publishes.
#[derive(Debug)]
pub struct Publisher {
    letter: Letter,
    clock: Clock,
    wire: Arc<Wire>,
    masker: Masker,
    confirmations: Arc<Confirmations>,
    refusals: Arc<Mutex<Vec<String>>>,
    next: u64,
}

impl Publisher {
    /// Connects to `target`, with `tls` if that has any.
    pub async fn connect(
        target: &Target,
        tls: Option<&Arc<ClientConfig>>,
        letter: Letter,
        clock: Clock,
    ) -> Result<Self, Error> {
        let options = Options { dialect: letter.dialect, receive_buffer: None, source: None };
        let (stream, parser, unparsed) = WebSocket::connect(target, tls, options).await?.into_parts();
        let wire = Wire::new(stream, PATIENCE).map_err(Error::system("socket for blocking use"))?;
        let publisher = Self {
            letter,
            clock,
            wire: Arc::new(wire),
            masker: Masker::default(),
            confirmations: Arc::default(),
            refusals: Arc::default(),
            next: 0,
        };
        let reader = publisher.reader(parser);
        let work = move || reader.run(&unparsed);
        thread::Builder::new().spawn(work).map_err(Error::system("thread for the publisher's answers"))?;
        Ok(publisher)
    }

    /// Where subscribers confirm messages, when they are asked to.
    pub fn confirmations(&self) -> Arc<Confirmations> {
        self.confirmations.clone()
    }

    /// How many messages are confirmed, once those before number `end` are, or nothing more comes for a while. Blocks.
    pub fn answered(&self, end: u64) -> u64 {
        self.confirmations.wait(end, 1, Instant::now() + PATIENCE);
        self.confirmations.confirmed()
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The first texts of what the node refused.
    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends as `plan` says. Blocks.
    pub fn publish(&mut self, plan: &Plan) -> Sent {
        let mut sent = Sent { first: self.next, end: self.next, lag: Latency::default(), failure: None };
        sleep_until(plan.start);
        while sent.end - sent.first < plan.most {
            let Some(due) = self.wait_for_turn(plan, sent.end - sent.first) else {
                sent.failure = Some(format!("no confirmation within {PATIENCE:?}"));
                break;
            };
            if plan.until.is_some_and(|until| due >= until) {
                break;
            }
            if let Err(error) = self.send(due) {
                sent.failure = Some(format!("publishing failed: {error}"));
                break;
            }
            sent.lag.record(self.clock.now() - self.clock.nanos(due));
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
                let open = self.confirmations.wait(self.next, window, Instant::now() + PATIENCE);
                open.then(Instant::now)
            }
        }
    }

    fn send(&mut self, due: Instant) -> io::Result<()> {
        let content = Marker { sequence: self.next, nanos: self.clock.nanos(due) }.content(self.letter.size);
        let command = Command {
            kind: "publish",
            id: (self.letter.confirm == Confirm::Ok).then_some(self.next),
            channel: Some(&self.letter.channel),
            content: Some(&content),
            ..Command::default()
        };
        let payload = self.letter.dialect.encode(&command);
        let mut frame = Vec::with_capacity(payload.len() + 14);
        self.masker.frame(self.letter.dialect.opcode(), &payload, &mut frame);
        self.wire.write_all(&frame)?;
        self.next += 1;
        Ok(())
    }

    fn reader(&self, parser: Parser) -> Reader {
        Reader {
            parser,
            dialect: self.letter.dialect,
            masker: Masker::default(),
            wire: self.wire.clone(),
            confirmations: self.confirmations.clone(),
            refusals: self.refusals.clone(),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // The reading thread ends with the socket.
        self.wire.shutdown();
    }
}

fn sleep_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

/// The reading side of a publisher's connection.
struct Reader {
    parser: Parser,
    dialect: Dialect,
    masker: Masker,
    wire: Arc<Wire>,
    confirmations: Arc<Confirmations>,
    refusals: Arc<Mutex<Vec<String>>>,
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
        let mut answers = Vec::new();
        let Self { parser, dialect, masker, confirmations, refusals, .. } = self;
        let fed = parser.feed(bytes, |frame| match frame.opcode {
            Opcode::Ping => masker.frame(Sending::Pong, frame.payload, &mut answers),
            Opcode::Text | Opcode::Binary => take_event(*dialect, frame, confirmations, refusals),
            Opcode::Close => note(refusals, format!("publisher's connection closed: {:?}", frame.payload)),
            _ => {}
        });
        if let Err(broken) = fed {
            note(refusals, format!("broken frame to the publisher: {broken}"));
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.wire.write_all(&answers)
    }
}

fn take_event(dialect: Dialect, frame: Frame<'_>, confirmations: &Confirmations, refusals: &Mutex<Vec<String>>) {
    match dialect.decode(frame.payload) {
        Some(event) if event.kind == "ok" => event.id.into_iter().for_each(|id| confirmations.confirm(id)),
        Some(event) if event.kind == "error" => note(
            refusals,
            format!("publication refused: {}: {}", event.code.unwrap_or_default(), event.message.unwrap_or_default()),
        ),
        _ => {}
    }
}

fn note(refusals: &Mutex<Vec<String>>, text: String) {
    let mut refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
    if refusals.len() < MOST_REFUSALS {
        refusals.push(text);
    }
}
