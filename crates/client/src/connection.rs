//! One connection, from its welcome to its end.

mod commands;
mod deliveries;

use crate::{
    Closed, Encoding, Error, Welcome,
    call::{Call, Ids},
    handshake::Socket,
    replay::Replay,
    silence::Silence,
    unanswered::Unanswered,
    user::User,
    wire::{self, Incoming},
};
use futures_util::{SinkExt, StreamExt};
use std::{future, task::Poll, time::Duration};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// Time for the node to answer a Close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection as its task sees it.
pub(crate) struct Connection<'a> {
    socket: Socket,
    welcome: Welcome,
    encoding: Encoding,
    ids: &'a Ids,
    user: &'a mut User,
    replay: Replay,
    unanswered: Unanswered,
    /// Bytes given to the socket since it was last flushed.
    unsent: usize,
    silence: Silence,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Nobody needs it any more.
    Done(Error),
    /// It is of no use any more.
    Lost(Error),
}

/// What there is to do.
enum Ready {
    /// A handle asks for something, or all handles are gone.
    Call(Option<Call>),
    /// The socket took all that was waiting for it.
    Flushed(Result<(), tungstenite::Error>),
    /// Held events can go into the queue.
    Room,
    /// The node sent something, or the connection ended.
    Message(Option<Result<Message, tungstenite::Error>>),
    /// The node may be silent for too long.
    Silence,
    /// Subscriptions that the node could not grant can be asked for again.
    Again,
    /// Neither handles nor [`Events`](crate::Events) are left.
    Unwanted,
}

/// Why the task goes on no longer.
enum Stop {
    /// Nobody needs the connection any more.
    Done,
    /// The connection is of no use any more.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<'a> Connection<'a> {
    /// A connection over `socket`, on which `welcome` has been read. It asks for what `replay` holds.
    pub(crate) fn new(
        socket: Socket,
        welcome: Welcome,
        encoding: Encoding,
        ids: &'a Ids,
        user: &'a mut User,
        replay: Replay,
    ) -> Self {
        let (unanswered, silence) = (Unanswered::default(), Silence::new(welcome.heartbeat));
        Self { socket, welcome, encoding, ids, user, replay, unanswered, unsent: 0, silence }
    }

    /// Works until the connection ends; tells how, and which commands it leaves without an answer.
    pub(crate) async fn run(mut self) -> (Ended, Unanswered) {
        let stop = loop {
            if let Err(stop) = self.step().await {
                break stop;
            }
        };
        let ended = match stop {
            Stop::Done => Ended::Done(self.close(CloseCode::Normal).await),
            Stop::Failed(error) => {
                self.leave(&error).await;
                Ended::Lost(error)
            }
        };
        (ended, self.unanswered)
    }

    async fn step(&mut self) -> Result<(), Stop> {
        self.subscribe_again()?;
        match self.ready().await {
            Ready::Call(call) => self.take(call),
            Ready::Flushed(outcome) => {
                self.unsent = 0;
                outcome.map_err(|error| ended(error).into())
            }
            Ready::Room => {
                self.user.events.refill();
                self.silence.reading_again();
                Ok(())
            }
            Ready::Message(message) => self.understand(&received(message)?),
            Ready::Silence => Ok(self.silence.check(self.socket.get_ref().last())?),
            Ready::Again => {
                self.replay.go_on();
                Ok(())
            }
            Ready::Unwanted => Err(Stop::Done),
        }
    }

    /// Waits for the next thing to do. Commands go before flushing, so that those given together are sent together,
    /// and their number is bounded, so that they keep nothing else waiting for long. Silence comes last: what has
    /// arrived is no silence, even if this task was kept from reading it.
    async fn ready(&mut self) -> Ready {
        let takes_calls = self.takes_calls();
        let Self { socket, user, replay, silence, .. } = self;
        let User { calls, events, .. } = &mut **user;
        let (flushes, reads, handles_gone) = (self.unsent > 0, !events.is_full(), calls.handles_gone());
        let work = future::poll_fn(|context| {
            if takes_calls && let Poll::Ready(call) = calls.poll_next(context) {
                return Poll::Ready(Ready::Call(call));
            }
            if flushes && let Poll::Ready(flushed) = socket.poll_flush_unpin(context) {
                return Poll::Ready(Ready::Flushed(flushed));
            }
            if reads { socket.poll_next_unpin(context).map(Ready::Message) } else { Poll::Pending }
        });
        tokio::select! {
            biased;
            () = events.unwanted(), if handles_gone => Ready::Unwanted,
            () = events.room(), if !reads => Ready::Room,
            ready = work => ready,
            () = replay.paused(), if replay.is_paused() => Ready::Again,
            () = silence.suspected(), if reads => Ready::Silence,
        }
    }

    fn understand(&mut self, message: &Message) -> Result<(), Stop> {
        match wire::decode(message)? {
            Incoming::Answer(id, answer) => return self.answered(id, answer),
            Incoming::Publication { channel: Some(channel), content, offset } => self.message(channel, content, offset),
            Incoming::Publication { channel: None, content, offset } => self.broadcast(content, offset),
            Incoming::Lost { channel, position } => self.lost(channel, position),
            Incoming::Event(event) => self.user.events.tell(event),
            Incoming::Welcome(_) | Incoming::Other => {}
        }
        Ok(())
    }

    /// Tells the node what there is to tell it after `error`.
    async fn leave(&mut self, error: &Error) {
        match error {
            Error::NotUnderstood(_) => drop(self.close(CloseCode::Protocol).await),
            // The library has queued the answer to a Close frame and sends it with this.
            Error::Closed(Closed { code: Some(_), .. }) => drop(timeout(CLOSE_TIMEOUT, self.socket.flush()).await),
            _ => {}
        }
    }

    /// Closes the connection and waits a while for the node to agree.
    async fn close(&mut self, code: CloseCode) -> Error {
        let frame = CloseFrame { code, reason: "".into() };
        let closing = async {
            self.socket.send(Message::Close(Some(frame))).await.map_err(ended)?;
            while received(self.socket.next().await).is_ok() {}
            Ok::<_, Closed>(())
        };
        let agreed = matches!(timeout(CLOSE_TIMEOUT, closing).await, Ok(Ok(())));
        let reason = if agreed { "closed by this client" } else { "given up by this client" };
        Closed { code: Some(code.into()), reason: reason.to_owned() }.into()
    }
}

/// The next message, or how the connection ended.
pub(crate) fn received(next: Option<Result<Message, tungstenite::Error>>) -> Result<Message, Closed> {
    match next {
        Some(Ok(Message::Close(Some(frame)))) => {
            Err(Closed { code: Some(frame.code.into()), reason: frame.reason.to_string() })
        }
        Some(Ok(Message::Close(None))) => Err(Closed { code: Some(CloseCode::Status.into()), reason: String::new() }),
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(ended(error)),
        None => Err(Closed::abrupt("without a word")),
    }
}

fn ended(error: tungstenite::Error) -> Closed {
    Closed::abrupt(error)
}
