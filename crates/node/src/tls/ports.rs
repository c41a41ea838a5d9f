//! Which of the node's ports have TLS.

use super::{HandshakeThreads, Port, Terminator, TlsMetrics};
use crate::{NodeConfig, accept::PublicTls, node::NodeError};
use fanwire_tls::ServerFiles;
use prometheus::Registry;
use std::sync::Arc;

/// TLS of a node.
pub(crate) struct TlsPorts {
    /// Those of the ports that have TLS.
    pub(crate) terminators: Vec<Arc<Terminator>>,
    /// Where handshakes of the public port are made, if it has TLS.
    pub(crate) handshakes: Option<HandshakeThreads>,
}

impl TlsPorts {
    /// Reads the certificates, and starts what handshakes need.
    pub(crate) fn load(config: &NodeConfig, registry: &Registry) -> Result<Self, NodeError> {
        let metrics = TlsMetrics::new(registry)?;
        let ports = [(Port::Public, &config.public_tls), (Port::Internal, &config.internal_tls)];
        let named = ports.into_iter().filter_map(|(port, files)| Some((port, files.clone()?)));
        let load = |(port, files): (Port, ServerFiles)| Terminator::load(port, files, metrics.clone());
        let terminators = named.map(load).collect::<Result<_, _>>()?;
        let handshakes = config.public_tls.is_some().then(|| HandshakeThreads::start(config.shards)).transpose()?;
        Ok(Self { terminators, handshakes })
    }

    /// What the acceptor needs.
    pub(crate) fn public(&self) -> Option<PublicTls> {
        let runtime = self.handshakes.as_ref()?.handle.clone();
        Some(PublicTls { terminator: self.of(Port::Public)?, runtime })
    }

    /// The internal port's.
    pub(crate) fn internal(&self) -> Option<Arc<Terminator>> {
        self.of(Port::Internal)
    }

    fn of(&self, port: Port) -> Option<Arc<Terminator>> {
        self.terminators.iter().find(|terminator| terminator.port == port).cloned()
    }
}
