//! From a request to its answer.

use crate::{FetchError, ServiceUrl};
use bytes::Bytes;
use fanwire_tls::{ClientFiles, InvalidTls, reason::Hints};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::time::Duration;
use tokio::time::timeout;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 100;

/// How many connections without a request are kept for the next, and for how long.
const IDLE: usize = 2;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// What a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From its begin to the last byte of the answer.
    pub time: Duration,
    /// The longest body of an answer, in bytes.
    pub answer: usize,
}

/// Makes requests. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    bounds: Bounds,
    hints: Hints,
}

impl Client {
    /// One that trusts and shows what is in `tls`; `hints` says what the settings are called. Reads the files, and blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with a file.
    pub fn load(tls: &ClientFiles, hints: Hints, bounds: Bounds) -> Result<Self, InvalidTls> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(bounds.time));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(IDLE_FOR)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Ok(Self { inner, bounds, hints })
    }

    /// The body at `url`, of which `accept` is wanted.
    ///
    /// # Errors
    ///
    /// Why there is none; every answer but 200 counts as that.
    pub async fn get(&self, url: &ServiceUrl, accept: &'static str) -> Result<Bytes, FetchError> {
        let request = url.request().method(Method::GET).header(header::ACCEPT, accept);
        let request = request.body(Full::default()).map_err(|error| FetchError::Broken(error.to_string()))?;
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status if status.is_redirection() => Err(FetchError::Redirect(status.as_u16())),
            status => Err(FetchError::Status(status.as_u16())),
        }
    }

    /// The answer to `request`, whatever its status; made by [`ServiceUrl::request`].
    ///
    /// # Errors
    ///
    /// Why there is none within the bounds.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
        let answered = timeout(self.bounds.time, self.answer(request)).await;
        answered.unwrap_or(Err(FetchError::TimedOut(self.bounds.time)))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
        let answer = self.inner.request(request).await.map_err(|error| FetchError::of(&error, &self.hints))?;
        let (head, body) = answer.into_parts();
        let limited = Limited::new(body, self.bounds.answer).collect().await;
        let body = limited.map_err(|error| match error.is::<LengthLimitError>() {
            true => FetchError::TooLarge(self.bounds.answer),
            false => FetchError::Broken(error.to_string()),
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const HINTS: Hints = Hints { ca: "ca names", cert: "cert names", plain: "http://" };

    /// What a client says of a server that answers `answer` and then holds its tongue.
    async fn outcome(answer: &'static [u8], bounds: Bounds) -> Result<Bytes, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = ServiceUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            socket.write_all(answer).await.unwrap();
            // To the client's end, or its giving up.
            while socket.read(&mut request).await.is_ok_and(|read| read > 0) {}
        });
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ca.pem");
        let files = ClientFiles { ca: Some(ca.into()), ..ClientFiles::default() };
        let client = Client::load(&files, HINTS, bounds).unwrap();
        let outcome = client.get(&url, "text/plain").await;
        drop(client);
        server.await.unwrap();
        outcome
    }

    const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), answer: 5 };

    #[tokio::test]
    async fn an_answer_is_taken_up_to_its_bound() {
        let answer = outcome(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", BOUNDS).await;
        assert_eq!(answer, Ok(Bytes::from_static(b"hello")));
        for long in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n",
        ] {
            assert_eq!(outcome(long, BOUNDS).await, Err(FetchError::TooLarge(5)));
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        for (answer, expected) in [
            (&b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"[..], "redirect"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status"),
            (b"+PONG\r\n", "broken"),
        ] {
            assert_eq!(outcome(answer, BOUNDS).await.unwrap_err().label(), expected);
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_is_given_up() {
        let bounds = Bounds { time: Duration::from_millis(50), ..BOUNDS };
        for answer in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
            assert_eq!(outcome(answer, bounds).await, Err(FetchError::TimedOut(bounds.time)));
        }
    }

    #[test]
    fn every_error_has_a_label() {
        let all = [
            FetchError::Unreachable(String::new()),
            FetchError::TimedOut(Duration::ZERO),
            FetchError::Broken(String::new()),
            FetchError::TooLarge(0),
            FetchError::Redirect(301),
            FetchError::Status(500),
        ];
        assert_eq!(all.each_ref().map(FetchError::label), FetchError::LABELS);
    }
}
