//! What is counted about TLS.

use crate::{fresh::Reload, metrics::registered};
use fanwire_tls::{Facts, ServerFiles};
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};
use std::time::UNIX_EPOCH;

/// One of the node's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Public,
    Internal,
}

impl Port {
    const ALL: [Self; 2] = [Self::Public, Self::Internal];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
        }
    }
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    /// A request without TLS.
    PlainHttp,
    /// Bytes that are no TLS, or break its rules.
    Malformed,
    /// No version, cipher, signature or protocol in common.
    Incompatible,
    /// The client's certificate is missing or not trusted.
    ClientCertificate,
    /// The client did not like what it got, for instance the node's certificate.
    Refused,
    /// The socket ended.
    Vanished,
    TimedOut,
}

impl Handshake {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::PlainHttp,
        Self::Malformed,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::Refused,
        Self::Vanished,
        Self::TimedOut,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::PlainHttp => "plain_http",
            Self::Malformed => "malformed",
            Self::Incompatible => "incompatible",
            Self::ClientCertificate => "client_certificate",
            Self::Refused => "refused",
            Self::Vanished => "vanished",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The metrics of TLS on all ports.
#[derive(Debug, Clone)]
pub(crate) struct TlsMetrics {
    handshakes: IntCounterVec,
    reloads: IntCounterVec,
    expiry: GaugeVec,
}

impl TlsMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let handshakes = Opts::new("fanwire_tls_handshakes_total", "TLS handshakes of clients, by port and result.");
        let reloads = Opts::new(
            "fanwire_tls_reloads_total",
            "Times that certificates were read again, by port and result: loaded, or refused and the old ones stay.",
        );
        let expiry = Opts::new(
            "fanwire_tls_certificate_expiry_timestamp_seconds",
            "When each certificate in use ends, in seconds since 1970, by port and by the file that it was read from.",
        );
        let metrics = Self {
            handshakes: registered(registry, IntCounterVec::new(handshakes, &["port", "result"])?)?,
            reloads: registered(registry, IntCounterVec::new(reloads, &["port", "result"])?)?,
            expiry: registered(registry, GaugeVec::new(expiry, &["port", "file"])?)?,
        };
        for port in Port::ALL.map(Port::label) {
            for result in Handshake::ALL {
                metrics.handshakes.with_label_values(&[port, result.label()]);
            }
            for result in Reload::ALL {
                metrics.reloads.with_label_values(&[port, result.label()]);
            }
        }
        Ok(metrics)
    }

    /// Counts a handshake.
    pub(super) fn shaken(&self, port: Port, result: Handshake) {
        self.handshakes.with_label_values(&[port.label(), result.label()]).inc();
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, port: Port, result: Reload) {
        self.reloads.with_label_values(&[port.label(), result.label()]).inc();
    }

    /// Notes until when the certificates in use are valid.
    pub(super) fn valid(&self, port: Port, files: &ServerFiles, certificates: &[Facts]) {
        for (pair, facts) in files.pairs.iter().zip(certificates) {
            let expiry = facts.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let file = pair.cert.display().to_string();
            self.expiry.with_label_values(&[port.label(), &file]).set(expiry);
        }
    }
}
