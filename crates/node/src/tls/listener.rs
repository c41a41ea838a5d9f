//! The internal port's sockets.

use super::{Secured, Terminator, Unsecured};
use axum::serve::Listener;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

/// How many handshakes may be under way. Further clients wait in the kernel's queue.
const MOST_HANDSHAKES: usize = 64;

/// A listener whose sockets have TLS on them.
pub(crate) struct TlsListener {
    listener: TcpListener,
    tls: Arc<Terminator>,
    timeout: Duration,
    under_way: JoinSet<Result<(Secured, SocketAddr), Unsecured>>,
}

impl TlsListener {
    /// Accepts on `listener`; each handshake may take `timeout`.
    pub(crate) fn new(listener: TcpListener, tls: Arc<Terminator>, timeout: Duration) -> Self {
        Self { listener, tls, timeout, under_way: JoinSet::new() }
    }

    fn begin(&mut self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let (tls, deadline) = (Arc::clone(&self.tls), Instant::now() + self.timeout);
        self.under_way.spawn(async move { Ok((tls.handshake(stream, peer.ip(), deadline).await?, peer)) });
    }
}

impl Listener for TlsListener {
    type Io = Secured;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Secured, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.under_way.join_next() => if let Ok(Ok(secured)) = done {
                    return secured;
                },
                (stream, peer) = Listener::accept(&mut self.listener), if self.under_way.len() < MOST_HANDSHAKES => {
                    self.begin(stream, peer);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
