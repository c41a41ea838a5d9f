//! The way from a URL to the node's welcome.

use crate::{
    Closed, Error, Options, Welcome, connection,
    stream::Heard,
    tls,
    wire::{self, Incoming},
};
use futures_util::StreamExt;
use std::{io, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder,
        client::IntoClientRequest,
        error::ProtocolError,
        http::{
            Response, Uri,
            header::{AUTHORIZATION, RETRY_AFTER},
        },
        protocol::WebSocketConfig,
    },
};
use tokio_util::either::Either;

/// A WebSocket to a node.
pub(crate) type Socket = WebSocketStream<Heard<Either<TcpStream, TlsStream<TcpStream>>>>;

/// As much as is told of a refused upgrade's body.
const LONGEST_BODY: usize = 1000;

/// tungstenite's own 128 KiB are allocated at once and cleared before every read.
const READ_BUFFER: usize = 16 * 1024;

/// The longest message, in bytes. A node doesn't split one into frames, for which tungstenite's own bound is less.
const LONGEST_MESSAGE: usize = 64 * 1024 * 1024;

/// The longest time that a node's `Retry-After` is believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The ports of the schemes `ws` and `wss` (RFC 6455, section 3).
const PLAIN_PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// Connects to `url` and waits for the node's welcome, without a time limit.
pub(crate) async fn connect(url: &str, options: &Options) -> Result<(Socket, Welcome), Error> {
    let shown = without_login(url);
    let wrong = |reason: String| Error::Url { url: shown.clone(), reason };
    let uri: Uri = url.parse().map_err(|error| wrong(format!("{error}")))?;
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(wrong("it begins neither with ws:// nor with wss://".to_owned())),
    };
    // They would go unused, and the connection would be another than was meant.
    if !secure && !options.tls.is_empty() {
        return Err(wrong("certificates are for wss://".to_owned()));
    }
    // It would go unused, and errors and logs would tell it.
    if shown != url {
        return Err(wrong("a login in the URL is not supported".to_owned()));
    }
    let host = uri.host().unwrap_or_default().to_owned();
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(if secure { TLS_PORT } else { PLAIN_PORT }));
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(options.encoding.subprotocol());
    let request = match &options.token {
        Some(token) => request.with_header(AUTHORIZATION.as_str(), format!("Bearer {}", token.expose())),
        None => request,
    };
    let request = request.into_client_request().map_err(|error| refused(url, error))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    let stream = tcp(&address).await.map_err(|error| refused(url, error.into()))?;
    let stream = match secure {
        true => {
            let secured = tls::secure(stream, &host, &options.tls).await;
            Either::Right(secured.map_err(|reason| Error::Unreachable { url: url.to_owned(), reason })?)
        }
        false => Either::Left(stream),
    };
    let connecting = client_async_with_config(request, Heard::new(stream), Some(config));
    let (mut socket, _) = connecting.await.map_err(|error| refused(url, error))?;
    let welcome = welcome(&mut socket).await?;
    Ok((socket, welcome))
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `url` with everything hidden that stands before a host, for it may be a password.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("***@{host}"),
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => url.to_owned(),
    }
}

async fn welcome(socket: &mut Socket) -> Result<Welcome, Error> {
    loop {
        let message = connection::received(socket.next().await)?;
        match wire::decode(&message)? {
            Incoming::Welcome(welcome) => return Ok(welcome),
            Incoming::Other => {}
            early => return Err(Error::NotUnderstood(format!("{early:?} before the welcome"))),
        }
    }
}

fn refused(url: &str, error: tungstenite::Error) -> Error {
    use tungstenite::Error as Cause;
    let url = url.to_owned();
    match error {
        Cause::Http(response) => http(&response),
        Cause::Url(error) => Error::Url { url, reason: error.to_string() },
        Cause::HttpFormat(error) => Error::Url { url, reason: error.to_string() },
        Cause::Io(error) => Error::Unreachable { url, reason: error.to_string() },
        // It went away in the middle, which says nothing of what it speaks.
        Cause::Protocol(error @ (ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake)) => {
            Closed::abrupt(error).into()
        }
        Cause::Protocol(error) => Error::NotUnderstood(error.to_string()),
        other => Closed::abrupt(other).into(),
    }
}

fn http(response: &Response<Option<Vec<u8>>>) -> Error {
    let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
    let body = body.trim().chars().take(LONGEST_BODY).collect();
    Error::Http { status: response.status().as_u16(), body, retry_after: retry_after(response) }
}

/// The header `Retry-After`, if it is a number of seconds (RFC 9110, section 10.2.3).
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_up_to_an_hour() {
        for (header, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("86400", Some(3600)),
            ("-1", None),
            ("1.5", None),
            ("99999999999999999999", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let response = Response::builder().header(RETRY_AFTER, header).body(()).unwrap();
            assert_eq!(retry_after(&response), expected.map(Duration::from_secs), "{header:?}");
        }
        assert_eq!(retry_after(&Response::new(())), None);
    }
}
