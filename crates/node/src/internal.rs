//! The internal HTTP port: metrics, health, and the API.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `access` | who may use it for more than metrics and health |
//! | `api` | what backends and operators tell the cluster to do |
//! | `problem` | what went wrong |

mod access;
mod api;
mod problem;

use crate::{
    metrics::Metrics,
    origins::Scheme,
    readiness::Readiness,
    tls::{Terminator, TlsListener},
    users::Users,
};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State, connect_info::Connected},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::IncomingStream,
};
use fanwire_auth::ApiKeys;
use fanwire_broker::{Broker, Retention};
use futures_util::{FutureExt, future::BoxFuture};
use problem::Problem;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde_json::json;
use std::{
    io,
    net::{IpAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

/// What the internal port shows.
#[derive(Clone)]
pub(crate) struct Internal {
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) broker: Arc<dyn Broker>,
    /// How long nodes that are cut off can still learn what they are told.
    pub(crate) kept: Retention,
    pub(crate) users: Users,
    pub(crate) keys: ApiKeys,
    /// By which scheme the port is asked.
    pub(crate) scheme: Scheme,
}

const METRICS: &str = "/metrics";
const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";
const DISCONNECT: &str = "/api/disconnect";

/// The longest body of a request, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

/// The routes of the internal port.
pub(crate) fn router(internal: Internal) -> Router {
    let guarded = Router::new()
        .route("/", get(index))
        .route(DISCONNECT, post(api::disconnect))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(internal.clone(), guard));
    let open = Router::new().route(METRICS, get(metrics)).route(LIVE, get(live)).route(READY, get(ready));
    open.merge(guarded).with_state(internal)
}

/// Lets through who may use more than metrics and health.
async fn guard(
    State(internal): State<Internal>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let response = match access::check(&internal.keys, internal.scheme, peer, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => Problem::new(denied.status(), denied.detail()).into_response(),
    };
    internal.metrics.api_answered(response.status());
    response
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "there is another method for this path")
}

/// Serves `router` on `listener` for ever, with `tls` or without; a handshake may take `timeout`.
pub(crate) fn serve(
    listener: TcpListener,
    tls: Option<Arc<Terminator>>,
    timeout: Duration,
    router: Router,
) -> io::Result<BoxFuture<'static, ()>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = router.into_make_service_with_connect_info::<Peer>();
    Ok(match tls {
        None => axum::serve(listener, service).into_future().map(drop).boxed(),
        Some(tls) => axum::serve(TlsListener::new(listener, tls, timeout), service).into_future().map(drop).boxed(),
    })
}

async fn index() -> String {
    format!("{METRICS}\n{LIVE}\n{READY}\n{DISCONNECT}\n")
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("not here: this port has {METRICS}, {LIVE}, {READY} and {DISCONNECT}"))
}

async fn metrics(State(internal): State<Internal>) -> Response {
    internal.metrics.revoked.set(i64::try_from(internal.users.count_revoked()).unwrap_or(i64::MAX));
    internal.metrics.ready.set(i64::from(internal.readiness.check().is_ok()));
    match TextEncoder::new().encode_to_string(&internal.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn live() -> Json<serde_json::Value> {
    Json(json!({ "live": true }))
}

async fn ready(State(internal): State<Internal>) -> Response {
    match internal.readiness.check() {
        Ok(()) => Json(json!({ "ready": true })).into_response(),
        Err(reason) => {
            let mut body = json!(reason);
            body["ready"] = json!(false);
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
