//! The handle that commands go through.

use crate::{
    Content, Encoding, Error, Events, Options, Welcome,
    call::{Asker, Call, Ids},
    event::{self, End},
    supervisor::{self, Supervisor},
    user::User,
    wire::{self, Command, Publish},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::unconstrained,
    time::timeout,
};

/// Commands that wait for the connection's task to take them.
const QUEUED_COMMANDS: usize = 64;

/// A connection to a node. Clones share it.
///
/// Commands go out in the order in which their futures are first polled, and each waits for its answer; many may wait at
/// a time. On a connection that replaces another they go out among its subscriptions; see
/// [the crate's documentation](crate#lost-connections). A command whose future is dropped before its answer may still be
/// carried out, and disturbs no other.
#[derive(Debug, Clone)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug)]
struct Shared {
    welcome: watch::Receiver<Welcome>,
    encoding: Encoding,
    answer_timeout: Duration,
    ids: Ids,
    end: End,
}

impl Client {
    /// Connects to the node at `url`, such as `ws://127.0.0.1:8765`, and waits for its welcome. Must be called within
    /// a tokio runtime, which then runs a task for the connection.
    ///
    /// The first connection is attempted once, whatever [`Options::reconnect`] says of those after it.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unreachable`], [`Error::Http`], [`Error::Closed`], [`Error::NotUnderstood`], or
    /// [`Error::TimedOut`] when all that took longer than [`Options::connect_timeout`].
    pub async fn connect(url: &str, options: Options) -> Result<(Self, Events), Error> {
        let (socket, welcome) = supervisor::connect(url, &options).await?;
        let (calls, called) = mpsc::channel(QUEUED_COMMANDS);
        let (events, queue) = mpsc::channel(options.event_queue.max(1));
        let (telling, welcome) = watch::channel(welcome);
        let (ids, end) = (Ids::default(), End::default());
        let Options { encoding, answer_timeout, .. } = options;
        let user = User::new(called, events);
        let supervisor = Supervisor { url: url.to_owned(), options, user, ids: ids.clone(), welcome: telling };
        tokio::spawn(supervisor.run(socket, Arc::clone(&end)));
        let shared = Shared { welcome, encoding, answer_timeout, ids, end: Arc::clone(&end) };
        Ok((Self { calls, shared: Arc::new(shared) }, Events::new(queue, end)))
    }

    /// What the node said of itself and of the newest connection.
    pub fn welcome(&self) -> Welcome {
        self.shared.welcome.borrow().clone()
    }

    /// Subscribes to `channel`. Whatever anyone publishes to it after this returned arrives, as long as there is a
    /// connection.
    ///
    /// # Errors
    /// As for every command: [`Error::Refused`] by the node, [`Error::Closed`] or [`Error::NotUnderstood`] when the
    /// connection ended, [`Error::TimedOut`] after [`Options::answer_timeout`]. With [`Options::reconnect`] it survives
    /// the end of a connection, and after a time-out the subscription is still wanted: unsubscribe if it isn't. So is
    /// one that was in force before and that the node can't grant for the moment: it is asked for again.
    pub async fn subscribe(&self, channel: &str) -> Result<(), Error> {
        self.call(|asker| Call::Subscribe { channel: channel.to_owned(), asker }).await
    }

    /// Unsubscribes from `channel`. Without a connection that always succeeds, and so it does where a new connection is
    /// not yet subscribed to it.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        self.call(|asker| Call::Unsubscribe { channel: channel.to_owned(), asker }).await
    }

    /// Publishes to the subscribers of `channel`, to this connection too if it is one. It is sent at most once.
    ///
    /// # Errors
    /// As for [`Client::subscribe`], and [`Error::NotEncodable`]. It may have been published when the connection ended
    /// before the answer, with [`Options::reconnect`] too; not, if there was no connection up to a time-out.
    pub async fn publish(&self, channel: &str, content: impl Into<Content>) -> Result<(), Error> {
        self.send(Command::Publish(Publish::new(self.shared.encoding, Some(channel), &content.into()))).await
    }

    /// Sends to every other connection of the cluster, at most once.
    ///
    /// # Errors
    /// As for [`Client::publish`].
    pub async fn broadcast(&self, content: impl Into<Content>) -> Result<(), Error> {
        self.send(Command::Broadcast(Publish::new(self.shared.encoding, None, &content.into()))).await
    }

    /// Asks the node for a sign of life.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.send(Command::Ping).await
    }

    /// Closes the connection with code 1000, after all commands that were given before, and waits until it is closed
    /// or [`Options::answer_timeout`] has passed. Without a connection it makes none again, and commands fail.
    pub async fn close(self) {
        let closing = async {
            if self.calls.send(Call::Close).await.is_ok() {
                self.calls.closed().await;
            }
        };
        // Whoever leaves doesn't care whether the node says goodbye.
        let _ = timeout(self.shared.answer_timeout, closing).await;
    }

    async fn send(&self, command: Command<'_>) -> Result<(), Error> {
        let id = self.shared.ids.next();
        let message = wire::encode(self.shared.encoding, id, command)?;
        self.call(|asker| Call::Send { id, message, asker }).await
    }

    async fn call(&self, call: impl FnOnce(Asker) -> Call) -> Result<(), Error> {
        let Shared { answer_timeout, end, .. } = &*self.shared;
        let (asker, answered) = oneshot::channel();
        let exchange = async {
            // Unconstrained, since tokio's budget would let a later command pass one that ran out of it.
            let sent = unconstrained(self.calls.send(call(asker))).await;
            sent.map_err(|_| event::reason(end))?;
            answered.await.unwrap_or_else(|_| Err(event::reason(end)))
        };
        timeout(*answer_timeout, exchange).await.map_err(|_| Error::TimedOut("an answer"))?
    }
}
