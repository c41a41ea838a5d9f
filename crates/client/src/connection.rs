//! The task that owns the socket.

use crate::{
    Closed, Error, Event,
    event::End,
    handshake::Socket,
    wire::{self, Incoming},
};
use futures_util::{SinkExt, StreamExt};
use std::{collections::HashMap, future, task::Poll, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// Commands without an answer, beyond which none is taken up.
const UNANSWERED: usize = 1024;

/// Bytes that may wait for the socket before no further command is taken up.
const UNSENT: usize = 256 * 1024;

/// Time for the node to answer a Close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What comes of a command.
pub(crate) type Answer = Result<(), Error>;

/// What the handles ask of the task.
#[derive(Debug)]
pub(crate) enum Call {
    /// To send `message` and hand its answer, known by `id`, to `answer`.
    Command { id: u64, message: Message, answer: oneshot::Sender<Answer> },
    /// To close the connection.
    Close,
}

/// The connection as its task sees it.
pub(crate) struct Connection {
    socket: Socket,
    calls: mpsc::Receiver<Call>,
    events: mpsc::Sender<Event>,
    unanswered: HashMap<u64, oneshot::Sender<Answer>>,
    /// Bytes given to the socket since it was last flushed.
    unsent: usize,
    /// An event that found the queue full; nothing is read until it is taken.
    held: Option<Event>,
    /// Whether all [`Client`](crate::Client) handles are gone.
    handles_gone: bool,
}

/// What there is to do.
enum Ready {
    /// A handle asks for something, or all handles are gone.
    Call(Option<Call>),
    /// The socket took all that was waiting for it.
    Flushed(Result<(), tungstenite::Error>),
    /// The held event can go into the queue.
    Room,
    /// The node sent something, or the connection ended.
    Message(Option<Result<Message, tungstenite::Error>>),
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

impl Connection {
    /// A connection over `socket`, whose welcome has been read.
    pub(crate) fn new(socket: Socket, calls: mpsc::Receiver<Call>, events: mpsc::Sender<Event>) -> Self {
        let (unanswered, unsent, held, handles_gone) = (HashMap::new(), 0, None, false);
        Self { socket, calls, events, unanswered, unsent, held, handles_gone }
    }

    /// Works until the connection ends, and leaves the reason in `end` before anyone can miss it.
    pub(crate) async fn run(mut self, end: End) {
        let stop = loop {
            if let Err(stop) = self.step().await {
                break stop;
            }
        };
        let error = match stop {
            Stop::Done => self.close(CloseCode::Normal).await,
            Stop::Failed(Error::NotUnderstood(what)) => {
                self.close(CloseCode::Protocol).await;
                Error::NotUnderstood(what)
            }
            Stop::Failed(error) => {
                // The library has queued the answer to a Close frame and sends it with this.
                let _ = timeout(CLOSE_TIMEOUT, self.socket.flush()).await;
                error
            }
        };
        tracing::debug!(%error, "connection ended");
        // Only this task sets it.
        let _ = end.set(error);
    }

    async fn step(&mut self) -> Result<(), Stop> {
        match self.ready().await {
            Ready::Call(call) => self.take(call),
            Ready::Flushed(outcome) => {
                self.unsent = 0;
                outcome.map_err(|error| ended(error).into())
            }
            Ready::Room => {
                self.held.take().into_iter().for_each(|event| self.deliver(event));
                Ok(())
            }
            Ready::Message(message) => self.understand(&received(message)?),
            Ready::Unwanted => Err(Stop::Done),
        }
    }

    /// Waits for the next thing to do. Commands go before flushing, so that those given together are sent together,
    /// and their number is bounded, so that they keep nothing else waiting for long.
    async fn ready(&mut self) -> Ready {
        if self.unanswered.len() >= UNANSWERED {
            self.unanswered.retain(|_, answer| !answer.is_closed());
        }
        let takes_calls = !self.handles_gone && self.unanswered.len() < UNANSWERED && self.unsent < UNSENT;
        let (flushes, reads) = (self.unsent > 0, self.held.is_none());
        let Self { socket, calls, events, .. } = self;
        let work = future::poll_fn(|context| {
            if takes_calls && let Poll::Ready(call) = calls.poll_recv(context) {
                return Poll::Ready(Ready::Call(call));
            }
            if flushes && let Poll::Ready(flushed) = socket.poll_flush_unpin(context) {
                return Poll::Ready(Ready::Flushed(flushed));
            }
            if reads { socket.poll_next_unpin(context).map(Ready::Message) } else { Poll::Pending }
        });
        tokio::select! {
            ready = work => ready,
            _ = events.reserve(), if !reads => Ready::Room,
            () = events.closed(), if self.handles_gone => Ready::Unwanted,
        }
    }

    fn take(&mut self, call: Option<Call>) -> Result<(), Stop> {
        match call {
            None => self.handles_gone = true,
            Some(Call::Close) => return Err(Stop::Done),
            Some(Call::Command { id, message, answer }) => {
                self.unanswered.insert(id, answer);
                self.unsent += message.len().max(1);
                // Never blocks: what the socket doesn't take stays in its buffer, which `UNSENT` bounds.
                self.socket.start_send_unpin(message).map_err(ended)?;
            }
        }
        Ok(())
    }

    fn understand(&mut self, message: &Message) -> Result<(), Stop> {
        match wire::decode(message)? {
            Incoming::Answer(id, answer) => {
                if let Some(waiting) = self.unanswered.remove(&id) {
                    // Whoever stopped waiting doesn't want the answer.
                    let _ = waiting.send(answer.map_err(Error::Refused));
                }
            }
            Incoming::Event(event) => self.deliver(event),
            Incoming::Welcome(_) | Incoming::Other => {}
        }
        Ok(())
    }

    fn deliver(&mut self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            self.held = Some(event);
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
