//! The task behind the handles: one connection after the other.

use crate::{
    Error, Options, Reconnect, Welcome,
    backoff::Backoff,
    call::Ids,
    connection::{Connection, Ended},
    event::End,
    handshake::{self, Socket},
    replay::Replay,
    retry,
    unanswered::Unanswered,
    user::User,
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Keeps the user connected as far as the options ask for it.
pub(crate) struct Supervisor {
    pub(crate) url: String,
    pub(crate) options: Options,
    pub(crate) user: User,
    pub(crate) ids: Ids,
    pub(crate) welcome: watch::Sender<Welcome>,
}

impl Supervisor {
    /// Works until the user wants no more or nothing more can be done, and leaves the reason in `end` before anyone can
    /// miss it. Begins with `socket`, whose welcome has been read.
    pub(crate) async fn run(mut self, socket: Socket, end: End) {
        let (error, unanswered) = self.keep_connected(socket).await;
        tracing::debug!(%error, "connection ended for good");
        // Only this task sets it.
        let _ = end.set(error);
        // Who waits for an answer finds the reason.
        drop(unanswered);
        let User { calls, events, subscriptions, .. } = self.user;
        drop((calls, subscriptions));
        events.drain().await;
    }

    /// Why there is no connection any more, and whom nobody has told that.
    async fn keep_connected(&mut self, mut socket: Socket) -> (Error, Unanswered) {
        let reconnect = self.options.reconnect.clone();
        let mut backoff = reconnect.as_ref().map(Backoff::new);
        loop {
            let began = Instant::now();
            let (ended, unanswered) = self.use_up(socket).await;
            let (reconnect, backoff, error) = match (&reconnect, &mut backoff, ended) {
                (Some(reconnect), Some(backoff), Ended::Lost(error)) if retry::pace(&error).is_some() => {
                    (reconnect, backoff, error)
                }
                (_, _, Ended::Lost(error) | Ended::Done(error)) => return (error, unanswered),
            };
            tracing::debug!(%error, "connection lost");
            backoff.ended(began.elapsed());
            self.user.disconnected(&error);
            unanswered.lose(&error, &mut self.user);
            socket = match self.reconnect(reconnect, backoff, error).await {
                Ok(socket) => socket,
                Err(error) => return (error, Unanswered::default()),
            };
        }
    }

    /// Lives on `socket` until that ends.
    async fn use_up(&mut self, socket: Socket) -> (Ended, Unanswered) {
        let welcome = self.welcome.borrow().clone();
        let missing = self.user.welcomed(welcome.broadcast.clone());
        let replay = Replay::new(missing, &self.options.reconnect.clone().unwrap_or_default());
        Connection::new(socket, welcome, self.options.encoding, &self.ids, &mut self.user, replay).run().await
    }

    /// A new connection instead of the one that `error` has ended.
    async fn reconnect(
        &mut self,
        reconnect: &Reconnect,
        backoff: &mut Backoff,
        mut error: Error,
    ) -> Result<Socket, Error> {
        let give_up = reconnect.give_up_after.and_then(|after| Some((after, Instant::now().checked_add(after)?)));
        while let Some(pace) = retry::pace(&error) {
            let wait = backoff.wait(pace, rand::random());
            tracing::debug!(%error, ?wait, "connecting again");
            let attempt = attempt(&self.url, &self.options, wait);
            let attempted = match give_up {
                None => self.user.attend(attempt).await?,
                Some((after, at)) => {
                    let attempted = self.user.attend(timeout_at(at, attempt)).await?;
                    attempted.map_err(|_| Error::GaveUp { after, last: Box::new(error) })?
                }
            };
            match attempted {
                Ok((socket, welcome)) => {
                    self.welcome.send_replace(welcome);
                    return Ok(socket);
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }
}

async fn attempt(url: &str, options: &Options, wait: Duration) -> Result<(Socket, Welcome), Error> {
    sleep(wait).await;
    connect(url, options).await
}

/// A connection to `url` whose welcome has been read.
pub(crate) async fn connect(url: &str, options: &Options) -> Result<(Socket, Welcome), Error> {
    let connecting = handshake::connect(url, options);
    timeout(options.connect_timeout, connecting).await.map_err(|_| Error::TimedOut("the node's welcome"))?
}
