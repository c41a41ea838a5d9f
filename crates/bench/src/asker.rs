//! A connection that asks and gets answers.

use crate::{
    board::Board,
    dialect::Command,
    frame::{Frame, Opcode},
    marker::{Finder, Marker},
    speech::Speech,
    template::fill,
    websocket::WebSocket,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Instant,
};
use tokio::{select, sync::mpsc::Receiver};

/// What all who ask share. One thread only.
#[derive(Debug)]
pub struct Hall {
    /// Delays and arrivals.
    pub board: Rc<Board>,
    /// What is spoken.
    pub speech: Arc<Speech>,
    /// Requests without an answer at most, when nobody says when they are due.
    pub window: u32,
    /// Bytes of content a request, where it has any.
    pub size: usize,
    /// Without being told when, nobody asks after this.
    pub until: Instant,
    /// Requests so far.
    pub asked: Cell<u64>,
    /// Connections that ended, by how.
    pub ended: RefCell<BTreeMap<String, u64>>,
}

/// A connection that asks.
#[derive(Debug)]
pub struct Asker {
    hall: Rc<Hall>,
    socket: WebSocket,
    channel: String,
    /// When the requests that are not answered were due; answers come in their order.
    open: VecDeque<u64>,
    finder: Finder,
}

impl Asker {
    /// Will ask on `socket`.
    pub fn new(hall: Rc<Hall>, socket: WebSocket, channel: String) -> Self {
        Self { hall, socket, channel, open: VecDeque::new(), finder: Finder::default() }
    }

    /// Asks whenever `due` says so; without it, once more with each answer. Until the connection ends.
    pub async fn ask(mut self, due: Option<Receiver<Instant>>) {
        let hall = Rc::clone(&self.hall);
        let ended = match due {
            Some(due) => self.ask_when_due(due).await,
            None => self.ask_on().await,
        };
        if let Err(ended) = ended {
            *hall.ended.borrow_mut().entry(ended.to_string()).or_default() += 1;
        }
    }

    async fn ask_on(&mut self) -> Result<(), crate::error::Ended> {
        (0..self.hall.window).for_each(|_| self.request(Instant::now()));
        loop {
            let answered = self.read().await?;
            let now = Instant::now();
            if now < self.hall.until {
                (0..answered).for_each(|_| self.request(now));
            }
        }
    }

    async fn ask_when_due(&mut self, mut due: Receiver<Instant>) -> Result<(), crate::error::Ended> {
        loop {
            select! {
                answered = self.read() => drop(answered?),
                instant = due.recv(), if !due.is_closed() || !due.is_empty() => {
                    instant.into_iter().for_each(|instant| self.request(instant));
                }
            }
        }
    }

    /// Reads once; how many answers there were.
    async fn read(&mut self) -> Result<usize, crate::error::Ended> {
        let Self { hall, socket, open, finder, .. } = self;
        let (mut answered, mut now) = (0, None);
        let read = socket.read(&hall.board.scratch, |frame| {
            if is_answer(&hall.speech, finder, frame) {
                let now = *now.get_or_insert_with(|| hall.board.clock.now());
                if let Some(due) = open.pop_front() {
                    hall.board.record(due, now);
                    answered += 1;
                }
            }
        });
        read.await?;
        Ok(answered)
    }

    fn request(&mut self, due: Instant) {
        let (sequence, nanos) = (self.hall.asked.get(), self.hall.board.clock.nanos(due));
        self.hall.asked.set(sequence + 1);
        self.open.push_back(nanos);
        match &*self.hall.speech {
            Speech::Native(dialect) => {
                self.socket.command(*dialect, &Command { kind: "ping", id: Some(sequence), ..Command::default() });
            }
            Speech::Foreign(template) => {
                let content = Marker { sequence, nanos }.content(self.hall.size);
                let text = template.echo.as_deref().map(|text| fill(text, &self.channel, &content));
                self.socket.text(&text.unwrap_or_default());
            }
        }
    }
}

fn is_answer(speech: &Speech, finder: &mut Finder, frame: Frame<'_>) -> bool {
    match (speech, frame.opcode) {
        (Speech::Native(_), Opcode::Text | Opcode::Binary) => frame.payload.windows(4).any(|window| window == b"pong"),
        (Speech::Foreign(_), Opcode::Text | Opcode::Binary) => finder.find(frame.payload).is_some(),
        _ => false,
    }
}
