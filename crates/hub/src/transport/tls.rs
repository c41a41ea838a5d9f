//! TLS on a TCP socket, written to as directly as the socket itself.
//!
//! What a write takes becomes one record, which goes to the socket at once. The kernel may take only a part of it, while
//! the rest can't be given back: it is encrypted. So the record is kept, at most one, and its last byte is reported as
//! not taken, until the kernel has it all. The outbox then holds a frame that is begun, waits for the socket, and comes
//! back with that byte first.

use super::{Transport, abort, finish, receive, send};
use crate::outbox::MAX_VECTORS;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use std::{
    fmt,
    hint::black_box,
    io::{self, ErrorKind, IoSlice, Read, Write},
    os::fd::AsRawFd,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::rustls::ServerConnection;

/// The most that a record carries, in bytes (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// A TCP socket with TLS on it: written by its shard, read by its session.
pub struct Tls {
    stream: TcpStream,
    /// Locked for the length of a system call, by a shard and a session that share a thread.
    state: Mutex<State>,
}

struct State {
    connection: ServerConnection,
    /// Whether the first byte of the next write is in a record already.
    owes: bool,
    /// Bytes of records that the socket has not taken.
    held: usize,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Tls {
    /// Shares `stream`, on which the handshake that made `connection` is over, between a shard and a session.
    pub fn new(stream: TcpStream, connection: ServerConnection) -> Arc<Self> {
        let state = Mutex::new(State { connection, owes: false, held: 0 });
        Arc::new(Self { stream, state })
    }

    /// The read side.
    pub fn reader(self: &Arc<Self>) -> TlsReader {
        TlsReader(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Tls {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        state.flush(&self.stream)?;
        let owed = usize::from(state.owes);
        let taken = owed + state.connection.writer().write_vectored(&record(buffers, owed))?;
        match state.flush(&self.stream) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                state.owes = true;
                if taken > 1 { Ok(taken - 1) } else { Err(error) }
            }
            flushed => {
                state.owes = false;
                flushed.map(|()| taken)
            }
        }
    }

    fn held(&self) -> usize {
        self.lock().held
    }

    fn look_up(&self) {
        black_box((self.stream.as_raw_fd(), self.state.is_poisoned()));
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // An error shows at the next write, which is what the waiter does then.
            let _ = self.stream.writable().await;
        })
    }

    fn finish(&self) {
        let mut state = self.lock();
        state.connection.send_close_notify();
        // A socket that takes no more loses it. The Close frame before it says the same, and has been written.
        let _ = state.flush(&self.stream);
        finish(&self.stream);
    }

    fn abort(&self) {
        abort(&self.stream);
    }
}

impl State {
    /// Writes all that is encrypted.
    fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            let mut socket = Socket { stream, offered: 0 };
            match self.connection.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.held = socket.offered;
                    return Err(error);
                }
            }
        }
        self.held = 0;
        Ok(())
    }

    /// Reads from the socket what it has and decrypts it.
    fn receive(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.connection.read_tls(&mut Socket { stream, offered: 0 })?;
        let processed = self.connection.process_new_packets();
        // What TLS answers by itself, such as an alert; what the socket does not take goes before the next write.
        let _ = self.flush(stream);
        processed.map(drop).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

/// What goes into one record of `buffers` behind the first `skip` bytes, of which there are at most as many as the first
/// buffer has.
///
/// Never just the first byte of a frame: reported as not taken, it would not make the frame one that is begun.
fn record<'a>(buffers: &'a [IoSlice<'_>], mut skip: usize) -> SmallVec<[IoSlice<'a>; MAX_VECTORS]> {
    let (mut slices, mut left) = (SmallVec::new(), RECORD);
    for buffer in buffers {
        let rest = &buffer[skip.min(buffer.len())..];
        skip = skip.saturating_sub(buffer.len());
        let taken = &rest[..rest.len().min(left)];
        if taken.len() == 1 && rest.len() > 1 {
            break;
        }
        left -= taken.len();
        if !taken.is_empty() {
            slices.push(IoSlice::new(taken));
        }
    }
    slices
}

/// The socket as rustls wants it.
struct Socket<'a> {
    stream: &'a TcpStream,
    /// How many bytes were to be written last.
    offered: usize,
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.offered = buffers.iter().map(|buffer| buffer.len()).sum();
        send(self.stream, buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Socket<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        receive(self.stream, space)
    }
}

/// The read side of a [`Tls`] socket.
#[derive(Debug)]
pub struct TlsReader(Arc<Tls>);

impl AsyncRead for TlsReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Tls { stream, .. } = &*self.0;
        loop {
            let decrypted = self.0.lock().connection.reader().read(buf.initialize_unfilled());
            match decrypted {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(stream.poll_read_ready(cx))?;
            match self.0.lock().receive(stream) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;
