//! TLS on the node's ports.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `handshake` | from a socket that was accepted to one with TLS on it, and what became of those that were not |
//! | `ports` | which of the node's ports have TLS |
//! | `listener` | the internal port's sockets |
//! | `threads` | where handshakes of the public port are made |
//! | `metrics` | what is counted |

mod handshake;
mod listener;
mod metrics;
mod ports;
mod threads;

use crate::fresh::{Fresh, Reload, Stamps, Watched, stamps};
pub(crate) use handshake::{Secured, Unsecured, begins_tls};
pub(crate) use listener::TlsListener;
pub(crate) use ports::TlsPorts;
pub(crate) use threads::HandshakeThreads;

use fanwire_tls::{InvalidTls, ServerFiles, ServerSide};
use metrics::{Port, TlsMetrics};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio_rustls::rustls::ServerConfig;

/// The end of TLS on a port: its certificates, which can be read again while it runs.
pub(crate) struct Terminator {
    port: Port,
    files: ServerFiles,
    /// What the files were when they were first read.
    first: Stamps,
    current: Mutex<Arc<ServerConfig>>,
    metrics: TlsMetrics,
}

impl Terminator {
    /// Reads the certificates of a port.
    pub(crate) fn load(port: Port, files: ServerFiles, metrics: TlsMetrics) -> Result<Arc<Self>, InvalidTls> {
        let first = stamps(files.paths().map(AsRef::as_ref));
        let side = files.load(SystemTime::now())?;
        metrics.valid(port, &files, &side.certificates);
        Ok(Arc::new(Self { port, files, first, current: Mutex::new(side.config), metrics }))
    }

    /// What handshakes are made with from now on.
    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificates, watched since they were first read.
    pub(crate) fn watched(self: &Arc<Self>) -> Watched {
        Watched::new(Arc::clone(self) as _, self.first.clone())
    }

    fn replace(&self, side: ServerSide) {
        self.metrics.valid(self.port, &self.files, &side.certificates);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = side.config;
    }
}

impl Fresh for Terminator {
    fn paths(&self) -> Vec<&Path> {
        self.files.paths().map(AsRef::as_ref).collect()
    }

    fn reload(&self) {
        let port = self.port.label();
        match self.files.load(SystemTime::now()) {
            Ok(side) => {
                self.replace(side);
                self.metrics.reloaded(self.port, Reload::Loaded);
                tracing::info!(port, "certificates read again");
            }
            Err(error) => {
                self.metrics.reloaded(self.port, Reload::Refused);
                tracing::warn!(port, %error, "certificates can't be used, those before them stay in use");
            }
        }
    }
}

#[cfg(test)]
mod tests;
