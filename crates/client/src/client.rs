//! The handle that commands go through.

use crate::{
    Content, Encoding, Error, Events, Options, Welcome,
    connection::{Call, Connection},
    event::{self, End},
    handshake,
    wire::{self, Command, Publish},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::unconstrained,
    time::timeout,
};

/// Commands that wait for the connection's task to take them.
const QUEUED_COMMANDS: usize = 64;

/// A connection to a node. Clones share it.
///
/// Commands go out in the order in which their futures are first polled, and each waits for its answer; many may wait at
/// a time. A command whose future is dropped before that may still be carried out, and disturbs no other.
#[derive(Debug, Clone)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug)]
struct Shared {
    welcome: Welcome,
    encoding: Encoding,
    answer_timeout: Duration,
    last_id: AtomicU64,
    end: End,
}

impl Client {
    /// Connects to the node at `url`, such as `ws://127.0.0.1:8765`, and waits for its welcome. Must be called within
    /// a tokio runtime, which then runs a task for the connection.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Http`], [`Error::Closed`], [`Error::NotUnderstood`], or
    /// [`Error::TimedOut`] when all that took longer than [`Options::connect_timeout`].
    pub async fn connect(url: &str, options: Options) -> Result<(Self, Events), Error> {
        let connecting = handshake::connect(url, options.encoding);
        let waiting = timeout(options.connect_timeout, connecting).await;
        let (socket, welcome) = waiting.map_err(|_| Error::TimedOut("the node's welcome"))??;
        let (calls, called) = mpsc::channel(QUEUED_COMMANDS);
        let (events, queue) = mpsc::channel(options.event_queue.max(1));
        let end = End::default();
        let connection = Connection::new(socket, called, events);
        tokio::spawn(connection.run(Arc::clone(&end)));
        let Options { encoding, answer_timeout, .. } = options;
        let last_id = AtomicU64::new(0);
        let shared = Shared { welcome, encoding, answer_timeout, last_id, end: Arc::clone(&end) };
        Ok((Self { calls, shared: Arc::new(shared) }, Events::new(queue, end)))
    }

    /// What the node said of itself and of the connection.
    pub fn welcome(&self) -> &Welcome {
        &self.shared.welcome
    }

    /// Subscribes to `channel`. Whatever anyone publishes to it after this returned arrives.
    ///
    /// # Errors
    /// As for every command: [`Error::Refused`] by the node, [`Error::Closed`] or [`Error::NotUnderstood`] when the
    /// connection ended, [`Error::TimedOut`] after [`Options::answer_timeout`].
    pub async fn subscribe(&self, channel: &str) -> Result<(), Error> {
        self.call(Command::Subscribe { channel }).await
    }

    /// Unsubscribes from `channel`.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        self.call(Command::Unsubscribe { channel }).await
    }

    /// Publishes to the subscribers of `channel`, to this connection too if it is one.
    ///
    /// # Errors
    /// As for [`Client::subscribe`], and [`Error::NotEncodable`].
    pub async fn publish(&self, channel: &str, content: impl Into<Content>) -> Result<(), Error> {
        self.call(Command::Publish(Publish::new(self.shared.encoding, Some(channel), &content.into()))).await
    }

    /// Sends to every other connection of the cluster.
    ///
    /// # Errors
    /// As for [`Client::subscribe`], and [`Error::NotEncodable`].
    pub async fn broadcast(&self, content: impl Into<Content>) -> Result<(), Error> {
        self.call(Command::Broadcast(Publish::new(self.shared.encoding, None, &content.into()))).await
    }

    /// Asks the node for a sign of life.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.call(Command::Ping).await
    }

    /// Closes the connection with code 1000, after all commands that were given before, and waits until it is closed
    /// or [`Options::answer_timeout`] has passed.
    pub async fn close(self) {
        let closing = async {
            if self.calls.send(Call::Close).await.is_ok() {
                self.calls.closed().await;
            }
        };
        // Whoever leaves doesn't care whether the node says goodbye.
        let _ = timeout(self.shared.answer_timeout, closing).await;
    }

    async fn call(&self, command: Command<'_>) -> Result<(), Error> {
        let Shared { encoding, answer_timeout, last_id, end, .. } = &*self.shared;
        let id = last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let message = wire::encode(*encoding, id, command)?;
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            // Unconstrained, since tokio's budget would let a later command pass one that ran out of it.
            let sent = unconstrained(self.calls.send(Call::Command { id, message, answer })).await;
            sent.map_err(|_| event::reason(end))?;
            answered.await.unwrap_or_else(|_| Err(event::reason(end)))
        };
        timeout(*answer_timeout, exchange).await.map_err(|_| Error::TimedOut("an answer"))?
    }
}
