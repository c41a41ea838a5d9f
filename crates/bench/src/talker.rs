//! A subscriber that talks: pings and commands at a rate, every frame it gets read strictly.

use crate::{
    arrivals::Arrivals,
    dialect::{Command, Dialect},
    frame::{Frame, Opcode},
    marker::{Finder, Marker},
    strict::Strict,
    subscriber::Seat,
    websocket::WebSocket,
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};
use tokio::{
    select,
    time::{MissedTickBehavior, interval},
};

/// Beyond so many unanswered commands a connection says nothing more.
const MOST_UNANSWERED: usize = 256;

/// Beyond so many unwritten bytes a connection says nothing more.
const MOST_BACKLOG: usize = 64 * 1024;

/// The most texts of faults that are kept.
const MOST_FAULTS: usize = 10;

/// What all talkers said and heard.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Said {
    pub commands: u64,
    pub answered: u64,
    pub pings: u64,
    pub pongs: u64,
    pub skipped: u64,
    pub broken: u64,
}

/// What all talkers share. One thread only.
#[derive(Debug)]
pub struct Talk {
    /// Answers to commands, and the pong to each connection's last ping.
    pub answers: Arrivals,
    every: Duration,
    dialect: Dialect,
    channel: String,
    finished: Cell<bool>,
    said: Cell<Said>,
    faults: RefCell<Vec<String>>,
}

impl Talk {
    /// Each talker says something once in `every`; `channel` is what the names of their own channels begin with.
    pub fn new(every: Duration, dialect: Dialect, channel: String) -> Self {
        Self {
            answers: Arrivals::default(),
            every,
            dialect,
            channel,
            finished: Cell::default(),
            said: Cell::default(),
            faults: RefCell::default(),
        }
    }

    /// Ends the talking: from now on each connection sends one last ping.
    pub fn finish(&self) {
        self.finished.set(true);
    }

    /// How many answers come in the end if all is well.
    pub fn expected_answers(&self, connections: u32) -> u64 {
        self.said.get().commands + u64::from(connections)
    }

    /// What was said and heard so far.
    pub fn said(&self) -> Said {
        self.said.get()
    }

    /// What was wrong, the first few.
    pub fn faults(&self) -> Vec<String> {
        self.faults.borrow().clone()
    }

    fn count(&self, change: impl FnOnce(&mut Said)) {
        let mut said = self.said.get();
        change(&mut said);
        self.said.set(said);
    }

    fn fault(&self, text: String) {
        self.count(|said| said.broken += 1);
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MOST_FAULTS {
            faults.push(text);
        }
    }
}

/// Talks and listens on the seat's connection until it ends.
pub async fn talk(seat: Seat, talk: Rc<Talk>) {
    let mut talker = Talker::new(seat.index, talk.clone());
    let Seat { mut socket, board, account, .. } = seat;
    let mut turn = interval(talk.every);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut heard = Vec::new();
        let ended = select! {
            read = socket.read(&board.scratch, |frame| heard.extend(talker.take(frame))) => read.err(),
            _ = turn.tick(), if !talker.done => {
                talker.speak(&mut socket);
                None
            }
        };
        for marker in heard {
            account.borrow_mut().ledger.record(marker.sequence);
            board.record(marker.nanos, board.clock.now());
        }
        if let Some(ended) = ended {
            account.borrow_mut().ended = Some(ended);
            return;
        }
    }
}

/// One talker's side of the conversation.
struct Talker {
    talk: Rc<Talk>,
    strict: Strict,
    finder: Finder,
    side_channel: String,
    unanswered: HashMap<u64, &'static str>,
    last_id: u64,
    last_ping: u64,
    last_pong: u64,
    done: bool,
}

/// What is said in turn, and the event that answers it.
const TURNS: [(&str, &str); 4] = [("ping", "pong"), ("subscribe", "ok"), ("nonsense", "error"), ("unsubscribe", "ok")];

impl Talker {
    fn new(index: usize, talk: Rc<Talk>) -> Self {
        Self {
            strict: Strict::new(talk.dialect),
            finder: Finder::default(),
            side_channel: format!("{}.{index}", talk.channel),
            unanswered: HashMap::new(),
            last_id: 0,
            last_ping: 0,
            last_pong: 0,
            done: false,
            talk,
        }
    }

    fn speak(&mut self, socket: &mut WebSocket) {
        if self.talk.finished.get() {
            self.done = true;
        } else if self.unanswered.len() >= MOST_UNANSWERED || socket.backlog() >= MOST_BACKLOG {
            self.talk.count(|said| said.skipped += 1);
            return;
        } else {
            self.command(socket);
        }
        self.last_ping += 1;
        socket.ping(&self.last_ping.to_be_bytes());
        self.talk.count(|said| said.pings += 1);
    }

    fn command(&mut self, socket: &mut WebSocket) {
        let (kind, answer) = TURNS[self.talk_turn()];
        self.last_id += 1;
        self.unanswered.insert(self.last_id, answer);
        let channel = kind.ends_with("subscribe").then_some(self.side_channel.as_str());
        socket.command(self.talk.dialect, &Command { kind, id: Some(self.last_id), channel, ..Command::default() });
        self.talk.count(|said| said.commands += 1);
    }

    fn talk_turn(&self) -> usize {
        usize::try_from(self.last_id).unwrap_or_default() % TURNS.len()
    }

    /// The mark in `frame`, if it is a measured message.
    fn take(&mut self, frame: Frame<'_>) -> Option<Marker> {
        if frame.opcode == Opcode::Pong {
            self.take_pong(frame.payload);
            return None;
        }
        match self.strict.take(frame) {
            Err(fault) => self.talk.fault(fault),
            Ok(Some(event)) => match event["content"].as_str().and_then(|text| self.finder.find(text.as_bytes())) {
                Some(marker) => return Some(marker),
                None => self.take_event(&event),
            },
            Ok(None) => {}
        }
        None
    }

    fn take_pong(&mut self, payload: &[u8]) {
        let number = payload.try_into().map(u64::from_be_bytes).unwrap_or_default();
        if number <= self.last_pong || number > self.last_ping {
            self.talk.fault(format!("pong {payload:?} to no open ping: {} to {}", self.last_pong + 1, self.last_ping));
            return;
        }
        self.last_pong = number;
        self.talk.count(|said| said.pongs += 1);
        if self.done && number == self.last_ping {
            self.talk.answers.count();
        }
    }

    fn take_event(&mut self, event: &Value) {
        let Some(id) = event.get("id").and_then(Value::as_u64) else {
            if matches!(event["type"].as_str(), Some("error" | "dropped" | "gap")) {
                self.talk.fault(event.to_string());
            }
            return;
        };
        match self.unanswered.remove(&id) {
            Some(kind) if event["type"] == *kind => {
                self.talk.answers.count();
                self.talk.count(|said| said.answered += 1);
            }
            Some(kind) => self.talk.fault(format!("command {id} is answered by {event}, not by {kind}")),
            None => self.talk.fault(format!("{event} answers nothing")),
        }
    }
}
