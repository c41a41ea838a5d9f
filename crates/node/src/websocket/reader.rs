//! The read side of a connection.

use super::{kept::Kept, space};
use bytes::Bytes;
use fanwire_hub::{Activity, Clock};
use fanwire_protocol::{
    Compression, Incoming,
    dialect::DecodedMessage,
    frame::{self, Decoder, Limits, Message, Opcode, Violation},
};
use prometheus::IntCounter;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    task::coop::poll_proceed,
};

/// What arrived.
#[derive(Debug)]
pub(crate) enum Received {
    /// A complete message, decoded.
    Message(DecodedMessage),
    /// A ping, and the frame that answers it.
    Ping {
        /// The complete Pong frame.
        pong: Bytes,
    },
    /// A pong.
    Pong,
    /// A Close frame with its code.
    Close(Option<u16>),
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// The socket ended or failed.
    Vanished,
    /// The peer broke the protocol or a limit, and is to be told so.
    Broken(Violation),
}

/// What holds for all that is read on a node.
#[derive(Debug)]
pub(crate) struct Terms {
    /// What a message may not exceed.
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) received_bytes: IntCounter,
}

/// The read side of one connection. It has no buffer of its own while nothing is incomplete.
pub(crate) struct Reader<R> {
    socket: R,
    decoder: Decoder,
    kept: Kept,
    activity: Arc<Activity>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `socket`, of which `read` was read already, messages for which `compression` was agreed on. Every
    /// arrival is noted in `activity`.
    pub(crate) fn new(socket: R, read: &[u8], compression: Compression, activity: Arc<Activity>) -> Self {
        Self { socket, decoder: Decoder::new(compression), kept: Kept::of(read), activity }
    }

    /// The next message, as `decode` takes it. Cancelling it loses nothing.
    pub(crate) async fn next(
        &mut self,
        terms: &Terms,
        decode: impl Fn(Incoming<'_>) -> DecodedMessage,
    ) -> Result<Received, ReadEnd> {
        std::future::poll_fn(|cx| self.poll_next(cx, terms, &decode)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        terms: &Terms,
        decode: impl Fn(Incoming<'_>) -> DecodedMessage,
    ) -> Poll<Result<Received, ReadEnd>> {
        if !self.kept.is_empty() {
            // A read may hold thousands of messages, and other connections of the thread want their turn between them.
            let turn = ready!(poll_proceed(cx));
            if let Some(received) = self.decode_kept(terms, &decode).transpose() {
                turn.made_progress();
                return Poll::Ready(received);
            }
        }
        space::with(|space| self.poll_read(cx, space, terms, decode))
    }

    fn decode_kept(
        &mut self,
        terms: &Terms,
        decode: impl Fn(Incoming<'_>) -> DecodedMessage,
    ) -> Result<Option<Received>, ReadEnd> {
        let mut rest = self.kept.bytes();
        let message = self.decoder.next(&mut rest, &terms.limits).map_err(ReadEnd::Broken)?;
        let (received, left) = (message.map(|message| received(message, decode)), rest.len());
        self.kept.leave(left);
        Ok(received)
    }

    /// Reads until a message is complete, and keeps what came behind it.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        terms: &Terms,
        decode: impl Fn(Incoming<'_>) -> DecodedMessage,
    ) -> Poll<Result<Received, ReadEnd>> {
        loop {
            let filled = ready!(self.poll_fill(cx, space, terms))?;
            let mut rest = &mut space[..filled];
            let message = self.decoder.next(&mut rest, &terms.limits).map_err(ReadEnd::Broken)?;
            self.kept = Kept::of(rest);
            if let Some(message) = message {
                return Poll::Ready(Ok(received(message, decode)));
            }
        }
    }

    /// Reads once, behind what is kept, which never is more than the beginning of a frame here. How many bytes that makes.
    fn poll_fill(&mut self, cx: &mut Context<'_>, space: &mut [u8], terms: &Terms) -> Poll<Result<usize, ReadEnd>> {
        let kept = self.kept.bytes();
        let (front, back) = space.split_at_mut(kept.len());
        front.copy_from_slice(kept);
        let mut buffer = ReadBuf::new(back);
        let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
        let read = buffer.filled().len();
        if result.is_err() || read == 0 {
            return Poll::Ready(Err(ReadEnd::Vanished));
        }
        self.activity.arrived(terms.clock.now());
        terms.received_bytes.inc_by(read as u64);
        Poll::Ready(Ok(front.len() + read))
    }

    /// Reads on to the end of the stream and throws everything away, so that the kernel has no unread bytes which
    /// would make it reset the connection before the peer has read our Close frame.
    pub(crate) async fn discard_rest(&mut self) {
        std::future::poll_fn(|cx| space::with(|space| self.poll_discard(cx, space))).await;
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<()> {
        loop {
            let mut buffer = ReadBuf::new(space);
            let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            if result.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

fn received(message: Message<'_>, decode: impl Fn(Incoming<'_>) -> DecodedMessage) -> Received {
    match message {
        Message::Text(text) => Received::Message(decode(Incoming::Text(&text))),
        Message::Binary(bytes) => Received::Message(decode(Incoming::Binary(&bytes))),
        Message::Ping(payload) => Received::Ping { pong: frame::frame(Opcode::Pong, payload) },
        Message::Pong => Received::Pong,
        Message::Close(code) => Received::Close(code),
    }
}
