//! Why a request is not upgraded, as a response.

use crate::{addresses::TooMuch, metrics::UpgradeResult, origins::Foreign, user_header::InvalidUser, users::NoPlace};
use fanwire_auth::InvalidToken;
use http::{HeaderValue, Response, StatusCode, header};

/// When a refused client may try again, in seconds.
const RETRY_AFTER: &str = "1";

/// The same where that takes as long as others need to read, or to leave.
const RETRY_MUCH_AFTER: &str = "5";

/// How such an upgrade is counted, and what the client is told.
pub(super) type Refused = (UpgradeResult, Response<String>);

pub(super) fn foreign(foreign: Foreign) -> Box<Refused> {
    let (result, text) = match foreign {
        Foreign::Host => (
            UpgradeResult::ForeignHost,
            "this node listens on loopback for its own machine alone: Host must be localhost or a loopback address \
             (server.origins or server.trusted_proxies change that)",
        ),
        Foreign::Origin => (
            UpgradeResult::ForeignOrigin,
            "pages of this Origin may not connect: it is none of server.origins, or where that is empty not the scheme, \
             Host and port of this request",
        ),
        Foreign::Missing => (UpgradeResult::MissingOrigin, "an Origin is required here (server.require_origin)"),
    };
    Box::new((result, status(StatusCode::FORBIDDEN, text.to_owned())))
}

pub(super) fn malformed(text: &str) -> Box<Refused> {
    Box::new((UpgradeResult::Malformed, status(StatusCode::BAD_REQUEST, text.to_owned())))
}

pub(super) fn invalid_user(invalid: &InvalidUser) -> Box<Refused> {
    Box::new((UpgradeResult::InvalidUser, status(StatusCode::BAD_REQUEST, invalid.to_string())))
}

/// With what RFC 6750 wants to be told, section 3.
pub(super) fn unauthorized(text: &str) -> Box<Refused> {
    let mut response = status(StatusCode::UNAUTHORIZED, text.to_owned());
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Box::new((UpgradeResult::Unauthorized, response))
}

pub(super) fn too_much(what: TooMuch) -> Box<Refused> {
    let (result, text) = match what {
        TooMuch::Connections => (UpgradeResult::AddressLimit, "this address has as many connections here as it may"),
        TooMuch::Requests => (UpgradeResult::AddressRate, "this address asks too fast for connections"),
    };
    later(StatusCode::TOO_MANY_REQUESTS, RETRY_AFTER, result, text)
}

pub(super) fn refused_token(invalid: &InvalidToken) -> Box<Refused> {
    unauthorized(&format!("the token is refused: {invalid}"))
}

pub(super) fn no_place(why: NoPlace) -> Box<Refused> {
    let (many, text) = (StatusCode::TOO_MANY_REQUESTS, why.to_string());
    match why {
        NoPlace::Here => later(many, RETRY_AFTER, UpgradeResult::UserLimit, &text),
        NoPlace::Everywhere => later(many, RETRY_AFTER, UpgradeResult::UserLimitEverywhere, &text),
        NoPlace::Unknown => busy(UpgradeResult::UserLimitUnknown, &text),
        NoPlace::Revoked => unauthorized(&text),
    }
}

pub(super) fn busy(result: UpgradeResult, text: &str) -> Box<Refused> {
    later(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, result, text)
}

pub(super) fn short() -> Box<Refused> {
    let text = "this node is short of memory";
    later(StatusCode::SERVICE_UNAVAILABLE, RETRY_MUCH_AFTER, UpgradeResult::MemoryPressure, text)
}

fn later(code: StatusCode, seconds: &'static str, result: UpgradeResult, text: &str) -> Box<Refused> {
    let mut response = status(code, text.to_owned());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    Box::new((result, response))
}

pub(super) fn status(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text + "\n");
    *response.status_mut() = status;
    response
}
