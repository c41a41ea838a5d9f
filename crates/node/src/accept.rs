//! The public listener.

use crate::{
    addresses::AddressPlace,
    metrics::Metrics,
    starvation::Starvation,
    tls::Terminator,
    upgrade::{Place, Upgrades},
};
use socket2::SockRef;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// How long the listener rests when the system has no more to give, for instance no file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections the kernel may hold for the acceptor; it caps that by `net.core.somaxconn`, which is 4,096 where
/// nobody has changed it. When many clients come back at once, those for whom there is no room only try again after 1 s,
/// 3 s, 7 s, and the standard library asks for 128.
const BACKLOG: i32 = 4096;

/// Makes the sockets that `listener` accepts send at once (no delay by Nagle) and hold at most `unsent` bytes that the
/// network has not taken. On Linux accepted sockets inherit both.
pub(crate) fn prepare(listener: std::net::TcpListener, unsent: u32) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let socket = SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(unsent)?;
    // Of a socket that listens already this changes the bound alone.
    socket.listen(BACKLOG)?;
    TcpListener::from_std(listener)
}

/// The right to one of the node's connections, or to be refused one; held until either has ended.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Whether there is a connection left for it.
    pub(crate) within_limit: bool,
    /// Its place among those of the client's address, where those are counted.
    pub(crate) address: Option<Box<AddressPlace>>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// One of `seats`, if one is free.
    pub(crate) fn take(seats: &Arc<Semaphore>, within_limit: bool) -> Option<Self> {
        let permit = Arc::clone(seats).try_acquire_owned().ok()?;
        Some(Self { within_limit, address: None, _permit: permit })
    }
}

/// How many sockets the acceptor lets in at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// As connections.
    pub(crate) connections: usize,
    /// Beyond those, in the course of being refused. Any more are dropped unheard.
    pub(crate) refusals: usize,
}

/// TLS on the public port.
pub(crate) struct PublicTls {
    pub(crate) terminator: Arc<Terminator>,
    /// Where handshakes are made.
    pub(crate) runtime: Handle,
}

/// Accepts connections and hands them to the shards in turn.
pub(crate) struct Acceptor {
    listener: TcpListener,
    upgrades: Arc<Upgrades>,
    tls: Option<PublicTls>,
    runtimes: Vec<Handle>,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    starvation: Starvation,
    metrics: Metrics,
}

impl Acceptor {
    /// Accepts on `listener`, which must be [prepared](prepare), as many as there is `room` for, with `tls` or without,
    /// for shards that run on `runtimes`.
    pub(crate) fn new(
        listener: TcpListener,
        upgrades: Arc<Upgrades>,
        tls: Option<PublicTls>,
        runtimes: Vec<Handle>,
        room: Room,
        metrics: Metrics,
    ) -> Self {
        Self {
            listener,
            upgrades,
            tls,
            runtimes,
            connections: seats(room.connections),
            refusals: seats(room.refusals),
            starvation: Starvation::default(),
            metrics,
        }
    }

    /// Accepts for ever.
    pub(crate) async fn run(mut self) {
        for shard in (0..self.runtimes.len()).cycle() {
            let (stream, peer) = self.accept().await;
            match self.seat() {
                Some(seat) => self.serve(stream, peer, shard, seat),
                None => self.metrics.accept_dropped.inc(),
            }
        }
    }

    fn serve(&self, stream: TcpStream, peer: IpAddr, shard: usize, seat: Seat) {
        let (upgrades, runtime) = (Arc::clone(&self.upgrades), &self.runtimes[shard]);
        let place = Place { shard, runtime: runtime.clone() };
        match &self.tls {
            None => runtime.spawn(upgrades.serve(stream, peer, place, seat)),
            Some(PublicTls { terminator, runtime }) => {
                runtime.spawn(upgrades.serve_secured(stream, Arc::clone(terminator), peer, place, seat))
            }
        };
    }

    async fn accept(&mut self) -> (TcpStream, IpAddr) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.starvation.over() => {
                    let starved = self.starvation.end();
                    tracing::info!(?starved, "accepting connections again");
                    continue;
                }
                accepted = self.try_accept() => accepted,
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => self.starve(&error).await,
            }
        }
    }

    /// Accepts a socket for another runtime than the listener's.
    async fn try_accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream.into_std()?, peer.ip()))
    }

    /// Waits for the system to have something again. Told once, however often it happens in a row.
    async fn starve(&mut self, error: &io::Error) {
        self.metrics.accept_errors.inc();
        if self.starvation.failed() {
            tracing::error!(%error, "can't accept connections, trying again every {PAUSE:?}");
        }
        sleep(PAUSE).await;
    }

    fn seat(&self) -> Option<Seat> {
        Seat::take(&self.connections, true).or_else(|| Seat::take(&self.refusals, false))
    }
}

fn seats(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
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
