//! The internal HTTP port: metrics and health.

use crate::{
    metrics::Metrics,
    readiness::Readiness,
    tls::{Terminator, TlsListener},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{FutureExt, future::BoxFuture};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde_json::json;
use std::{io, net::TcpListener, sync::Arc, time::Duration};

/// What the internal port shows.
#[derive(Clone)]
pub(crate) struct Internal {
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
}

const METRICS: &str = "/metrics";
const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// The routes of the internal port.
pub(crate) fn router(internal: Internal) -> Router {
    Router::new()
        .route("/", get(index))
        .route(METRICS, get(metrics))
        .route(LIVE, get(live))
        .route(READY, get(ready))
        .fallback(unknown)
        .with_state(internal)
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
    Ok(match tls {
        None => axum::serve(listener, router).into_future().map(drop).boxed(),
        Some(tls) => axum::serve(TlsListener::new(listener, tls, timeout), router).into_future().map(drop).boxed(),
    })
}

async fn index() -> String {
    format!("{METRICS}\n{LIVE}\n{READY}\n")
}

async fn unknown() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("not here: this port has {METRICS}, {LIVE} and {READY}\n"))
}

async fn metrics(State(internal): State<Internal>) -> Response {
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
