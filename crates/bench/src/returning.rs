//! A subscriber that loses its connection when all do, and goes on where it was.

use crate::{
    Target,
    arrivals::Arrivals,
    board::Board,
    dialect::{Command, Dialect, Event, Place},
    error::Ended,
    frame::{Frame, Opcode},
    latency::Latency,
    marker::Finder,
    pace::to_nanos,
    subscriber::SharedAccount,
    websocket::{Options, WebSocket},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::rustls::ClientConfig;

/// From an attempt that failed to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The id of the command that asks to recover.
const ASKED: u64 = 0;

/// How all of them come back.
#[derive(Debug)]
pub struct Way {
    /// How each connects.
    pub options: Options,
    /// What is spoken.
    pub dialect: Dialect,
    /// What connections with TLS are made with.
    pub tls: Option<Arc<ClientConfig>>,
    /// What each subscribes to.
    pub channel: String,
    /// The channel's history.
    pub epoch: String,
    /// The newest place in it when they subscribed.
    pub offset: u64,
    /// How long one may take to be live again.
    pub patience: Duration,
}

/// What all of them write down about coming back.
#[derive(Debug, Default)]
pub struct Returns {
    /// From losing a connection to the upgrade of the next.
    pub connect: RefCell<Latency>,
    /// From asking to recover to having all that was missed.
    pub recover: RefCell<Latency>,
    /// From losing a connection to having all that was missed.
    pub away: RefCell<Latency>,
    /// Attempts at a connection that failed.
    pub failed_attempts: Cell<u64>,
    /// Those who were told that something is lost.
    pub not_recovered: Cell<u64>,
    /// Those who are live again.
    pub live: Arrivals,
}

/// One of them.
#[derive(Debug)]
pub struct Returner {
    /// Where it connects to.
    pub target: Target,
    /// What is the same for all.
    pub way: Rc<Way>,
    /// What this one alone writes down.
    pub account: SharedAccount,
    /// What all who return write down.
    pub board: Rc<Board>,
    /// The same, about coming back.
    pub returns: Rc<Returns>,
    /// The last message as it came; empty before the first.
    pub last: Vec<u8>,
}

/// What a frame was.
enum Taken {
    Message,
    Event(Event),
    Other,
}

/// How much is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The node has not answered.
    Unknown,
    /// So many messages.
    Messages(u64),
    /// What the node can't give any more.
    Lost,
}

impl Returner {
    /// Reads `socket` until `storm` comes, then loses it, and reads on the next until that ends.
    pub async fn live(mut self, mut socket: WebSocket, mut storm: watch::Receiver<bool>) {
        let ended = tokio::select! {
            biased;
            _ = storm.wait_for(|storm| *storm) => None,
            ended = self.follow(&mut socket) => Some(ended),
        };
        if ended.is_some() {
            self.account.borrow_mut().ended = ended;
            return;
        }
        drop(socket);
        match timeout(self.way.patience, self.come_back()).await {
            Ok(Ok(mut socket)) => {
                let ended = self.follow(&mut socket).await;
                self.account.borrow_mut().ended = Some(ended);
            }
            Ok(Err(reason)) => self.account.borrow_mut().note(reason),
            Err(_) => self.account.borrow_mut().note(format!("not live again within {:?}", self.way.patience)),
        }
    }

    async fn follow(&mut self, socket: &mut WebSocket) -> Ended {
        loop {
            if let Err(ended) = self.read(socket, |_| {}).await {
                return ended;
            }
        }
    }

    async fn come_back(&mut self) -> Result<WebSocket, String> {
        let (lost, returns) = (Instant::now(), Rc::clone(&self.returns));
        let mut socket = self.connect().await;
        let asked = Instant::now();
        returns.connect.borrow_mut().record(to_nanos(asked - lost));
        self.ask(&mut socket);
        self.recover(&mut socket).await?;
        returns.recover.borrow_mut().record(to_nanos(asked.elapsed()));
        returns.away.borrow_mut().record(to_nanos(lost.elapsed()));
        returns.live.count();
        Ok(socket)
    }

    async fn connect(&self) -> WebSocket {
        loop {
            match WebSocket::connect(&self.target, self.way.tls.as_ref(), self.way.options.clone()).await {
                Ok(socket) => return socket,
                Err(_) => self.returns.failed_attempts.set(self.returns.failed_attempts.get() + 1),
            }
            sleep(PAUSE).await;
        }
    }

