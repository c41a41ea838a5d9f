//! One connection's commands and their answers.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `admission` | what sessions share; from the upgraded socket to the session, and its end |
//! | `commands` | what each command does |
//! | `history` | commands about what was published before |
//! | `joining` | subscriptions to channels that have a history |
//! | `broadcasts` | recovery of broadcasts |
//! | `cursor` | from a place in a history to the live stream, page by page |
//! | `presence` | who is on a channel |
//! | `peer` | what is done for a connection beside its commands |
//! | `newcomer` | a connection that has yet to say who it is |
//! | `places` | places of connections among those of their user |
//! | `standing` | who a connection belongs to, and what it may do |
//! | `refusals` | why a command is refused |

mod admission;
mod broadcasts;
mod commands;
mod cursor;
mod history;
mod joining;
mod newcomer;
mod peer;
mod places;
mod presence;
mod refusals;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Sessions, Upgraded};

use crate::{
    accept::Seat,
    pace::Bucket,
    presence::Membership,
    websocket::{ReadEnd, Reader, Received},
};
use fanwire_broker::{Accepted, Page, PublishError, ReadError, SubscribeError};
use fanwire_hub::{Activity, ConnectionKey, ShardGone, ShardHandle, Subscription, Told};
use fanwire_protocol::{
    ChannelName, CloseReason, Compression, Decoded, Dialect, Incoming, Position, Refusal, RequestId,
    dialect::DecodedMessage,
};
use futures_util::future::{BoxFuture, Either, ready};
use history::Behind;
use joining::Joining;
use newcomer::Newcomer;
use peer::{About, Beside, Peer};
use presence::{Found, Present};
use smallvec::SmallVec;
use standing::Verified;
use std::{collections::VecDeque, net::IpAddr, sync::Arc, task::Poll};
use tokio::io::AsyncRead;

/// How many publications of one connection may be unanswered. Beyond that its socket is not read.
const MAX_UNANSWERED: usize = 64;

/// How many long answers may wait until the client takes them. Beyond that it is asked nothing more.
const MAX_ANSWERS: usize = 4;

/// One connection.
struct Session<R> {
    shared: Arc<Sessions>,
    reader: Reader<R>,
    shard_index: usize,
    key: ConnectionKey,
    dialect: Dialect,
    compression: Compression,
    client: IpAddr,
    /// Whether it has yet to say who it is.
    waits: bool,
    /// What is left to it of `limits.commands`.
    commands: Bucket,
    activity: Arc<Activity>,
    /// What it is subscribed to, mostly one.
    channels: SmallVec<[ChannelName; 1]>,
    /// What has arrived in one message behind its first command, and waits for its turn.
    inbox: VecDeque<Decoded>,
    /// Publications that the broker has taken in, in order.
    unanswered: VecDeque<Unanswered>,
    /// The command under way; the next begins when its place in the order is sure.
    step: Option<BoxFuture<'static, Step>>,
    /// The place in the history of broadcasts from which on this connection gets them.
    welcomed_at: Option<Box<Position>>,
    /// Who it is, and where it is seen, where there is anything to know of that.
    present: Option<Box<Present>>,
    /// What is under way besides.
    beside: Option<Box<Beside>>,
    _seat: Seat,
}

struct Unanswered {
    id: Option<RequestId>,
    accepted: Accepted,
}

/// What became of the command under way.
enum Step {
    Subscribed(Option<RequestId>, Subscription, Result<Option<Box<Membership>>, SubscribeError>),
    TakenIn(Option<RequestId>, Result<Accepted, PublishError>),
    Opened(Option<RequestId>, Box<Result<Joining, Refusal>>),
    Read(RequestId, Box<Result<Page, ReadError>>),
    Found(RequestId, Box<Result<Found, ReadError>>),
    Behind(Box<Behind>),
    Verified(Box<Verified>),
}

