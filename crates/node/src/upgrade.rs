//! From an HTTP request to a session.

use crate::{
    accept::Seat,
    metrics::{Metrics, UpgradeResult},
    readiness::Readiness,
    session::{Sessions, Upgraded},
    websocket,
};
use fanwire_hub::{Tcp, transport::TcpReader};
use fanwire_protocol::Dialect;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Parts};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// When a refused client may try again, in seconds.
const RETRY_AFTER: &str = "1";

type Body = Full<bytes::Bytes>;
type Socket = TokioIo<tokio::net::TcpStream>;

/// What all upgrades of a node share.
pub(crate) struct Upgrades {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) handshake_timeout: Duration,
    /// All tasks that serve sessions.
    pub(crate) tracker: TaskTracker,
}

/// A request that was granted its upgrade, and is waiting for the socket.
struct Granted {
    dialect: Dialect,
    socket: hyper::upgrade::OnUpgrade,
    seat: Seat,
}

impl Upgrades {
    /// Serves an accepted socket: one request, and the session if it is upgraded. Runs on the thread of `shard`.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, shard: usize, seat: Seat) {
        // A task of its own for the session, so that it does not keep the memory of the handshake.
        if let Some((dialect, parts, seat)) = self.upgrade(stream, seat).await {
            let upgraded = upgraded(dialect, parts, shard, seat);
            self.tracker.spawn(Arc::clone(&self.sessions).serve(upgraded));
        }
    }

    async fn upgrade(&self, stream: TcpStream, seat: Seat) -> Option<(Dialect, Parts<Socket>, Seat)> {
        let granted = match timeout(self.handshake_timeout, self.answer(stream, seat)).await {
            Ok(granted) => granted?,
            Err(_) => {
                self.metrics.upgraded(UpgradeResult::TimedOut);
                return None;
            }
        };
        let upgraded = granted.socket.await.ok().and_then(|upgraded| upgraded.downcast().ok());
        self.metrics.upgraded(if upgraded.is_some() { UpgradeResult::Accepted } else { UpgradeResult::Failed });
        Some((granted.dialect, upgraded?, granted.seat))
    }

    /// Answers the socket's one request.
    async fn answer(&self, stream: TcpStream, seat: Seat) -> Option<Granted> {
        let socket = tokio::net::TcpStream::from_std(stream).ok()?;
        let (granted, seat) = (Mutex::new(None), Mutex::new(Some(seat)));
        let service = service_fn(|request| {
            let seat = lock(&seat).take();
            let (response, grant) = self.consider(request, seat);
            *lock(&granted) = grant;
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let served = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
            .await;
        if served.is_err() {
            self.metrics.upgraded(UpgradeResult::Malformed);
        }
        lock(&granted).take()
    }

    /// Decides about a request: the response, and what it grants.
    fn consider(&self, mut request: Request<Incoming>, seat: Option<Seat>) -> (Response<Body>, Option<Granted>) {
        let (result, response) = match self.grant(&request, seat) {
            Ok((dialect, response, seat)) => {
                let socket = hyper::upgrade::on(&mut request);
                return (response, Some(Granted { dialect, socket, seat }));
            }
            Err(refused) => *refused,
        };
        self.metrics.upgraded(result);
        let mut response = response.map(Body::from);
        // Not hyper's own setting, which would say it in the response to an upgrade too.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        (response, None)
    }

    fn grant<B>(
        &self,
        request: &Request<B>,
        seat: Option<Seat>,
    ) -> Result<(Dialect, Response<Body>, Seat), Box<Refused>> {
        if self.readiness.is_draining() {
            return Err(busy(UpgradeResult::Draining, "this node is going away"));
        }
        let mut response =
            websocket::handshake(request).map_err(|response| Box::new((UpgradeResult::Malformed, *response)))?;
        let dialect = self.dialect(request)?;
        let Some(seat) = seat.filter(|seat| seat.within_limit) else {
            return Err(busy(UpgradeResult::ConnectionLimit, "this node has as many connections as it may"));
        };
        if let Some(subprotocol) = dialect.subprotocol() {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok((dialect, response, seat))
    }

    fn dialect<B>(&self, request: &Request<B>) -> Result<Dialect, Box<Refused>> {
        let lines = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let offered: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let uri = request.uri();
        self.sessions.dialects.choose(uri.path(), uri.query(), Some(&offered.join(","))).map_err(|error| {
            Box::new((UpgradeResult::UnknownSubprotocol, status(StatusCode::BAD_REQUEST, error.to_string())))
        })
    }
}

fn upgraded(dialect: Dialect, parts: Parts<Socket>, shard: usize, seat: Seat) -> Upgraded<TcpReader> {
    let socket = Tcp::new(parts.io.into_inner());
    // The buffer is copied, for its allocation is large and would live as long as the connection.
    let read = parts.read_buf.to_vec();
    Upgraded { dialect, reader: socket.reader(), transport: socket, read, shard, seat }
}

type Refused = (UpgradeResult, Response<String>);

fn busy(result: UpgradeResult, text: &str) -> Box<Refused> {
    let mut response = status(StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    Box::new((result, response))
}

fn status(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text + "\n");
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
