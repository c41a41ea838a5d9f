//! The subscribers that never read, and what becomes of them.

use crate::{
    dialect::Dialect,
    error::Ended,
    frame::{Frame, Opcode},
    marker::Finder,
    subscriber::Account,
    websocket::{Scratch, WebSocket},
};
use serde::Serialize;
use std::{
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep_until, timeout, timeout_at},
};

/// What resumed reading reads at a time, in bytes.
const SCRATCH: usize = 64 * 1024;

/// How one stalled connection fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The node reset it.
    Reset {
        /// Seconds since the round with it began.
        after_start: f64,
        /// Seconds since the round's last delivery to the others; negative if it was reset before.
        after_end: f64,
    },
    /// The node had not reset it when waiting ended.
    Open,
    /// It read on.
    Resumed {
        /// Messages it then saw.
        messages: u64,
        /// Messages of the round that it did not see.
        missing: u64,
        /// Messages that came again or after a later one.
        disordered: u64,
        /// Messages that the node said it left out.
        told_dropped: u64,
        /// Texts of errors.
        errors: Vec<String>,
        /// How it ended: a close code where there was a Close frame.
        ended: String,
        /// Whether a frame was broken.
        broken: bool,
    },
}

/// When stalled connections read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Never.
    Never,
    /// After the round.
    AtEnd,
    /// So long after the round began.
    After(Duration),
}

/// Connections that don't read.
#[derive(Debug)]
pub struct Stalled {
    started: Instant,
    patience: Duration,
    watched: JoinSet<Instant>,
    reading: JoinSet<Seen>,
    ended: Rc<Notify>,
}

/// What a connection saw that read on; the last is how it ended, if it did.
type Seen = (Account, Option<Ended>);

impl Stalled {
    /// Stops reading `sockets`, before message `first`. A connection's end is waited for, and one that reads on is
    /// read while something comes, for `patience` each time.
    pub fn start(sockets: Vec<WebSocket>, dialect: Dialect, first: u64, resume: Resume, patience: Duration) -> Self {
        let started = Instant::now();
        let mut stalled =
            Self { started, patience, watched: JoinSet::new(), reading: JoinSet::new(), ended: Rc::default() };
        for socket in sockets {
            let ended = stalled.ended.clone();
            match resume {
                Resume::Never => drop(stalled.watched.spawn_local(watch(socket))),
                Resume::AtEnd => drop(stalled.reading.spawn_local(async move {
                    ended.notified().await;
                    read_on(socket, dialect, first, patience).await
                })),
                Resume::After(pause) => drop(stalled.reading.spawn_local(async move {
                    sleep_until((started + pause).into()).await;
                    read_on(socket, dialect, first, patience).await
                })),
            }
        }
        stalled
    }

    /// How each connection fared; `end` is the number after the last message, which all others have got by now.
    pub async fn end(self, end: u64) -> Vec<Outcome> {
        let now = Instant::now();
        let Self { started, patience, watched: mut watching, reading, ended } = self;
        ended.notify_waiters();
        let mut outcomes = Vec::new();
        let watched = watching.len();
        // Nothing else is waited for, so what has come by the deadline is all.
        let _ = timeout(patience, async {
            while let Some(reset) = watching.join_next().await {
                outcomes.extend(reset.ok().map(|reset| Outcome::Reset {
                    after_start: signed_seconds(started, reset),
                    after_end: signed_seconds(now, reset),
                }));
            }
        })
        .await;
        outcomes.resize(watched, Outcome::Open);
        outcomes.extend(reading.join_all().await.into_iter().map(|seen| Outcome::resumed(seen, end)));
        outcomes
    }
}

async fn watch(socket: WebSocket) -> Instant {
    socket.failed().await;
    Instant::now()
}

fn signed_seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}

async fn read_on(mut socket: WebSocket, dialect: Dialect, first: u64, patience: Duration) -> Seen {
    let scratch = Scratch::new(SCRATCH);
    let mut account = Account::default();
    account.restart(first);
    let mut finder = Finder::default();
    let mut deadline = Instant::now() + patience;
    let ended = loop {
        let mut progress = false;
        let read = socket.read(&scratch, |frame| progress |= take(&mut account, &mut finder, dialect, frame));
        match timeout_at(deadline.into(), read).await {
            Ok(Ok(())) if progress => deadline = Instant::now() + patience,
            Ok(Ok(())) => {}
            Ok(Err(ended)) => break Some(ended),
            Err(_) => break None,
        }
    };
    (account, ended)
}

/// False for control frames: pings go on for ever.
fn take(account: &mut Account, finder: &mut Finder, dialect: Dialect, frame: Frame<'_>) -> bool {
    if !matches!(frame.opcode, Opcode::Text | Opcode::Binary) {
        return false;
    }
    match finder.find(frame.payload) {
        Some(marker) => account.ledger.record(marker.sequence),
        None => account.take_event(dialect, frame.payload),
    }
    true
}

impl Outcome {
    fn resumed((account, ended): Seen, end: u64) -> Self {
        let ledger = &account.ledger;
        Self::Resumed {
            messages: ledger.received(),
            missing: ledger.lost(end),
            disordered: ledger.duplicated + ledger.out_of_order,
            told_dropped: account.dropped,
            broken: matches!(ended, Some(Ended::Broken(_))),
            ended: ended.map_or_else(|| "still open".to_owned(), |ended| ended.to_string()),
            errors: account.errors,
        }
    }

    /// Whether nothing that it saw was doubled, out of order or broken. To miss messages is its own fault.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Reset { .. } | Self::Open => true,
            Self::Resumed { disordered, errors, broken, .. } => *disordered == 0 && errors.is_empty() && !broken,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset { after_start, after_end } => {
                write!(f, "reset {after_start:.2} s after the round began, {after_end:.2} s after its last delivery")
            }
            Self::Open => write!(f, "not reset"),
            Self::Resumed { messages, missing, disordered, told_dropped, errors, ended, .. } => {
                write!(f, "read on: {messages} messages, {missing} missing ({told_dropped} told), ")?;
                write!(f, "{disordered} doubled or out of order, then {ended}")?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}
