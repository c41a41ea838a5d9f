//! The write side of a socket, as a shard sees it: writes never block.

mod tls;

pub use tls::{Tls, TlsReader};

use futures_util::{future::BoxFuture, task::AtomicWaker};
use socket2::SockRef;
use std::{
    fmt,
    hint::black_box,
    io::{self, IoSlice, Read},
    net::Shutdown,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf},
    net::TcpStream,
    task::coop::cooperative,
};

/// The write side of a socket.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Writes as much of `buffers` as the socket takes at once and returns how many bytes that were.
    /// [`io::ErrorKind::WouldBlock`] where it takes none.
    ///
    /// The buffers are frames, the first of them maybe the rest of one. Where the last write ended within a frame, the
    /// next one begins with its rest.
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// How many bytes it keeps for the socket of what it has taken, as far as it did not report all of it as taken.
    fn held(&self) -> usize {
        0
    }

    /// Reads what a write will need, and nothing else: called for several sockets in a row, so that the waits for
    /// memory overlap.
    fn look_up(&self) {}

    /// Resolves when a write may get further than the last one that would have blocked, or when the socket is gone.
    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()>;

    /// Ends the write side; the peer reads the end of the stream behind what was written.
    fn finish(&self);

    /// Ends the socket at once and throws away what it holds; its reader sees the end of the stream.
    fn abort(&self);
}

/// A TCP socket: written by its shard, read by its session.
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl Tcp {
    /// Shares `stream` between a shard and a session.
    pub fn new(stream: TcpStream) -> Arc<Self> {
        Arc::new(Self(stream))
    }

    /// The read side of the socket.
    pub fn reader(self: &Arc<Self>) -> TcpReader {
        TcpReader(Arc::clone(self))
    }
}

impl Transport for Tcp {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        send(&self.0, buffers)
    }

    fn look_up(&self) {
        black_box(self.0.as_raw_fd());
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // An error shows at the next write, which is what the waiter does then.
            let _ = self.0.writable().await;
        })
    }

    fn finish(&self) {
        finish(&self.0);
    }

    fn abort(&self) {
        abort(&self.0);
    }
}

fn send(stream: &TcpStream, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    // Past the runtime, whose note of the socket's readiness is one more cache line for each delivery. Only where the
    // socket takes nothing must the runtime see it too, to know that `writable` is to wait.
    let socket = SockRef::from(stream);
    let result = match buffers {
        [one] => socket.send(one),
        many => socket.send_vectored(many),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.try_write_vectored(buffers),
        result => result,
    }
}

/// Reads what the socket has. Where that does not fill `space` it was all there was, and the runtime is told so: it need
/// not be found out by a read that gets nothing.
fn receive(stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let mut last = None;
    let read = stream.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(stream)).read(space)?;
        last = (1..space.len()).contains(&read).then_some(read);
        if last.is_some() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(read) }
    });
    last.map_or(read, Ok)
}

fn finish(stream: &TcpStream) {
    // Fails only where the socket is gone already.
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

fn abort(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // A linger time of zero makes the kernel reset the connection and free its buffers when it is closed.
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = socket.shutdown(Shutdown::Both);
}

/// The read side of a [`Tcp`] socket.
#[derive(Debug)]
pub struct TcpReader(Arc<Tcp>);

impl AsyncRead for TcpReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &self.0.0;
        loop {
            std::task::ready!(stream.poll_read_ready(cx))?;
            match receive(stream, buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The write side of an in-memory pipe, for tests without sockets.
#[derive(Debug)]
pub struct Pipe {
    stream: Mutex<Option<DuplexStream>>,
    room: Arc<Room>,
    /// Who reads our end: dropping it wakes only the other.
    reader: AtomicWaker,
}

/// Whether a write may get further than the last, and who waits for that.
#[derive(Debug, Default)]
struct Room {
    free: AtomicBool,
    waiter: AtomicWaker,
}

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        self.free.store(true, Release);
        self.waiter.wake();
    }
}

impl Room {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waiter.register(cx.waker());
        if self.free.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Pipe {
    /// A pipe that holds at most `capacity` bytes in each direction: its write side, its read side, and the peer's end.
    pub fn new(capacity: usize) -> (Arc<Self>, PipeReader, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        let (room, reader) = Default::default();
        let pipe = Arc::new(Self { stream: Mutex::new(Some(ours)), room, reader });
        (Arc::clone(&pipe), PipeReader(pipe), theirs)
    }

    /// Writes; where that would block, `room` is told when it may be tried again.
    fn poll_write(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.room.free.store(false, Release);
        let waker = Waker::from(Arc::clone(&self.room));
        let written = match self.lock().as_mut() {
            Some(stream) => Pin::new(stream).poll_write(&mut Context::from_waker(&waker), bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        if written.is_ready() {
            self.room.free.store(true, Release);
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, Option<DuplexStream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Pipe {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for buffer in buffers {
            match self.poll_write(buffer) {
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) if written == 0 => return Err(error),
                Poll::Pending if written == 0 => return Err(io::ErrorKind::WouldBlock.into()),
                _ => break,
            }
        }
        Ok(written)
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        // A write fails too where its task has run for too long; then the task has to yield before the next.
        Box::pin(cooperative(std::future::poll_fn(move |cx| self.room.poll(cx))))
    }

    fn finish(&self) {
        if let Some(stream) = self.lock().as_mut() {
            // An in-memory stream shuts down at once.
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    fn abort(&self) {
        *self.lock() = None;
        self.reader.wake();
        Arc::clone(&self.room).wake();
    }
}

/// The read side of a [`Pipe`].
#[derive(Debug)]
pub struct PipeReader(Arc<Pipe>);

impl AsyncRead for PipeReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.reader.register(cx.waker());
        match self.0.lock().as_mut() {
            Some(stream) => Pin::new(stream).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::yield_now,
    };

    #[tokio::test]
    async fn what_comes_after_a_read_that_was_not_filled_is_read_too() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut reader = Tcp::new(listener.accept().await.unwrap().0).reader();
        let mut space = [0; 4];
        for (sent, read) in [("a", 1), ("bcde", 4), ("fg", 2)] {
            let waiting = tokio::spawn(async move { (reader.read(&mut space).await.unwrap(), reader) });
            yield_now().await;
            peer.write_all(sent.as_bytes()).await.unwrap();
            let count;
            (count, reader) = waiting.await.unwrap();
            assert_eq!(count, read);
        }
        peer.write_all(b"h").await.unwrap();
        drop(peer);
        assert_eq!((reader.read(&mut space).await.unwrap(), reader.read(&mut space).await.unwrap()), (1, 0));
    }
}
