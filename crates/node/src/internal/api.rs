//! What backends and operators tell the cluster to do.

use super::{Internal, problem::Problem};
use crate::control::{Control, Whom};
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use fanwire_broker::PublishError;
use serde_json::json;

/// Closes connections on every node: those of a user, of a token, or one. Answered when all nodes have been told; each
/// carries it out as soon as that reaches it.
pub(super) async fn disconnect(
    State(internal): State<Internal>,
    body: Result<Json<Whom>, JsonRejection>,
) -> Result<(StatusCode, Json<serde_json::Value>), Problem> {
    let Json(whom) = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    if let Some(wrong) = whom.wrong() {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, wrong));
    }
    match Control::Disconnect(whom).tell(&*internal.broker, internal.kept).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(json!({ "told": true })))),
        Err(error @ PublishError::Unavailable(_)) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Err(error @ PublishError::Timeout) => Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, error.to_string())),
    }
}
