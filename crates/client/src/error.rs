//! All that can go wrong.

use std::{fmt, time::Duration};
use thiserror::Error;

/// Why something did not happen. Cheap to clone, since all who wait on a connection learn why it ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is none that a node can be reached by.
    #[error("{url:?} is no WebSocket URL: {reason}; expected one such as ws://127.0.0.1:8765")]
    Url {
        /// The URL as given, without a login.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection came about.
    #[error("{url} can't be reached: {reason}")]
    Unreachable {
        /// The URL as given.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The WebSocket upgrade was answered with another HTTP status.
    #[error("the upgrade was refused with HTTP status {status}{}", after_colon(.body))]
    Http {
        /// The status code.
        status: u16,
        /// As much of the body as came with the header, up to 1,000 characters.
        body: String,
        /// How long the node asks to wait before trying again (`Retry-After` in seconds), up to an hour.
        retry_after: Option<Duration>,
    },
    /// The node refused a command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// There was no answer in time. The command may have been carried out.
    #[error("timed out waiting for {0}")]
    TimedOut(&'static str),
    /// The node sent what is not of the protocol; the connection is closed.
    #[error("the node sent what can't be understood: {0}")]
    NotUnderstood(String),
    /// There was no connection for [`Reconnect::give_up_after`](crate::Reconnect::give_up_after).
    #[error("gave up connecting again after {after:?}: {last}")]
    GaveUp {
        /// The time.
        after: Duration,
        /// How the last attempt failed, or the connection ended if there was none.
        last: Box<Error>,
    },
    /// A content can't be written in the connection's encoding.
    #[error("the content can't be encoded: {0}")]
    NotEncodable(String),
}

/// A command that the node refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("refused with {code}: {message}")]
pub struct Refusal {
    /// What a program may branch on, such as `bad_request` or `broker_unavailable`.
    pub code: String,
    /// What a person reads.
    pub message: String,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Closed {
    /// The code of the node's Close frame (RFC 6455, section 7.4); `None` if the connection ended without one.
    pub code: Option<u16>,
    /// The text of the Close frame, or what happened instead.
    pub reason: String,
}

impl Closed {
    /// An end without a Close frame.
    pub(crate) fn abrupt(reason: impl fmt::Display) -> Self {
        Self { code: None, reason: reason.to_string() }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "the connection was closed with {code}")?,
            None => f.write_str("the connection ended")?,
        }
        f.write_str(&after_colon(&self.reason))
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
