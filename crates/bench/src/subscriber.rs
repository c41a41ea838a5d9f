//! A subscriber that checks what it gets, as cheaply as can be: it looks for marks and parses nothing else.

use crate::{
    board::Board,
    confirm::Confirmations,
    dialect::Dialect,
    error::Ended,
    frame::{Frame, Opcode},
    lane::Lane,
    ledger::Ledger,
    marker::Finder,
    speech::Speech,
    websocket::WebSocket,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// What one subscriber saw.
#[derive(Debug, Default)]
pub struct Account {
    /// Which messages are its own.
    pub lane: Lane,
    /// They, by their numbers in the lane.
    pub ledger: Ledger,
    /// Messages that the node said it left out.
    pub dropped: u64,
    /// Times that the node said its broker was away.
    pub gaps: u64,
    /// Errors that the node sent.
    pub errors: Vec<String>,
    /// How the connection ended, if it did.
    pub ended: Option<Ended>,
    finder: Finder,
}

/// The most texts of errors that one subscriber keeps.
const MOST_ERRORS: usize = 4;

/// A subscriber's account, shared with the task that reads for it.
pub type SharedAccount = Rc<RefCell<Account>>;

impl Account {
    /// For who gets the messages of `lane`.
    pub fn shared(lane: Lane) -> SharedAccount {
        Rc::new(RefCell::new(Self { lane, ..Self::default() }))
    }

    /// Begins anew with message `first`. What has ended stays ended.
    pub fn restart(&mut self, first: u64) {
        let ledger = Ledger::starting_at(self.lane.before(first));
        *self = Self { lane: self.lane, ledger, ended: self.ended.take(), ..Self::default() };
    }

    /// Enters message `sequence`.
    pub fn record(&mut self, sequence: u64) {
        match self.lane.place(sequence) {
            Some(place) => self.ledger.record(place),
            None => self.note(format!("message {sequence} of another channel")),
        }
    }

    /// Enters a text that is no measured message: another server may send what it likes, a node only events.
    pub fn take_other(&mut self, speech: &Speech, payload: &[u8]) {
        if let Speech::Native(dialect) = speech {
            self.take_event(*dialect, payload);
        }
    }

    /// Enters an event that is no measured message.
    pub fn take_event(&mut self, dialect: Dialect, payload: &[u8]) {
        let Some(event) = dialect.decode(payload) else {
            self.note(format!("not an event: {}", String::from_utf8_lossy(&payload[..payload.len().min(200)])));
            return;
        };
        match event.kind.as_str() {
            "dropped" => self.dropped += event.count.unwrap_or_default(),
            "gap" => self.gaps += 1,
            "error" => self.note(format!("{:?}: {:?}", event.code, event.message)),
            _ => {}
        }
    }

    /// Keeps the text of an error, if it is one of the first.
    pub fn note(&mut self, error: String) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(error);
        }
    }
}

/// All that a subscriber's task needs.
#[derive(Debug)]
pub struct Seat {
    /// Its number, from 0.
    pub index: usize,
    /// Its connection, subscribed.
    pub socket: WebSocket,
    /// What is spoken on it.
    pub speech: Arc<Speech>,
    /// What this subscriber alone writes down.
    pub account: SharedAccount,
    /// What all write down.
    pub board: Rc<Board>,
    /// Where it confirms messages, if it is the one that does.
    pub confirmations: Option<Arc<Confirmations>>,
}

/// Reads the connection until it ends, and writes down what arrives.
pub async fn follow(mut seat: Seat) {
    // Nothing is moved out of the seat, which would be there twice in each of very many tasks.
    let Seat { socket, speech, account, board, confirmations, .. } = &mut seat;
    loop {
        let mut now = None;
        let read = socket.read(&board.scratch, |frame| {
            let now = *now.get_or_insert_with(|| board.clock.now());
            take(&mut account.borrow_mut(), board, confirmations.as_deref(), speech, frame, now);
        });
        if let Err(ended) = read.await {
            account.borrow_mut().ended = Some(ended);
            return;
        }
    }
}

fn take(
    account: &mut Account,
    board: &Board,
    confirmations: Option<&Confirmations>,
    speech: &Speech,
    frame: Frame<'_>,
    now: u64,
) {
    if !matches!(frame.opcode, Opcode::Text | Opcode::Binary) {
        return;
    }
    match account.finder.find(frame.payload) {
        Some(marker) => {
            account.record(marker.sequence);
            board.record(marker.nanos, now);
            if let Some(confirmations) = confirmations {
                confirmations.confirm(marker.sequence);
            }
        }
        None => account.take_other(speech, frame.payload),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{Target, dialect::Dialect, pace::Clock, websocket::Options};
    use std::net::{Ipv4Addr, TcpListener};
    use tokio::net::TcpStream;

    fn account_of(first: u64, sequences: &[u64]) -> Account {
        let mut account = Account { lane: Lane::new(1, 2), ..Account::default() };
        account.restart(first);
        sequences.iter().for_each(|sequence| account.record(*sequence));
        account
    }

    #[test]
    fn only_the_messages_of_its_lane_are_a_subscribers() {
        let account = account_of(4, &[5, 7, 9]);
        assert_eq!((account.ledger.received(), account.ledger.lost(5), account.errors.len()), (3, 0, 0));
        assert_eq!(account_of(4, &[5, 6]).errors, ["message 6 of another channel"]);
    }

    #[tokio::test]
    async fn a_subscriber_is_small() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let target: Target = "ws://127.0.0.1:1".parse().unwrap();
        let speech = Arc::new(Speech::Native(Dialect::Json));
        let options = Options { speech: speech.clone(), receive_buffer: None, source: None };
        let socket = WebSocket::of(stream, &target, options);
        let board = Rc::new(Board::new(Clock::start()));
        let reading =
            follow(Seat { index: 0, socket, speech, account: SharedAccount::default(), board, confirmations: None });
        assert!(size_of_val(&reading) <= 640, "{} bytes", size_of_val(&reading));
        assert!(size_of::<RefCell<Account>>() <= 256, "{} bytes", size_of::<RefCell<Account>>());
    }
}
