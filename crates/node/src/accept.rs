//! The public listener.

use crate::{metrics::Metrics, upgrade::Upgrades};
use socket2::SockRef;
use std::{
    io::{self, ErrorKind},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// How many sockets beyond the connection limit may be in the course of being refused. Any more are dropped unheard.
const MAX_REFUSALS: usize = 256;

/// How long the listener rests when the system has no more to give, for instance no file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the sockets that `listener` accepts send at once (no delay by Nagle) and hold at most `unsent` bytes that the
/// network has not taken. On Linux accepted sockets inherit both.
pub(crate) fn prepare(listener: std::net::TcpListener, unsent: u32) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let socket = SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(unsent)?;
    TcpListener::from_std(listener)
}

/// The right to one of the node's connections, or to be refused one; held until either has ended.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Whether there is a connection left for it.
    pub(crate) within_limit: bool,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// One of `seats`, if one is free.
    pub(crate) fn take(seats: &Arc<Semaphore>, within_limit: bool) -> Option<Self> {
        let permit = Arc::clone(seats).try_acquire_owned().ok()?;
        Some(Self { within_limit, _permit: permit })
    }
}

/// Accepts connections and hands them to the shards in turn.
pub(crate) struct Acceptor {
    listener: TcpListener,
    upgrades: Arc<Upgrades>,
    runtimes: Vec<Handle>,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    metrics: Metrics,
}

impl Acceptor {
    /// Accepts on `listener`, which must be [prepared](prepare), at most `limit` connections at a time, for shards that
    /// run on `runtimes`.
    pub(crate) fn new(
        listener: TcpListener,
        upgrades: Arc<Upgrades>,
        runtimes: Vec<Handle>,
        limit: usize,
        metrics: Metrics,
    ) -> Self {
        Self {
            listener,
            upgrades,
            runtimes,
            connections: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            metrics,
        }
    }

    /// Accepts for ever.
    pub(crate) async fn run(self) {
        for shard in (0..self.runtimes.len()).cycle() {
            let stream = self.accept().await;
            match self.seat() {
                Some(seat) => {
                    let served = Arc::clone(&self.upgrades).serve(stream, shard, seat);
                    self.runtimes[shard].spawn(served);
                }
                None => self.metrics.accept_dropped.inc(),
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        let mut starved = false;
        loop {
            match self.try_accept().await {
                Ok(stream) => return stream,
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => {
                    self.metrics.accept_errors.inc();
                    if !std::mem::replace(&mut starved, true) {
                        tracing::error!(%error, "can't accept connections, trying again every {PAUSE:?}");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Accepts a socket for another runtime than the listener's.
    async fn try_accept(&self) -> io::Result<TcpStream> {
        self.listener.accept().await?.0.into_std()
    }

    fn seat(&self) -> Option<Seat> {
        Seat::take(&self.connections, true).or_else(|| Seat::take(&self.refusals, false))
    }
}

/// Whether only the connection that was to be accepted is lost, and the next may well come.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests;
