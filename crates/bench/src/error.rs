//! Why a measurement could not be carried out.

use crate::frame::BrokenFrame;
use std::{io, net::SocketAddr, path::PathBuf};
use thiserror::Error;

/// Why a measurement could not be carried out.
#[derive(Debug, Error)]
pub enum Error {
    /// The process may not open enough sockets.
    #[error(
        "{wanted} file descriptors are needed, the limit is {limit}: raise it (ulimit -n), share them out \
         (--processes) or ask for fewer sockets"
    )]
    Descriptors {
        /// Descriptors that the scenario needs.
        wanted: u64,
        /// The limit of this process.
        limit: u64,
    },
    /// A connection could not be opened.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Where it was to go.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Authorities can't be read.
    #[error(transparent)]
    Tls(#[from] fanwire_tls::InvalidTls),
    /// The node did not upgrade the connection.
    #[error("{address} refused the WebSocket: {answer}")]
    Upgrade {
        /// Who refused.
        address: SocketAddr,
        /// The answer's first line, or what is wrong with it.
        answer: String,
    },
    /// The node did not answer in time.
    #[error("{address} did not answer within {seconds} s")]
    Late {
        /// Who was asked.
        address: SocketAddr,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// A subscription was refused.
    #[error("subscription to {channel:?} refused: {code}: {message}")]
    Refused {
        /// The channel.
        channel: String,
        /// The error's code.
        code: String,
        /// The error's text.
        message: String,
    },
    /// The channel has no history.
    #[error("channel {channel:?} has no history: name a namespace for which the node keeps one")]
    NoHistory {
        /// The channel.
        channel: String,
    },
    /// A connection ended before the measurement.
    #[error("connection to {address} ended before the measurement began: {ended}")]
    Early {
        /// Whose connection.
        address: SocketAddr,
        /// How it ended.
        ended: Ended,
    },
    /// A process to watch can't be read.
    #[error("process {pid}: {path}: {reason}")]
    Process {
        /// The process.
        pid: u32,
        /// The file under `/proc`.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A template can't be used.
    #[error("template {}: {reason}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The template lacks what the scenario needs.
    #[error("the template has no {key}, which this scenario needs")]
    Lacking {
        /// What would say it.
        key: &'static str,
    },
    /// A process that this one started failed.
    #[error("{role}: {reason}")]
    Helper {
        /// What it was to do.
        role: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The system refused something that is always needed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the system refused `what`.
    pub fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ended {
    /// The node closed it with a Close frame; 1005 stands for a frame without a code (RFC 6455, section 7.1.5).
    #[error("closed with code {0}")]
    Closed(u16),
    /// The stream ended without a Close frame.
    #[error("ended without a Close frame")]
    Eof,
    /// The system reports an error.
    #[error("{0}")]
    Failed(io::ErrorKind),
    /// The node sent what is no WebSocket frame.
    #[error("broken frame: {0}")]
    Broken(#[from] BrokenFrame),
}
