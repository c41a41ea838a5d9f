//! A client's WebSocket on a bare socket.

mod subscribing;

use crate::{
    Error, Target,
    dial::{Stream, open},
    dialect::{Command, Dialect},
    error::Ended,
    frame::{Frame, Opcode, Parser},
    outgoing::Masker,
    speech::Speech,
    upgrade::upgrade,
};
use fanwire_protocol::frame::Opcode as Sent;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    time::timeout,
};
use tokio_rustls::rustls::ClientConfig;
use tokio_util::either::Either;

/// How long connecting, upgrading and subscribing may each take, in seconds.
const PATIENCE: u64 = 20;

/// The most bytes that wait to be written, beyond which answers to pings are left out.
const MOST_PENDING: usize = 1 << 20;

/// One buffer that all connections of a thread read into, each only within one step.
#[derive(Debug)]
pub struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    /// A buffer of `size` bytes.
    pub fn new(size: usize) -> Self {
        Self(RefCell::new(vec![0; size].into_boxed_slice()))
    }
}

/// How to open a connection.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is spoken on it.
    pub speech: Arc<Speech>,
    /// `SO_RCVBUF`, in bytes; the system's default if absent.
    pub receive_buffer: Option<u32>,
    /// The local address; the system's choice if absent.
    pub source: Option<IpAddr>,
}

/// An open WebSocket. Pings are answered while it is read.
#[derive(Debug)]
pub struct WebSocket {
    stream: Stream,
    address: SocketAddr,
    speech: Arc<Speech>,
    parser: Parser,
    masker: Masker,
    unparsed: Vec<u8>,
    pending: Vec<u8>,
}

impl WebSocket {
    /// Connects to `target`, with `tls` if that has any, and upgrades.
    pub async fn connect(target: &Target, tls: Option<&Arc<ClientConfig>>, options: Options) -> Result<Self, Error> {
        let address = target.address;
        let opening = async {
            let tls = tls.filter(|_| target.secure);
            let opened = open(address, tls, options.receive_buffer, options.source).await;
            let mut stream = opened.map_err(|source| Error::Connect { address, source })?;
            let unparsed = upgrade(&mut stream, target, &options.speech).await?;
            Ok(Self::new(stream, address, options.speech, unparsed))
        };
        in_time(address, opening).await
    }

    /// A connection without TLS to `target`, as if it had been upgraded.
    #[cfg(test)]
    pub(crate) fn of(stream: tokio::net::TcpStream, target: &Target, options: Options) -> Self {
        Self::new(Either::Left(stream), target.address, options.speech, Vec::new())
    }

    fn new(stream: Stream, address: SocketAddr, speech: Arc<Speech>, unparsed: Vec<u8>) -> Self {
        Self {
            stream,
            address,
            speech,
            parser: Parser::default(),
            masker: Masker::default(),
            unparsed,
            pending: Vec::new(),
        }
    }

    /// Queues a command; it is written while the connection is read.
    pub fn command(&mut self, dialect: Dialect, command: &Command<'_>) {
        self.masker.frame(dialect.opcode(), &dialect.encode(command), &mut self.pending);
    }

    /// Queues a text frame.
    pub fn text(&mut self, text: &str) {
        self.masker.frame(Sent::Text, text.as_bytes(), &mut self.pending);
    }

    /// Closes it with 1000, and reads until the other side has closed it as well; for so long as opening may take.
    pub async fn close(mut self, scratch: &Scratch) -> Result<(), Error> {
        self.masker.frame(Sent::Close, &1000u16.to_be_bytes(), &mut self.pending);
        let address = self.address;
        let closing = async {
            loop {
                match self.read(scratch, |_| {}).await {
                    Ok(()) => {}
                    Err(Ended::Closed(1000)) => return Ok(()),
                    Err(ended) => return Err(Error::Early { address, ended }),
                }
            }
        };
        in_time(address, closing).await
    }

    /// Queues a WebSocket ping; `payload` is at most 125 bytes long.
    pub fn ping(&mut self, payload: &[u8]) {
        self.masker.frame(Sent::Ping, payload, &mut self.pending);
    }

