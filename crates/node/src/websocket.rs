//! The handshake and the read side of WebSockets, by tungstenite, which is named nowhere else.
//!
//! What goes out on a socket is written by its shard. tungstenite, which would answer pings and closes itself, writes
//! into the void here.

use crate::pace::{Bucket, Rate};
use bytes::Bytes;
use fanwire_hub::{Activity, Clock};
use fanwire_protocol::CloseReason;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prometheus::IntCounter;
use std::{
    io::{self, ErrorKind, Read, Write},
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use tungstenite::{
    Error, Message, Utf8Bytes,
    error::ProtocolError,
    handshake::server::create_response_with_body,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

/// The read buffer of a connection, in bytes. It is allocated for as long as the connection lives, and filled with
/// zeros before each read; so it is small, and a longer message takes more reads.
const READ_BUFFER: usize = 1024;

/// The 101 response to a request to upgrade (RFC 6455, section 4.2), or the refusal.
pub(crate) fn handshake<B, T: Default>(request: &mut http::Request<B>) -> Result<Response<T>, Box<Response<String>>> {
    join_lines(request.headers_mut(), header::CONNECTION);
    create_response_with_body(request, T::default).map_err(|error| Box::new(refusal(&error)))
}

/// Makes the lines of a list one (RFC 9110, section 5.3), for tungstenite looks at the first alone.
fn join_lines(headers: &mut HeaderMap, name: HeaderName) {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..]))
    {
        headers.insert(name, joined);
    }
}

fn refusal(error: &Error) -> Response<String> {
    let (status, text) = match error {
        Error::Protocol(ProtocolError::WrongHttpMethod) => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET can be upgraded to a WebSocket".to_owned())
        }
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => (StatusCode::UPGRADE_REQUIRED, format!("this port speaks WebSocket (RFC 6455, version 13): {error}")),
        other => (StatusCode::BAD_REQUEST, format!("not a WebSocket handshake: {other}")),
    };
    let mut response = Response::new(text + "\n");
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// What arrived.
#[derive(Debug)]
pub(crate) enum Received {
    /// A complete text message.
    Text(Utf8Bytes),
    /// A complete binary message.
    Binary(Bytes),
    /// A ping with its payload.
    Ping(Bytes),
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
    Broken(CloseReason),
}

/// The read side of one connection.
pub(crate) struct Reader<R> {
    socket: R,
    context: WebSocketContext,
    activity: Arc<Activity>,
    clock: Clock,
    received_bytes: IntCounter,
    /// How fast bytes may come, and what is left of that. Boxed, for most nodes have no such limit.
    pace: Option<Box<(Rate, Bucket)>>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads messages of at most `limit` bytes from `socket`, of which `read` was read already, no faster than `rate`.
    /// Every arrival is noted in `activity`.
    pub(crate) fn new(
        socket: R,
        read: &[u8],
        limit: usize,
        activity: Arc<Activity>,
        clock: Clock,
        received_bytes: IntCounter,
        rate: Option<Rate>,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let context = WebSocketContext::from_partially_read(read.to_vec(), Role::Server, Some(config));
        let pace = rate.map(|rate| Box::new((rate, Bucket::default())));
        Self { socket, context, activity, clock, received_bytes, pace }
    }

    /// The next message. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Received, ReadEnd> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReadEnd>> {
        let mut stream = ReadOnly { socket: &mut self.socket, cx, read: 0 };
        let result = self.context.read(&mut stream);
        if stream.read > 0 {
            let (now, read) = (self.clock.now(), stream.read);
            self.activity.arrived(now);
            self.received_bytes.inc_by(read);
            if self.pace.as_mut().is_some_and(|pace| !pace.1.take(pace.0, read, now)) {
                return Poll::Ready(Err(ReadEnd::Broken(CloseReason::TooFast)));
            }
        }
        match result {
            Ok(message) => Poll::Ready(received(message)),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(read_end(&error))),
        }
    }

    /// Reads on to the end of the stream and throws everything away, so that the kernel has no unread bytes which
    /// would make it reset the connection before the peer has read our Close frame.
    pub(crate) async fn discard_rest(&mut self) {
        std::future::poll_fn(|cx| self.poll_discard(cx)).await;
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut space = [MaybeUninit::uninit(); READ_BUFFER];
            let mut buffer = ReadBuf::uninit(&mut space);
            let result = ready!(pin!(&mut self.socket).poll_read(cx, &mut buffer));
            if result.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

fn received(message: Message) -> Result<Received, ReadEnd> {
    match message {
        Message::Text(text) => Ok(Received::Text(text)),
        Message::Binary(bytes) => Ok(Received::Binary(bytes)),
        Message::Ping(payload) => Ok(Received::Ping(payload)),
        Message::Pong(_) => Ok(Received::Pong),
        Message::Close(frame) => Ok(Received::Close(frame.map(|frame| frame.code.into()))),
        // tungstenite gives raw frames only to those who write them.
        Message::Frame(_) => Err(ReadEnd::Broken(CloseReason::Internal)),
    }
}

fn read_end(error: &Error) -> ReadEnd {
    match error {
        Error::Capacity(_) => ReadEnd::Broken(CloseReason::MessageTooBig),
        Error::Utf8(_) => ReadEnd::Broken(CloseReason::InvalidUtf8),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ReadEnd::Vanished,
        _ => ReadEnd::Broken(CloseReason::ProtocolError),
    }
}

/// A socket as tungstenite wants it for one poll: reads that would block are pending, writes vanish.
struct ReadOnly<'a, 'b, R> {
    socket: &'a mut R,
    cx: &'a mut Context<'b>,
    read: u64,
}

impl<R: AsyncRead + Unpin> Read for ReadOnly<'_, '_, R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(space);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
        }
        self.read += buffer.filled().len() as u64;
        Ok(buffer.filled().len())
    }
}

impl<R> Write for ReadOnly<'_, '_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
