//! From an HTTP request to a session.

use crate::{
    accept::Seat,
    metrics::{Metrics, UpgradeResult},
    proxies::TrustedProxies,
    readiness::Readiness,
    session::{Sessions, Upgraded},
    tls::{Terminator, begins_tls},
    user_header::UserHeader,
    websocket,
};
use fanwire_hub::{Tcp, Tls, Transport};
use fanwire_protocol::{Dialect, UserId};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Body as HttpBody, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::Parts,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, timeout_at},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// When a refused client may try again, in seconds.
const RETRY_AFTER: &str = "1";

/// Where proxies say for whom they ask. No standard has it; all proxies do.
const FORWARDED_FOR: &str = "x-forwarded-for";

type Body = Full<bytes::Bytes>;

/// What all upgrades of a node share.
pub(crate) struct Upgrades {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metrics: Metrics,
    pub(crate) proxies: TrustedProxies,
    /// Where trusted proxies tell who the user is.
    pub(crate) user_header: Option<UserHeader>,
    pub(crate) readiness: Readiness,
    pub(crate) handshake_timeout: Duration,
    /// All sessions, and the upgrades that were granted. Closed when the drain begins.
    pub(crate) tracker: TaskTracker,
}

/// Where a session will run.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The index of its shard.
    pub(crate) shard: usize,
    /// The shard's runtime.
    pub(crate) runtime: Handle,
}

/// An upgrade that was granted.
struct Granted {
    dialect: Dialect,
    client: IpAddr,
    user: Option<UserId>,
    seat: Seat,
    /// Makes a drain wait for the session to come.
    token: TaskTrackerToken,
}

/// A request that was granted its upgrade, and is waiting for the socket.
struct Waiting {
    granted: Granted,
    socket: hyper::upgrade::OnUpgrade,
}

impl Upgrades {
    /// Serves a socket that was accepted from `peer`: one request, and the session if it is upgraded. Runs where the
    /// session will.
    pub(crate) async fn serve(self: Arc<Self>, stream: std::net::TcpStream, peer: IpAddr, place: Place, seat: Seat) {
        let deadline = Instant::now() + self.handshake_timeout;
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        if timeout_at(deadline, begins_tls(&stream)).await == Ok(true) {
            tracing::debug!(client = %peer.to_canonical(), "TLS on a port without it");
            return self.note(UpgradeResult::Malformed, peer.to_canonical());
        }
        if let Some((granted, parts)) = self.upgrade(stream, peer, seat, deadline).await {
            let socket = Tcp::new(parts.io.into_inner());
            self.begin(granted, &parts.read_buf, &place, socket.reader(), socket);
        }
    }

    /// The same with TLS. Runs anywhere.
    pub(crate) async fn serve_secured(
        self: Arc<Self>,
        stream: std::net::TcpStream,
        tls: Arc<Terminator>,
        peer: IpAddr,
        place: Place,
        seat: Seat,
    ) {
        let deadline = Instant::now() + self.handshake_timeout;
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let Ok(secured) = tls.handshake(stream, peer.to_canonical(), deadline).await else { return };
        if let Some((granted, parts)) = self.upgrade(secured, peer, seat, deadline).await {
            let (stream, connection) = parts.io.into_inner().into_inner();
            let Ok(stream) = moved(stream, &place.runtime) else { return };
            let socket = Tls::new(stream, connection);
            self.begin(granted, &parts.read_buf, &place, socket.reader(), socket);
        }
    }

