//! The way to reach a shard.

use crate::{
    Activity, Joined, Subscription, Transport,
    recovery::{Join, Page, Step, Stream},
};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, CloseReason, Compression, ConnectionId, Delivery, Dialect, Event, Position, Target,
};
use futures_util::future::{BoxFuture, Either, Ready, ready};
use std::{collections::HashSet, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

/// The shard has ended, which happens only when the node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the shard has ended")]
pub struct ShardGone;

/// A connection's place in its shard, never another's: what comes for a connection that is gone is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionKey {
    pub(super) index: usize,
    pub(super) id: ConnectionId,
}

impl ConnectionKey {
    /// The connection's id.
    pub fn id(self) -> ConnectionId {
        self.id
    }
}

/// A connection that is about to join a shard.
#[derive(Debug)]
pub struct Admission {
    /// Its id.
    pub id: ConnectionId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Whether its messages may be compressed.
    pub compression: Compression,
    /// Its socket.
    pub transport: Arc<dyn Transport>,
    /// Its signs of life.
    pub activity: Arc<Activity>,
    /// From when on it gets broadcasts.
    pub entry: Entry,
}

/// From when on a connection gets broadcasts and what all are told. In a greeting that is an [`Event::Welcome`] the shard
/// fills in `broadcast`.
#[derive(Debug)]
pub enum Entry {
    /// From now on, behind this greeting.
    Now(Option<Event>),
    /// From its [`ShardHandle::welcome`] on.
    Later,
}

/// A connection's place in its shard, and the place in the history of broadcasts behind which it gets them, where there
/// is one.
type Connected = (ConnectionKey, Option<Position>);

/// A shard's place among all, so that what each of them spreads over a time does not fall together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its index.
    pub(crate) index: u64,
    /// How many shards there are.
    pub(crate) of: u64,
}

/// How much waits for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The connection.
    pub connection: ConnectionKey,
    /// What its outbox costs, in bytes.
    pub bytes: usize,
}

/// Which outboxes are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Largest {
    /// How many, at most: the largest.
    pub most: usize,
    /// What each of them costs at least, in bytes.
    pub least: usize,
}

#[derive(Debug)]
pub(super) enum Message {
    Connect(Box<Admission>, oneshot::Sender<Connected>),
    Ask(ConnectionKey, Ask),
    Disconnect(Arc<HashSet<ConnectionId>>, CloseReason),
    Largest(Largest, oneshot::Sender<Vec<Waiting>>),
    Drain(Place, Duration),
}

/// What a session asks for its connection.
#[derive(Debug)]
pub(super) enum Ask {
    Join(Subscription, Option<Bytes>),
    Leave(ChannelName, Option<Bytes>),
    Answer(Bytes),
    Welcome(Event, oneshot::Sender<Option<Position>>),
    Recover(Step),
    PauseBroadcasts(oneshot::Sender<Option<Position>>),
    PeerClosed(Option<u16>),
    Close(CloseReason),
    Gone,
}

/// What the relay hands to a shard.
#[derive(Debug)]
pub(super) enum RelayItem {
    Deliveries(Vec<Delivery>),
    Notice(Event),
    /// Where the broadcasts stand, and who waits until that is taken in.
    StandAt(Position, oneshot::Sender<()>),
    Lost(Target, Position),
}

impl Ask {
    /// Resolves what waits for an answer: the connection is gone.
    pub(super) fn end(self) {
        match self {
            Self::Recover(step) => step.end(),
            // Whoever doesn't wait any more needs no answer.
            Self::PauseBroadcasts(reply) | Self::Welcome(_, reply) => drop(reply.send(None)),
            _ => {}
        }
    }
}

/// A message to a shard: told already, unless the shard is behind; then it is told when this has been awaited. Small,
/// because every session has room for one.
pub type Told = Either<Ready<Result<(), ShardGone>>, BoxFuture<'static, Result<(), ShardGone>>>;

