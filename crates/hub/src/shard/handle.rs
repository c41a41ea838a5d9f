//! The way to reach a shard.

use crate::{Activity, Subscription, Transport};
use bytes::Bytes;
use fanwire_protocol::{ChannelName, CloseReason, ConnectionId, Delivery, Dialect, Event};
use futures_util::future::{BoxFuture, Either, Ready, ready};
use std::{sync::Arc, time::Duration};
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

/// A connection that is about to join a shard.
#[derive(Debug)]
pub struct Admission {
    /// Its id.
    pub id: ConnectionId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Its socket.
    pub transport: Arc<dyn Transport>,
    /// Its signs of life.
    pub activity: Arc<Activity>,
    /// The first frame it gets.
    pub greeting: Option<Bytes>,
}

/// A shard's place among all, so that what each of them spreads over a time does not fall together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its index.
    pub(crate) index: u64,
    /// How many shards there are.
    pub(crate) of: u64,
}

#[derive(Debug)]
pub(super) enum Message {
    Connect(Box<Admission>, oneshot::Sender<ConnectionKey>),
    Ask(ConnectionKey, Ask),
    Drain(Place, Duration),
}

/// What a session asks for its connection.
#[derive(Debug)]
pub(super) enum Ask {
    Join(Subscription, Option<Bytes>),
    Leave(ChannelName, Option<Bytes>),
    Answer(Bytes),
    PeerClosed(Option<u16>),
    Close(CloseReason),
    Gone,
}

/// What the relay hands to a shard.
#[derive(Debug)]
pub(super) enum RelayItem {
    Deliveries(Vec<Delivery>),
    Notice(Event),
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
    /// Takes a connection in; it gets broadcasts from now on. Whoever calls this owes a [`Self::gone`].
    pub async fn connect(&self, admission: Admission) -> Result<ConnectionKey, ShardGone> {
        let (reply, key) = oneshot::channel();
        self.tell(Message::Connect(Box::new(admission), reply)).await?;
        key.await.map_err(|_| ShardGone)
    }

    /// Makes a connection a subscriber, then sends it `answer`.
    pub fn join(&self, connection: ConnectionKey, subscription: Subscription, answer: Option<Bytes>) -> Told {
        self.ask(connection, Ask::Join(subscription, answer))
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
