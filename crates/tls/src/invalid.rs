//! Why files can't be used.

use std::path::Path;
use thiserror::Error;
use tokio_rustls::rustls;

/// Why certificates can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTls {
    /// A file can't be read, or holds something else.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One without the other.
    #[error("a client certificate needs its key and a key its certificate; only one of them is named")]
    Half,
    /// Certificate and key are readable, but no pair.
    #[error("the client certificate can't be used: {0}")]
    Pair(String),
    /// The system trusts nobody.
    #[error("the system has no certificate authorities; name the file of one")]
    NoAuthorities,
    /// A server without any certificate.
    #[error("no certificate is named")]
    NoCertificate,
    /// Something that no file is to blame for.
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

impl InvalidTls {
    pub(crate) fn file(path: &Path, reason: &(impl ToString + ?Sized)) -> Self {
        Self::File { path: path.display().to_string(), reason: reason.to_string() }
    }

    pub(crate) fn pair(error: &rustls::Error) -> Self {
        Self::Pair(error.to_string())
    }

    pub(crate) fn setup(error: &rustls::Error) -> Self {
        Self::Setup(error.to_string())
    }
}