/// Why a session ends before its socket does.
enum Stop {
    Read(ReadEnd),
    PeerClosed(Option<u16>),
    Ended(CloseReason),
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
        let stop = match self.enter().await {
            Err(stop) => stop,
            Ok(()) => loop {
                if let Err(stop) = self.turn().await {
                    break stop;
                }
            },
        };
        match stop {
            Stop::Ended(reason) => self.break_off(reason).await,
            Stop::Read(ReadEnd::Broken(violation)) => {
                tracing::debug!(connection = %self.key.id(), client = %self.client, %violation, "what a client sent is broken");
                self.break_off(violation.reason()).await;
            }
            Stop::PeerClosed(code) => self.end(self.shard().peer_closed(self.key, code)).await,
            Stop::Read(ReadEnd::Vanished) | Stop::ShardGone => {}
        }
    }

    /// Waits for a connection that has to say first who it is.
    async fn enter(&mut self) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        match &shared.auth {
            // Boxed, so that sessions need not keep room for it.
            Some(auth) if std::mem::take(&mut self.waits) => Box::pin(Newcomer::new(self).wait(auth)).await,
            _ => Ok(()),
        }
    }

    /// Gives up after a failure of our own.
    async fn fail(&mut self) {
        self.shared.metrics.session_panics.inc();
        self.break_off(CloseReason::Internal).await;
    }

    async fn break_off(&mut self, reason: CloseReason) {
        self.end(self.shard().close(self.key, reason)).await;
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
            && let Some(decoded) = self.next_in_inbox()
        {
            self.take(decoded).await?;
        }
        let takes_commands = self.takes_commands();
        let told = tokio::select! {
            biased;
            () = Present::end(&mut self.present) => return Err(Stop::Ended(CloseReason::TokenExpired)),
            (id, result) = first_answer(&mut self.unanswered) => self.answer_publish(id, result),
            step = under_way(&mut self.step) => self.finish(step),
            done = advance(&mut self.beside) => self.rest(done)?,
            received = next_received(&mut self.reader, &self.shared, self.dialect), if takes_commands => {
                self.receive(received.map_err(Stop::Read)?)?
            }
        };
        Ok(told.await?)
    }

    fn takes_commands(&self) -> bool {
        let answers = self.beside.as_ref().map_or(0, |beside| beside.count(&About::Answer));
        self.step.is_none() && self.unanswered.len() < MAX_UNANSWERED && answers < MAX_ANSWERS
    }

    /// Begins what goes on beside commands.
    fn begin<F>(&mut self, about: About, work: impl FnOnce(Peer) -> F)
    where
        F: Future<Output = Result<(), ShardGone>> + Send + 'static,
    {
        let shard = self.shard().clone();
        let beside = self.beside.get_or_insert_default();
        let peer = Peer {
            shared: Arc::clone(&self.shared),
            shard,
            key: self.key,
            id: self.key.id(),
            dialect: self.dialect,
            activity: Arc::clone(&self.activity),
            turn: Arc::clone(&beside.turn),
        };
        beside.begin(about, Box::pin(work(peer)));
    }

    /// Gives up what goes on about `about`.
    fn give_up(&mut self, about: &About) {
        self.beside.iter_mut().for_each(|beside| beside.give_up(about));
        self.beside.take_if(|beside| beside.is_empty());
    }

    /// Something that went on beside commands has ended.
    fn rest(&mut self, done: Result<(), ShardGone>) -> Result<Told, Stop> {
        done?;
        self.beside.take_if(|beside| beside.is_empty());
        Ok(nothing_to_tell())
    }

    fn receive(&mut self, received: Received) -> Result<Told, Stop> {
        Ok(match received {
            Received::Close(code) => return Err(Stop::PeerClosed(code)),
            // What arrives behind our own Close frame is read, but not carried out.
            _ if self.activity.ended_by().is_some() => nothing_to_tell(),
            Received::Message(decoded) => self.take_in(decoded),
            Received::Ping { .. } if !self.is_in_pace() => return Err(Stop::Ended(CloseReason::TooFast)),
            Received::Ping { pong } => self.shard().answer(self.key, pong),
            Received::Pong => nothing_to_tell(),
        })
    }

    /// Whether one command more is within the pace that a connection may have; it is counted then.
    fn is_in_pace(&mut self) -> bool {
        let rate = self.shared.command_rate;
        rate.is_none_or(|rate| self.commands.take(rate, 1, self.shared.clock.now()))
    }

    /// Carries out the first command of a message; more wait in the inbox, which is empty when a message is read.
    fn take_in(&mut self, decoded: DecodedMessage) -> Told {
        let mut decoded = decoded.into_iter();
        let first = decoded.next();
        self.inbox.extend(decoded);
        first.map_or_else(nothing_to_tell, |first| self.take(first))
    }

    fn next_in_inbox(&mut self) -> Option<Decoded> {
        let next = self.inbox.pop_front();
        give_back(&mut self.inbox);
        next
    }

    fn shard(&self) -> &ShardHandle {
        &self.shared.hub.shards()[self.shard_index]
    }
}

fn nothing_to_tell() -> Told {
    Either::Left(ready(Ok(())))
}

/// The next of what a client sends in its `dialect`. Cancelling it loses nothing.
fn next_received<R: AsyncRead + Unpin>(
    reader: &mut Reader<R>,
    shared: &Sessions,
    dialect: Dialect,
) -> impl Future<Output = Result<Received, ReadEnd>> {
    reader.next(&shared.reading, move |message: Incoming<'_>| shared.dialects.decode(dialect, message))
}

/// The outcome of the oldest unanswered publication; pending for ever where there is none.
async fn first_answer(
    unanswered: &mut VecDeque<Unanswered>,
) -> (Option<RequestId>, Result<Option<Position>, PublishError>) {
    let Some(first) = unanswered.front_mut() else { return std::future::pending().await };
    let result = (&mut first.accepted).await.unwrap_or(Err(PublishError::Timeout));
    let id = unanswered.pop_front().and_then(|first| first.id);
    give_back(unanswered);
    (id, result)
}

/// Gives back the memory of a queue that is empty, as most are most of the time.
fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}

/// The command under way; pending for ever where there is none.
async fn under_way(step: &mut Option<BoxFuture<'static, Step>>) -> Step {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}

/// What goes on beside commands, up to the end of the first that ends; pending for ever where there is nothing.
fn advance(beside: &mut Option<Box<Beside>>) -> impl Future<Output = Result<(), ShardGone>> {
    std::future::poll_fn(|cx| beside.as_mut().map_or(Poll::Pending, |beside| beside.poll(cx)))
}
