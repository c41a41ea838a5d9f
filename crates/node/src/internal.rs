//! The internal HTTP port: metrics and health.

use crate::{metrics::Metrics, readiness::Readiness};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde_json::json;

/// What the internal port shows.
#[derive(Clone)]
pub(crate) struct Internal {
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
}

/// The routes of the internal port.
pub(crate) fn router(internal: Internal) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(internal)
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
