//! The handle that commands go through.

use crate::{
    Content, Encoding, Error, Events, HistoryQuery, Members, MembersQuery, Options, Page, Position, PresenceStats,
    Welcome,
    call::{Asker, Call, Granted, Ids, Kind, Sending},
    event::{self, End},
    supervisor::{self, Supervisor},
    user::User,
    wire::{self, Command, History, Publish},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::unconstrained,
    time::timeout,
};

/// A command that is sent at most once.
const ONCE: Kind = Kind { repeatable: false, broadcast: false };

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
        let user = User::new(called, events, options.broadcasts_since.clone());
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
    /// connection. Returns the place behind which it begins, if the channel has a history.
    ///
    /// # Errors
    /// As for every command: [`Error::Refused`] by the node, [`Error::Closed`] or [`Error::NotUnderstood`] when the
    /// connection ended, [`Error::TimedOut`] after [`Options::answer_timeout`]. With [`Options::reconnect`] it survives
    /// the end of a connection, and after a time-out the subscription is still wanted: unsubscribe if it isn't. So is
    /// one that was in force before and that the node can't grant for the moment: it is asked for again.
    pub async fn subscribe(&self, channel: &str) -> Result<Option<Position>, Error> {
        self.subscribe_since(channel, None, None).await
    }

    /// Subscribes to `channel` from `place` on, up to which the user has everything: what has been published since comes
    /// first. Returns the place behind which it really begins; if that is another one, something is missing, as
    /// [`Event::Lost`](crate::Event::Lost) says too.
    ///
    /// # Errors
    /// As for [`Client::subscribe`]; refused with `no_history` in a channel without.
    pub async fn subscribe_from(&self, channel: &str, place: Position) -> Result<Option<Position>, Error> {
        self.subscribe_since(channel, Some(place), None).await
    }

    /// Subscribes to `channel` as one that says `info` of itself to those who ask who is there. With
    /// [`Options::reconnect`] it says so again on each connection, until the channel is unsubscribed.
    ///
    /// # Errors
    /// As for [`Client::subscribe`], and [`Error::NotEncodable`]; refused with `no_presence` in a channel without, and with
    /// `forbidden` where the client's token says already what others are told of it.
    pub async fn subscribe_as(&self, channel: &str, info: impl Into<Content>) -> Result<Option<Position>, Error> {
        self.subscribe_since(channel, None, Some(info.into())).await
    }

    async fn subscribe_since(
        &self,
        channel: &str,
        since: Option<Position>,
        info: Option<Content>,
    ) -> Result<Option<Position>, Error> {
        let call = |asker| Call::Subscribe { channel: channel.to_owned(), since, info, asker };
        Ok(self.call(call).await?.position)
    }

    /// Unsubscribes from `channel`. Without a connection that always succeeds, and so it does where a new connection is
    /// not yet subscribed to it.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        self.call(|asker| Call::Unsubscribe { channel: channel.to_owned(), asker }).await?;
        Ok(())
    }

    /// Publishes to the subscribers of `channel`, to this connection too if it is one. It is sent at most once. Returns
    /// its place, if the channel has a history.
    ///
    /// # Errors
    /// As for [`Client::subscribe`], and [`Error::NotEncodable`]. It may have been published when the connection ended
    /// before the answer, with [`Options::reconnect`] too; not, if there was no connection up to a time-out.
    pub async fn publish(&self, channel: &str, content: impl Into<Content>) -> Result<Option<Position>, Error> {
        self.put(Some(channel), &content.into(), None).await
    }

    /// Publishes as [`Client::publish`] does, but once for all publications to `channel` with the same `key` of 1 to 64
    /// bytes, whoever sends them: another one returns the first one's place. So it is safe to repeat, and with
    /// [`Options::reconnect`] that is done when a connection ends before the answer. The channel must have a history.
    ///
    /// # Errors
    /// As for [`Client::publish`]; refused with `no_history` in a channel without.
    pub async fn publish_once(
        &self,
        channel: &str,
        content: impl Into<Content>,
        key: &str,
    ) -> Result<Option<Position>, Error> {
        self.put(Some(channel), &content.into(), Some(key)).await
    }

    /// Sends to every other connection of the cluster, at most once. Returns its place, if broadcasts have a history.
    ///
    /// # Errors
    /// As for [`Client::publish`].
    pub async fn broadcast(&self, content: impl Into<Content>) -> Result<Option<Position>, Error> {
        self.put(None, &content.into(), None).await
    }

    /// Broadcasts as [`Client::broadcast`] does, but once for all broadcasts with the same `key`, as
    /// [`Client::publish_once`] does. Broadcasts must have a history.
    ///
    /// # Errors
    /// As for [`Client::publish_once`].
    pub async fn broadcast_once(&self, content: impl Into<Content>, key: &str) -> Result<Option<Position>, Error> {
        self.put(None, &content.into(), Some(key)).await
    }

    async fn put(
        &self,
        channel: Option<&str>,
        content: &Content,
        key: Option<&str>,
    ) -> Result<Option<Position>, Error> {
        let publish = Publish::new(self.shared.encoding, channel, content, key);
        let command = if channel.is_some() { Command::Publish(publish) } else { Command::Broadcast(publish) };
        let kind = Kind { repeatable: key.is_some(), broadcast: channel.is_none() };
        Ok(self.send(command, kind).await?.position)
    }

    /// Reads a part of the history of `channel`. With [`Options::reconnect`] it survives the end of a connection.
    ///
    /// # Errors
    /// As for [`Client::subscribe`]; refused with `no_history` in a channel without.
    pub async fn history(&self, channel: &str, query: HistoryQuery) -> Result<Page, Error> {
        let command = Command::History(History::new(channel, &query));
        Page::of(self.send(command, Kind { repeatable: true, ..ONCE }).await?)
    }

    /// Reads who is on `channel`, on whichever node. With [`Options::reconnect`] it survives the end of a connection.
    ///
    /// # Errors
    /// As for [`Client::subscribe`]; refused with `no_presence` in a channel without.
    pub async fn members(&self, channel: &str, query: MembersQuery) -> Result<Members, Error> {
        let command = Command::members(channel, query);
        Ok(self.send(command, Kind { repeatable: true, ..ONCE }).await?.members)
    }

    /// Counts who is on `channel`. With [`Options::reconnect`] it survives the end of a connection.
    ///
    /// # Errors
    /// As for [`Client::members`].
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStats, Error> {
        let granted = self.send(Command::PresenceStats { channel }, Kind { repeatable: true, ..ONCE }).await?;
        granted.stats.ok_or_else(|| Error::NotUnderstood("an answer to presence_stats without numbers".to_owned()))
    }

    /// Asks the node for a sign of life.
    ///
    /// # Errors
    /// As for [`Client::subscribe`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.send(Command::Ping, ONCE).await?;
        Ok(())
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

    async fn send(&self, command: Command<'_>, kind: Kind) -> Result<Granted, Error> {
        let id = self.shared.ids.next();
        let message = wire::encode(self.shared.encoding, id, command)?;
        self.call(|asker| Call::Send(Sending { id, message, kind, asker })).await
    }

    async fn call(&self, call: impl FnOnce(Asker) -> Call) -> Result<Granted, Error> {
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
