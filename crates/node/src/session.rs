//! One connection's commands and their answers.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `admission` | what sessions share; from the upgraded socket to the session, and its end |
//! | `commands` | what each command does |
//! | `refusals` | why a command is refused |

mod admission;
mod commands;
mod refusals;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Sessions, Upgraded};

use crate::{
    accept::Seat,
    websocket::{ReadEnd, Reader, Received},
};
use fanwire_broker::{Accepted, PublishError, SubscribeError};
use fanwire_hub::{Activity, ConnectionKey, ShardGone, ShardHandle, Subscription, Told};
use fanwire_protocol::{ChannelName, CloseReason, ConnectionId, Decoded, Dialect, Incoming, RequestId, frame};
use futures_util::future::{BoxFuture, Either, ready};
use std::{collections::VecDeque, net::IpAddr, sync::Arc};
use tokio::io::AsyncRead;

/// How many publications of one connection may be unanswered. Beyond that its socket is not read.
const MAX_UNANSWERED: usize = 64;

/// One connection.
struct Session<R> {
    shared: Arc<Sessions>,
    reader: Reader<R>,
    shard: ShardHandle,
    shard_index: usize,
    key: ConnectionKey,
    id: ConnectionId,
    dialect: Dialect,
    client: IpAddr,
    activity: Arc<Activity>,
    channels: Vec<ChannelName>,
    /// What has arrived and waits for its turn.
    inbox: VecDeque<Decoded>,
    /// Publications that the broker has taken in, in order.
    unanswered: VecDeque<Unanswered>,
    /// The command under way; the next begins when its place in the order is sure.
    step: Option<BoxFuture<'static, Step>>,
    _seat: Seat,
}

struct Unanswered {
    id: Option<RequestId>,
    accepted: Accepted,
}

/// What became of the command under way.
enum Step {
    Subscribed(Option<RequestId>, Subscription, Result<(), SubscribeError>),
    TakenIn(Option<RequestId>, Result<Accepted, PublishError>),
}

/// Why a session ends before its socket does.
enum Stop {
    Read(ReadEnd),
    PeerClosed(Option<u16>),
    ShardGone,
}

impl From<ShardGone> for Stop {
    fn from(_: ShardGone) -> Self {
        Self::ShardGone
    }
}

impl<R: AsyncRead + Unpin> Session<R> {
    /// Serves the connection until its socket ends.
    async fn run(&mut self) {
        let stop = loop {
            if let Err(stop) = self.turn().await {
                break stop;
            }
        };
        match stop {
            Stop::Read(ReadEnd::Broken(reason)) => self.give_up(reason).await,
            Stop::PeerClosed(code) => self.end(self.shard.peer_closed(self.key, code)).await,
            Stop::Read(ReadEnd::Vanished) | Stop::ShardGone => {}
        }
    }

    /// Gives up after a failure of our own.
    async fn fail(&mut self) {
        self.shared.metrics.session_panics.inc();
        self.give_up(CloseReason::Internal).await;
    }

    async fn give_up(&mut self, reason: CloseReason) {
        self.end(self.shard.close(self.key, reason)).await;
    }

    /// Leaves the rest to the shard, until it or the peer ends the socket.
    async fn end(&mut self, told: Told) {
        if told.await.is_ok() {
            self.reader.discard_rest().await;
        }
    }

    /// Does whatever comes first: an answer of the broker, the command under way, the next message.
    async fn turn(&mut self) -> Result<(), Stop> {
        while self.takes_commands()
            && let Some(decoded) = self.inbox.pop_front()
        {
            self.take(decoded).await?;
        }
        let takes_commands = self.takes_commands();
        let told = tokio::select! {
            biased;
            (id, result) = first_answer(&mut self.unanswered) => self.answer_publish(id, result),
            step = under_way(&mut self.step) => self.finish(step),
            received = self.reader.next(), if takes_commands => self.receive(received.map_err(Stop::Read)?)?,
        };
        Ok(told.await?)
    }

    fn takes_commands(&self) -> bool {
        self.step.is_none() && self.unanswered.len() < MAX_UNANSWERED
    }

    fn receive(&mut self, received: Received) -> Result<Told, Stop> {
        Ok(match received {
            Received::Close(code) => return Err(Stop::PeerClosed(code)),
            // What arrives behind our own Close frame is read, but not carried out.
            _ if self.activity.ended_by().is_some() => nothing_to_tell(),
            Received::Text(text) => self.decode(Incoming::Text(&text)),
            Received::Binary(bytes) => self.decode(Incoming::Binary(&bytes)),
            Received::Ping(payload) => self.shard.answer(self.key, frame::frame(frame::Opcode::Pong, &payload)),
            Received::Pong => nothing_to_tell(),
        })
    }

    fn decode(&mut self, message: Incoming<'_>) -> Told {
        self.inbox.extend(self.shared.dialects.decode(self.dialect, message));
        nothing_to_tell()
    }
}

fn nothing_to_tell() -> Told {
    Either::Left(ready(Ok(())))
}

/// The outcome of the oldest unanswered publication; pending for ever where there is none.
async fn first_answer(unanswered: &mut VecDeque<Unanswered>) -> (Option<RequestId>, Result<(), PublishError>) {
    let Some(first) = unanswered.front_mut() else { return std::future::pending().await };
    let result = (&mut first.accepted).await.unwrap_or(Err(PublishError::Timeout));
    let id = unanswered.pop_front().and_then(|first| first.id);
    (id, result)
}

/// The command under way; pending for ever where there is none.
async fn under_way(step: &mut Option<BoxFuture<'static, Step>>) -> Step {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}