/// The way to reach a shard. Messages of one sender keep their order, if each is awaited before the next.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    pub(super) mailbox: mpsc::Sender<Message>,
    pub(super) relay: mpsc::Sender<RelayItem>,
}

impl ShardHandle {
    /// Takes a connection in. Where it gets broadcasts from now on, and they have a history, it gets those behind the
    /// place that is returned and that its welcome names. Whoever calls this owes a [`Self::gone`].
    pub async fn connect(&self, admission: Admission) -> Result<(ConnectionKey, Option<Position>), ShardGone> {
        let (reply, key) = oneshot::channel();
        self.tell(Message::Connect(Box::new(admission), reply)).await?;
        key.await.map_err(|_| ShardGone)
    }

    /// Lets a connection that has entered for [`Entry::Later`] have broadcasts from now on, behind `greeting`; returns as
    /// [`Self::connect`] the place behind which it gets them.
    pub fn welcome(
        &self,
        connection: ConnectionKey,
        greeting: Event,
    ) -> BoxFuture<'static, Result<Option<Position>, ShardGone>> {
        self.request(connection, |reply| Ask::Welcome(greeting, reply))
    }

    /// Makes a connection a subscriber, then sends it `answer`.
    pub fn join(&self, connection: ConnectionKey, subscription: Subscription, answer: Option<Bytes>) -> Told {
        self.ask(connection, Ask::Join(subscription, answer))
    }

    /// Makes a connection a subscriber of a channel with a history: it gets `answer`, then everything behind `place`,
    /// in order, nothing twice. All subscribers of such a channel come this way, and `place` was read after
    /// `subscription` was counted.
    ///
    /// What it misses of the last deliveries is sent to it alone, as soon as at most a quarter of its outbox's limit
    /// waits; until then, and behind earlier pages, this waits. A place ahead of what was delivered is good too. A
    /// connection that is a subscriber already gets `answer` and is not moved. Who drops the future before it resolves
    /// may or may not have joined.
    pub fn join_at(
        &self,
        connection: ConnectionKey,
        subscription: Subscription,
        place: Position,
        answer: Option<Bytes>,
    ) -> BoxFuture<'static, Result<Joined, ShardGone>> {
        self.request(connection, |reply| {
            Ask::Recover(Step::Join(Box::new(Join { what: Stream::Channel(subscription, reply), place, answer })))
        })
    }

    /// Sends a connection `frames`, which are publications of a history, as it takes them: whoever reads slowly is not
    /// slow because of them. At most a quarter of the outbox's limit and one frame more are in the outbox together.
    /// Resolves when all were put there and at most a quarter waits, or the connection ends. Who drops the future gives up
    /// what is not in the outbox yet.
    pub fn page(&self, connection: ConnectionKey, frames: Vec<Bytes>) -> BoxFuture<'static, Result<(), ShardGone>> {
        self.request(connection, |done| Ask::Recover(Step::Page(Page { frames: frames.into_iter(), done })))
    }

    /// Holds broadcasts back from a connection, and returns the place up to which it has got them; `None`, and nothing
    /// is held back, where broadcasts have no history. Until [`Self::resume_broadcasts`] it gets none.
    pub fn pause_broadcasts(
        &self,
        connection: ConnectionKey,
    ) -> BoxFuture<'static, Result<Option<Position>, ShardGone>> {
        self.request(connection, Ask::PauseBroadcasts)
    }

    /// Lets a connection have the broadcasts behind `place` again, as [`Self::join_at`] does for channels. Whether it
    /// has them; `false` where they aren't kept, and nothing has changed.
    pub fn resume_broadcasts(
        &self,
        connection: ConnectionKey,
        place: Position,
    ) -> BoxFuture<'static, Result<bool, ShardGone>> {
        self.request(connection, |reply| {
            Ask::Recover(Step::Join(Box::new(Join { what: Stream::Broadcasts(reply), place, answer: None })))
        })
    }

    /// Ends a connection's subscription, then sends it `answer`.
    pub fn leave(&self, connection: ConnectionKey, channel: ChannelName, answer: Option<Bytes>) -> Told {
        self.ask(connection, Ask::Leave(channel, answer))
    }

    /// Sends a connection a frame that is never left out.
    pub fn answer(&self, connection: ConnectionKey, frame: Bytes) -> Told {
        self.ask(connection, Ask::Answer(frame))
    }

    /// The peer has sent a Close frame with `code`.
    pub fn peer_closed(&self, connection: ConnectionKey, code: Option<u16>) -> Told {
        self.ask(connection, Ask::PeerClosed(code))
    }

    /// Closes a connection.
    pub fn close(&self, connection: ConnectionKey, reason: CloseReason) -> Told {
        self.ask(connection, Ask::Close(reason))
    }

    /// The session has ended; its key is not valid any more.
    pub fn gone(&self, connection: ConnectionKey) -> Told {
        self.ask(connection, Ask::Gone)
    }

    /// The largest outboxes of connections that are open, the largest first.
    pub async fn largest_outboxes(&self, which: Largest) -> Result<Vec<Waiting>, ShardGone> {
        let (reply, largest) = oneshot::channel();
        self.tell(Message::Largest(which, reply)).await?;
        largest.await.map_err(|_| ShardGone)
    }

    /// Closes those of the connections with these ids that the shard has.
    pub(crate) async fn disconnect(
        &self,
        ids: Arc<HashSet<ConnectionId>>,
        reason: CloseReason,
    ) -> Result<(), ShardGone> {
        self.tell(Message::Disconnect(ids, reason)).await
    }

    /// Closes all connections, spread over `window`, and those that still come at once. Shards take turns.
    pub(crate) async fn drain(&self, place: Place, window: Duration) -> Result<(), ShardGone> {
        self.tell(Message::Drain(place, window)).await
    }

    /// Fans publications out, in their order. Waits while the shard is behind.
    pub(crate) async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<(), ShardGone> {
        self.relay.send(RelayItem::Deliveries(deliveries)).await.map_err(|_| ShardGone)
    }

    /// Tells every connection of `event`, behind all that was delivered before.
    pub(crate) async fn notify(&self, event: Event) -> Result<(), ShardGone> {
        self.relay.send(RelayItem::Notice(event)).await.map_err(|_| ShardGone)
    }

    /// Where broadcasts stand. Resolves when the shard has taken it in, so that whoever connects then is told it.
    pub(crate) async fn stand_at(&self, position: Position) -> Result<(), ShardGone> {
        let (taken_in, known) = oneshot::channel();
        self.relay.send(RelayItem::StandAt(position, taken_in)).await.map_err(|_| ShardGone)?;
        known.await.map_err(|_| ShardGone)
    }

    /// Tells the subscribers of `target` that it goes on behind `position`, behind all that was delivered before.
    pub(crate) async fn lost(&self, target: Target, position: Position) -> Result<(), ShardGone> {
        self.relay.send(RelayItem::Lost(target, position)).await.map_err(|_| ShardGone)
    }

    fn request<T: Send + 'static>(
        &self,
        connection: ConnectionKey,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> BoxFuture<'static, Result<T, ShardGone>> {
        let (reply, answer) = oneshot::channel();
        let told = self.ask(connection, ask(reply));
        Box::pin(async move {
            told.await?;
            answer.await.map_err(|_| ShardGone)
        })
    }

    fn ask(&self, connection: ConnectionKey, ask: Ask) -> Told {
        self.tell(Message::Ask(connection, ask))
    }

    fn tell(&self, message: Message) -> Told {
        match self.mailbox.try_send(message) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(TrySendError::Closed(_)) => Either::Left(ready(Err(ShardGone))),
            Err(TrySendError::Full(message)) => {
                let mailbox = self.mailbox.clone();
                Either::Right(Box::pin(async move { mailbox.send(message).await.map_err(|_| ShardGone) }))
            }
        }
    }
}
