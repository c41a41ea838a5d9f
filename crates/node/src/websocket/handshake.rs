//! The opening handshake (RFC 6455, section 4.2), by tungstenite.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tungstenite::{Error, error::ProtocolError, handshake::server::create_response_with_body};

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