    fn ask(&self, socket: &mut WebSocket) {
        let Way { dialect, channel, epoch, offset, .. } = &*self.way;
        let last = dialect.decode(&self.last).and_then(|event| event.offset);
        let recover = Some(Place { epoch, offset: last.unwrap_or(*offset) });
        let subscribe = Command { kind: "subscribe", id: Some(ASKED), channel: Some(channel), content: None, recover };
        socket.command(*dialect, &subscribe);
    }

    /// Reads until nothing is missing.
    async fn recover(&mut self, socket: &mut WebSocket) -> Result<(), String> {
        let (mut missing, mut refused) = (Missing::Unknown, None);
        while !matches!(missing, Missing::Messages(0) | Missing::Lost) {
            let read = self.read(socket, |taken| match taken {
                Taken::Event(event) if event.kind == "error" && event.id == Some(ASKED) => refused = Some(event),
                taken => missing = missing.after(&taken),
            });
            read.await.map_err(|ended| format!("the connection of a recovery {ended}"))?;
            if let Some(Event { code, message, .. }) = refused {
                let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
                return Err(format!("recovery refused: {code}: {message}"));
            }
        }
        if missing == Missing::Lost {
            self.returns.not_recovered.set(self.returns.not_recovered.get() + 1);
        }
        Ok(())
    }

    async fn read(&mut self, socket: &mut WebSocket, mut each: impl FnMut(Taken)) -> Result<(), Ended> {
        let (board, mut now) = (Rc::clone(&self.board), None);
        // Within one connection all marks stand at the same place, but the next may be in another one.
        let mut finder = Finder::default();
        let read = socket.read(&board.scratch, |frame| {
            let now = *now.get_or_insert_with(|| board.clock.now());
            each(self.take(frame, now, &mut finder));
        });
        read.await
    }

    fn take(&mut self, frame: Frame<'_>, now: u64, finder: &mut Finder) -> Taken {
        if !matches!(frame.opcode, Opcode::Text | Opcode::Binary) {
            return Taken::Other;
        }
        let (mut account, dialect) = (self.account.borrow_mut(), self.way.dialect);
        let Some(marker) = finder.find(frame.payload) else {
            account.take_event(dialect, frame.payload);
            return dialect.decode(frame.payload).map_or(Taken::Other, Taken::Event);
        };
        account.record(marker.sequence);
        self.board.record(marker.nanos, now);
        self.last.clear();
        self.last.extend_from_slice(frame.payload);
        Taken::Message
    }
}

impl Missing {
    fn after(self, taken: &Taken) -> Self {
        match (self, taken) {
            (Self::Messages(count), Taken::Message) => Self::Messages(count.saturating_sub(1)),
            (_, Taken::Event(event)) if event.kind == "lost" => Self::Lost,
            (_, Taken::Event(event)) if event.kind == "ok" && event.id == Some(ASKED) => Self::told(event),
            (before, _) => before,
        }
    }

    fn told(answer: &Event) -> Self {
        match (answer.recovered, answer.newest, answer.offset) {
            (Some(true), Some(newest), Some(offset)) => Self::Messages(newest.saturating_sub(offset)),
            _ => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Taken {
        Dialect::Json.decode(text.as_bytes()).map_or(Taken::Other, Taken::Event)
    }

    #[track_caller]
    fn check(taken: &[Taken], expected: Missing) {
        let missing = taken.iter().fold(Missing::Unknown, |missing, taken| missing.after(taken));
        assert_eq!(missing, expected);
    }

    #[test]
    fn what_is_missing_is_known_from_the_answer_and_counted() {
        let ok = || event(r#"{"type":"ok","id":0,"epoch":"a","offset":5,"recovered":true,"newest":7}"#);
        check(&[event(r#"{"type":"welcome"}"#)], Missing::Unknown);
        check(&[event(r#"{"type":"welcome"}"#), ok()], Missing::Messages(2));
        check(&[ok(), Taken::Message, Taken::Other], Missing::Messages(1));
        check(&[ok(), Taken::Message, Taken::Message, Taken::Message], Missing::Messages(0));
    }

    #[test]
    fn a_loss_is_one_however_it_is_told() {
        check(&[event(r#"{"type":"ok","id":0,"epoch":"b","offset":5,"recovered":false}"#)], Missing::Lost);
        let ok = event(r#"{"type":"ok","id":0,"epoch":"a","offset":5,"recovered":true,"newest":7}"#);
        check(&[ok, event(r#"{"type":"lost","channel":"x","epoch":"a","offset":6}"#)], Missing::Lost);
        // What has no history, or a node that is too old to say.
        check(&[event(r#"{"type":"ok","id":0}"#)], Missing::Lost);
    }
}