    /// How many bytes wait to be written.
    pub fn backlog(&self) -> usize {
        self.pending.len()
    }

    /// Reads once, as soon as something has arrived, and hands every whole frame to `each`. Writes what is queued
    /// meanwhile. May be dropped and called again at any time.
    pub async fn read(&mut self, scratch: &Scratch, mut each: impl FnMut(Frame<'_>)) -> Result<(), Ended> {
        poll_fn(|cx| self.poll_read(cx, scratch, &mut each)).await
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &Scratch,
        each: &mut impl FnMut(Frame<'_>),
    ) -> Poll<Result<(), Ended>> {
        self.poll_write(cx)?;
        if !self.unparsed.is_empty() {
            let unparsed = std::mem::take(&mut self.unparsed);
            return Poll::Ready(self.take(&unparsed, each));
        }
        let mut scratch = scratch.0.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(failed)?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(Ended::Eof));
        }
        let taken = self.take(buffer.filled(), each);
        self.poll_write(cx)?;
        Poll::Ready(taken)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while !self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.pending) {
                Poll::Ready(written) => drop(self.pending.drain(..written.map_err(failed)?)),
                Poll::Pending => break,
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<(), Ended> {
        let Self { parser, masker, pending, speech, .. } = self;
        let mut closed = None;
        parser.feed(bytes, |frame| {
            match frame.opcode {
                Opcode::Ping if pending.len() < MOST_PENDING => masker.frame(Sent::Pong, frame.payload, pending),
                Opcode::Close => {
                    masker.frame(Sent::Close, frame.payload.get(..2).unwrap_or_default(), pending);
                    closed = Some(close_code(frame.payload));
                }
                Opcode::Text => {
                    if let Some(answer) = speech.reply(frame.payload).filter(|_| pending.len() < MOST_PENDING) {
                        masker.frame(Sent::Text, answer.as_bytes(), pending);
                    }
                }
                _ => {}
            }
            each(frame);
        })?;
        closed.map_or(Ok(()), |code| Err(Ended::Closed(code)))
    }

    /// Waits, without reading, until the system reports an error for the socket, such as a reset by the peer.
    pub async fn failed(&self) {
        // Waiting fails only when the runtime ends, and then nobody waits for this.
        let socket = match &self.stream {
            Either::Left(stream) => stream,
            Either::Right(secured) => secured.get_ref().0,
        };
        let _ = socket.ready(Interest::ERROR).await;
    }

    /// The socket, with the parser and what has arrived and not been parsed.
    pub fn into_parts(self) -> (Stream, Parser, Vec<u8>) {
        (self.stream, self.parser, self.unparsed)
    }
}

/// The code in a Close frame's payload, 1005 where it has none (RFC 6455, section 7.1.5).
fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: io::Error) -> Ended {
    Ended::Failed(error.kind())
}

async fn in_time<T>(address: SocketAddr, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(Duration::from_secs(PATIENCE), work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Late { address, seconds: PATIENCE }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::{net::Ipv4Addr, pin::pin};
    use tokio::{io::AsyncWriteExt, net::TcpStream};

    fn json() -> Arc<Speech> {
        Arc::new(Speech::Native(Dialect::Json))
    }

    #[tokio::test]
    async fn a_reset_is_seen_without_reading() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"never read").await.unwrap();
        stream.write_all(b"never read").await.unwrap();
        peer.readable().await.unwrap();
        let target = format!("ws://{address}/").parse().unwrap();
        let socket = WebSocket::of(stream, &target, Options { speech: json(), receive_buffer: None, source: None });
        let mut failed = pin!(socket.failed());
        assert!(failed.as_mut().now_or_never().is_none());
        // Closing with unread input resets (RFC 1122, section 4.2.2.13).
        drop(peer);
        failed.await;
    }

    #[test]
    fn a_close_frame_without_a_code_counts_as_1005() {
        assert_eq!([close_code(&[3, 0xf5, b'x']), close_code(&[3]), close_code(&[])], [1013, 1005, 1005]);
    }
}
