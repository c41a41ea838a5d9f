//! From an HTTP request to a session.

mod head;
mod peer;
mod refusals;
mod unheard;

pub(crate) use unheard::Unheard;

use crate::{
    accept::Seat,
    addresses::Addresses,
    auth::{Credentials, Entrance, SeveralTokens},
    memory::Shortage,
    metrics::{Metrics, UpgradeResult},
    origins::Origins,
    proxies::{ForwardedHeader, TrustedProxies},
    readiness::Readiness,
    session::{Sessions, Upgraded},
    tls::{Terminator, Unsecured, begins_tls},
    user_header::UserHeader,
    websocket,
};
use fanwire_hub::{Tcp, Tls, Transport};
use fanwire_protocol::{Agreement, Compression, ConnectionId, Dialect, UserId};
use head::Begun;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::{
    body::{Body as HttpBody, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use peer::Peer;
use refusals::{
    Refused, busy, foreign, invalid_user, malformed, no_place, refused_token, short, status, too_much, unauthorized,
};
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
use unheard::Turn;
use zeroize::Zeroizing;

type Body = Full<bytes::Bytes>;

/// What all upgrades of a node share.
pub(crate) struct Upgrades {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metrics: Metrics,
    pub(crate) proxies: TrustedProxies,
    /// Where they tell for whom they ask.
    pub(crate) forwarded_header: ForwardedHeader,
    /// Whether their connections begin with the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Where trusted proxies tell who the user is.
    pub(crate) user_header: Option<UserHeader>,
    pub(crate) origins: Origins,
    pub(crate) addresses: Addresses,
    /// The longest head of a request, in bytes.
    pub(crate) head_limit: usize,
    /// How many headers it may have.
    pub(crate) header_limit: usize,
    pub(crate) readiness: Readiness,
    /// Whether memory is short.
    pub(crate) shortage: Shortage,
    pub(crate) handshake_timeout: Duration,
    /// Connections that are waited for.
    pub(crate) unheard: Arc<Unheard>,
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

/// A connection that is let in.
struct Admitted {
    id: ConnectionId,
    dialect: Dialect,
    compression: Compression,
    entrance: Entrance,
    client: IpAddr,
    seat: Seat,
}

/// An upgrade that was granted.
struct Granted {
    admitted: Admitted,
    /// Makes a drain wait for the session to come.
    token: TaskTrackerToken,
}

/// What a request asks for, where that may be had by whoever is who they say.
struct Asked {
    /// The response, should it be granted.
    response: Response<Body>,
    dialect: Dialect,
    compression: Compression,
    token: Option<Zeroizing<String>>,
    /// The user, where a trusted proxy tells it.
    user: Option<UserId>,
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
        let Ok(mut stream) = TcpStream::from_std(stream) else { return };
        let mut turn = self.unheard.enter(deadline);
        let Some(peer) = self.peer_in(&mut turn, &mut stream, peer, deadline).await else { return };
        match turn.wait(begins_tls(&stream)).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::debug!(client = %peer.canonical(), "TLS on a port without it");
                return self.note(UpgradeResult::Malformed, peer.canonical());
            }
            Err(result) => return self.note(result, peer.canonical()),
        }
        if let Some((granted, stream, read)) = self.upgrade(stream, peer, seat, turn).await {
            let socket = Tcp::new(stream);
            self.begin(granted, read, &place, socket.reader(), socket);
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
        let Ok(mut stream) = TcpStream::from_std(stream) else { return };
        let mut turn = self.unheard.enter(deadline);
        let Some(peer) = self.peer_in(&mut turn, &mut stream, peer, deadline).await else { return };
        let secured = match turn.wait(tls.handshake(stream, peer.canonical(), deadline)).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(Unsecured)) => return,
            Err(result) => return self.note(result, peer.canonical()),
        };
        if let Some((granted, secured, read)) = self.upgrade(secured, peer.secured(), seat, turn).await {
            let (stream, connection) = secured.into_inner();
            let Ok(stream) = moved(stream, &place.runtime) else { return };
            let socket = Tls::new(stream, connection);
            self.begin(granted, read, &place, socket.reader(), socket);
        }
    }

    /// Who is at the other end, unless that takes too long or has to make way for others.
    async fn peer_in(&self, turn: &mut Turn, stream: &mut TcpStream, peer: IpAddr, deadline: Instant) -> Option<Peer> {
        // Boxed, for it is large: hardly any connection waits here.
        let heard = turn.wait(Box::pin(self.peer(stream, peer, deadline))).await;
        heard.unwrap_or_else(|result| {
            self.note(result, peer.to_canonical());
            None
        })
    }

    /// Begins a session, in a task of its own, so that it does not keep the memory of the handshake.
    fn begin<R>(&self, granted: Granted, read: Vec<u8>, place: &Place, reader: R, transport: Arc<dyn Transport>)
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let Granted { admitted: Admitted { id, dialect, compression, entrance, client, seat }, token } = granted;
        let upgraded =
            Upgraded { id, dialect, compression, entrance, client, reader, transport, read, shard: place.shard, seat };
        self.tracker.spawn_on(Arc::clone(&self.sessions).serve(upgraded), &place.runtime);
        drop(token);
    }

    /// What is granted to whoever asks on `socket`, the socket, and what was read of it behind the request.
    async fn upgrade<S>(&self, socket: S, peer: Peer, seat: Seat, mut turn: Turn) -> Option<(Granted, S, Vec<u8>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = turn.wait(Begun::wait(socket, self.head_limit)).await;
        let begun = begun.map_err(|result| self.note(result, peer.canonical())).ok()?;
        let deadline = turn.heard();
        // Boxed, for it is large, and most of the time of most connections is before it.
        let Ok(waiting) = timeout_at(deadline, Box::pin(self.answer(begun, peer, seat))).await else {
            self.note(UpgradeResult::TimedOut, peer.canonical());
            return None;
        };
        let Waiting { granted, socket } = waiting?;
        let socket = socket.await.ok().and_then(|upgraded| upgraded.downcast::<TokioIo<Begun<S>>>().ok());
        let result = if socket.is_some() { UpgradeResult::Accepted } else { UpgradeResult::Failed };
        self.note(result, granted.admitted.client);
        let parts = socket?;
        let (socket, unread) = parts.io.into_inner().into_parts();
        // Copied, for the buffer is large and would live as long as the connection.
        Some((granted, socket, [&parts.read_buf, unread.as_slice()].concat()))
    }

    /// Counts an outcome, and tells it where it is no connection.
    fn note(&self, result: UpgradeResult, client: IpAddr) {
        self.metrics.upgraded(result);
        if result != UpgradeResult::Accepted {
            tracing::debug!(%client, result = result.label(), "not upgraded");
        }
    }

    /// Answers the socket's one request.
    async fn answer<S>(&self, socket: S, peer: Peer, seat: Seat) -> Option<Waiting>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A refused client keeps its seat until its socket has ended, for sockets are what seats bound.
        let (answered, seat) = (Mutex::new(None), Mutex::new(Some(seat)));
        let service = service_fn(async |request| {
            let (response, waiting) = self.consider(request, peer, &seat).await;
            *lock(&answered) = Some(waiting);
            Ok::<_, Infallible>(response)
        });
        let served = http1::Builder::new()
            .max_buf_size(self.head_limit)
            .max_headers(self.header_limit)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
            .await;
        let answered = lock(&answered).take();
        if let (Err(error), None) = (served, &answered) {
            let too_large = error.is_parse_too_large();
            let result = if too_large { UpgradeResult::HeadTooLarge } else { UpgradeResult::Malformed };
            self.note(result, peer.canonical());
        }
        answered.flatten()
    }

    /// Decides about a request: the response, and what is granted.
    async fn consider(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        seat: &Mutex<Option<Seat>>,
    ) -> (Response<Body>, Option<Waiting>) {
        let client = self.client(peer, request.headers());
        let (result, response) = match self.grant(&mut request, peer, client, seat).await {
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

    async fn grant<B: HttpBody>(
        &self,
        request: &mut Request<B>,
        peer: Peer,
        client: IpAddr,
        seat: &Mutex<Option<Seat>>,
    ) -> Result<(Response<Body>, Granted), Box<Refused>> {
        // Taken before the drain is asked for: so that either it waits for this upgrade, or the upgrade is refused.
        let token = self.tracker.token();
        self.addresses.ask(client).map_err(too_much)?;
        let Asked { mut response, dialect, compression, token: credential, user } = self.asked(request, peer)?;
        let id = self.sessions.next_id();
        let entrance = self.entrance(id, dialect, credential, user).await?;
        let address = self.addresses.place(client).map_err(too_much)?;
        let Some(mut seat) = lock(seat).take_if(|seat| seat.within_limit) else {
            return Err(busy(UpgradeResult::ConnectionLimit, "this node has as many connections as it may"));
        };
        seat.address = address;
        if let Some(subprotocol) = dialect.subprotocol() {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok((response, Granted { admitted: Admitted { id, dialect, compression, entrance, client, seat }, token }))
    }

    /// What can be told of a request without knowing whose it is.
    fn asked<B: HttpBody>(&self, request: &mut Request<B>, peer: Peer) -> Result<Asked, Box<Refused>> {
        if self.tracker.is_closed() {
            return Err(busy(UpgradeResult::Draining, "this node is going away"));
        }
        // A node that comes into a running cluster and can't reach its broker would otherwise get every new client
        // from a load balancer that looks for the fewest connections. One that has lost its link keeps accepting.
        // And one that can't say yet where the broadcasts stand would leave a client without a place to resume at.
        if self.readiness.is_starting() {
            return Err(busy(UpgradeResult::Starting, "this node is still starting"));
        }
        if self.shortage.is_there() {
            return Err(short());
        }
        let mut response =
            websocket::handshake(request).map_err(|response| Box::new((UpgradeResult::Malformed, *response)))?;
        if !request.body().is_end_stream() {
            // Its bytes could not be told from the first frames.
            return Err(malformed("a WebSocket handshake has no body"));
        }
        let scheme = self.scheme(request.headers(), peer);
        self.origins.check(scheme, request.uri(), request.headers()).map_err(foreign)?;
        let query = self.sessions.auth.as_ref().is_some_and(|auth| auth.query);
        let credentials = Credentials::of(request.uri(), request.headers(), query);
        let Credentials { token, subprotocols } =
            credentials.map_err(|SeveralTokens| malformed("more than one token, and no telling which one counts"))?;
        let dialect = self.dialect(request.uri(), &subprotocols)?;
        let mut compression = Compression::Never;
        if let Some(agreement) = self.agreement(dialect, request.headers())?
            && let Ok(value) = HeaderValue::try_from(agreement.to_string())
        {
            compression = agreement.compression();
            response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, value);
        }
        let user = self.user(peer, request.headers())?;
        Ok(Asked { response, dialect, compression, token, user })
    }

    /// How whoever has sent `token` enters, or `user` of whom a proxy has told.
    async fn entrance(
        &self,
        id: ConnectionId,
        dialect: Dialect,
        token: Option<Zeroizing<String>>,
        user: Option<UserId>,
    ) -> Result<Entrance, Box<Refused>> {
        match (&self.sessions.auth, token) {
            (None, _) => {
                let Some(user) = user else { return Ok(Entrance::Admitted(None)) };
                let told = self.sessions.told(user, id).await.map_err(no_place)?;
                Ok(Entrance::Admitted(Some(Box::new(told))))
            }
            (Some(auth), Some(token)) => {
                let grant = auth.verify(&token, &self.sessions.users, &self.metrics).await;
                let grant = grant.map_err(|invalid| refused_token(&invalid))?;
                let bearer = self.sessions.bearer(grant, id).await.map_err(no_place)?;
                Ok(Entrance::Admitted(Some(Box::new(bearer))))
            }
            (Some(auth), None) if auth.anonymous => Ok(Entrance::Admitted(None)),
            (Some(_), None) if dialect.can_authenticate() => Ok(Entrance::Waiting),
            (Some(_), None) => Err(unauthorized("a token is needed here")),
        }
    }

    /// The user that a trusted proxy tells. Where there are tokens they alone say it.
    fn user(&self, peer: Peer, headers: &HeaderMap) -> Result<Option<UserId>, Box<Refused>> {
        let is_believed = || self.sessions.auth.is_none() && self.believes(peer);
        let Some(header) = self.user_header.as_ref().filter(|_| is_believed()) else { return Ok(None) };
        header.user(headers).map_err(|invalid| invalid_user(&invalid))
    }

    /// What is agreed on of the extensions that are offered.
    fn agreement(&self, dialect: Dialect, headers: &HeaderMap) -> Result<Option<Agreement>, Box<Refused>> {
        let lines = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let offered = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>().join(", ");
        self.sessions.dialects.agree(dialect, &offered).map_err(|error| malformed(&error.to_string()))
    }

    fn dialect(&self, uri: &Uri, subprotocols: &str) -> Result<Dialect, Box<Refused>> {
        self.sessions.dialects.choose(uri.path(), uri.query(), Some(subprotocols)).map_err(|error| {
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves what arrives on `socket` up to the upgrade, and tells whether there was one. For fuzzers, which have no TCP.
#[cfg(any(test, fuzzing))]
pub(crate) async fn is_upgraded(upgrades: &Upgrades, socket: tokio::io::DuplexStream, seat: Seat) -> bool {
    let peer = Peer::of(std::net::Ipv4Addr::LOCALHOST.into());
    let deadline = Instant::now() + upgrades.handshake_timeout;
    upgrades.upgrade(socket, peer, seat, upgrades.unheard.enter(deadline)).await.is_some()
}

#[cfg(test)]
mod tests;