    /// Begins a session, in a task of its own, so that it does not keep the memory of the handshake.
    fn begin<R>(&self, granted: Granted, read: &[u8], place: &Place, reader: R, transport: Arc<dyn Transport>)
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let Granted { dialect, client, user, seat, token } = granted;
        // The buffer is copied, for its allocation is large and would live as long as the connection.
        let read = read.to_vec();
        let upgraded = Upgraded { dialect, client, user, reader, transport, read, shard: place.shard, seat };
        self.tracker.spawn_on(Arc::clone(&self.sessions).serve(upgraded), &place.runtime);
        drop(token);
    }

    async fn upgrade<S>(
        &self,
        socket: S,
        peer: IpAddr,
        seat: Seat,
        deadline: Instant,
    ) -> Option<(Granted, Parts<TokioIo<S>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let waiting = match timeout_at(deadline, self.answer(socket, peer, seat)).await {
            Ok(waiting) => waiting?,
            Err(_) => {
                self.note(UpgradeResult::TimedOut, peer.to_canonical());
                return None;
            }
        };
        let parts = waiting.socket.await.ok().and_then(|upgraded| upgraded.downcast().ok());
        let result = if parts.is_some() { UpgradeResult::Accepted } else { UpgradeResult::Failed };
        self.note(result, waiting.granted.client);
        Some((waiting.granted, parts?))
    }

    /// Counts an outcome, and tells it where it is no connection.
    fn note(&self, result: UpgradeResult, client: IpAddr) {
        self.metrics.upgraded(result);
        if result != UpgradeResult::Accepted {
            tracing::debug!(%client, result = result.label(), "not upgraded");
        }
    }

    /// Answers the socket's one request.
    async fn answer<S>(&self, socket: S, peer: IpAddr, seat: Seat) -> Option<Waiting>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A refused client keeps its seat until its socket has ended, for sockets are what seats bound.
        let (answered, seat) = (Mutex::new(None), Mutex::new(Some(seat)));
        let service = service_fn(|request| {
            let (response, waiting) = self.consider(request, peer, &mut lock(&seat));
            *lock(&answered) = Some(waiting);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let served = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
            .await;
        let answered = lock(&answered).take();
        if served.is_err() && answered.is_none() {
            self.note(UpgradeResult::Malformed, peer.to_canonical());
        }
        answered.flatten()
    }

    /// Decides about a request: the response, and what is granted.
    fn consider(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        seat: &mut Option<Seat>,
    ) -> (Response<Body>, Option<Waiting>) {
        let client = self.proxies.client(peer, request.headers().get_all(FORWARDED_FOR).iter());
        let (result, response) = match self.grant(&mut request, (peer, client), seat) {
            Ok((response, granted)) => {
                return (response, Some(Waiting { granted, socket: hyper::upgrade::on(&mut request) }));
            }
            Err(refused) => *refused,
        };
        self.note(result, client);
        let mut response = response.map(Body::from);
        // Not hyper's own setting, which would say it in the response to an upgrade too.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        (response, None)
    }

    fn grant<B: HttpBody>(
        &self,
        request: &mut Request<B>,
        (peer, client): (IpAddr, IpAddr),
        seat: &mut Option<Seat>,
    ) -> Result<(Response<Body>, Granted), Box<Refused>> {
        // Taken before the drain is asked for: so that either it waits for this upgrade, or the upgrade is refused.
        let token = self.tracker.token();
        if self.tracker.is_closed() {
            return Err(busy(UpgradeResult::Draining, "this node is going away"));
        }
        // A node that comes into a running cluster and can't reach its broker would otherwise get every new client
        // from a load balancer that looks for the fewest connections. One that has lost its link keeps accepting.
        // And one that can't say yet where the broadcasts stand would leave a client without a place to resume at.
        if self.readiness.is_starting() {
            return Err(busy(UpgradeResult::Starting, "this node is still starting"));
        }
        let mut response =
            websocket::handshake(request).map_err(|response| Box::new((UpgradeResult::Malformed, *response)))?;
        if !request.body().is_end_stream() {
            // Its bytes could not be told from the first frames.
            let text = "a WebSocket handshake has no body".to_owned();
            return Err(Box::new((UpgradeResult::Malformed, status(StatusCode::BAD_REQUEST, text))));
        }
        let dialect = self.dialect(request)?;
        let user = self.user(peer, request.headers())?;
        let Some(seat) = seat.take_if(|seat| seat.within_limit) else {
            return Err(busy(UpgradeResult::ConnectionLimit, "this node has as many connections as it may"));
        };
        if let Some(subprotocol) = dialect.subprotocol() {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok((response, Granted { dialect, client, user, seat, token }))
    }

    /// The user that a trusted proxy tells.
    fn user(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<UserId>, Box<Refused>> {
        let Some(header) = self.user_header.as_ref().filter(|_| self.proxies.trusts(peer.to_canonical())) else {
            return Ok(None);
        };
        header.user(headers).map_err(|invalid| {
            Box::new((UpgradeResult::InvalidUser, status(StatusCode::BAD_REQUEST, invalid.to_string())))
        })
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

/// `stream` on another runtime.
fn moved(stream: TcpStream, runtime: &Handle) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _context = runtime.enter();
    TcpStream::from_std(stream)
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

/// Serves what arrives on `socket` up to the upgrade, and tells whether there was one. For fuzzers, which have no TCP.
#[cfg(any(test, fuzzing))]
pub(crate) async fn is_upgraded(upgrades: &Upgrades, socket: tokio::io::DuplexStream, seat: Seat) -> bool {
    let deadline = Instant::now() + upgrades.handshake_timeout;
    upgrades.upgrade(socket, std::net::Ipv4Addr::LOCALHOST.into(), seat, deadline).await.is_some()
}

#[cfg(test)]
mod tests;
