//! TLS to Redis: the system's authorities or a private one, and a certificate of the node's own.

use std::{
    error::Error as _,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

/// Files with certificates and keys, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities whose word is taken for who a server is; the system's where absent.
    pub ca: Option<PathBuf>,
    /// This node's certificate, its own first and those above it after it; together with a key, or neither.
    pub cert: Option<PathBuf>,
    /// The key of the certificate.
    pub key: Option<PathBuf>,
}

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
}

impl InvalidTls {
    fn file(path: &Path, reason: &(impl ToString + ?Sized)) -> Self {
        Self::File { path: path.display().to_string(), reason: reason.to_string() }
    }
}

impl TlsFiles {
    /// Whether no file is named.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files.
    pub(super) fn load(&self) -> Result<TlsConnector, InvalidTls> {
        let authorities = match &self.ca {
            Some(path) => private_authorities(path)?,
            None => system_authorities()?,
        };
        let unusable = |error: rustls::Error| InvalidTls::Pair(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(authorities);
        let config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(unusable)?
            }
            _ => return Err(InvalidTls::Half),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn private_authorities(path: &Path) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| InvalidTls::file(path, &error))?;
    }
    Ok(store)
}

fn system_authorities() -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    // Systems have some that no longer parse; the others count all the same.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(InvalidTls::NoAuthorities) } else { Ok(store) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let wrong = |error: pem::Error| unreadable(path, error, "a certificate in PEM");
    let found: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(wrong)?;
    if found.is_empty() { Err(InvalidTls::file(path, "holds no certificate in PEM")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, InvalidTls> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, error, "a private key in PEM"))
}

fn unreadable(path: &Path, error: pem::Error, what: &str) -> InvalidTls {
    match error {
        pem::Error::Io(error) => InvalidTls::file(path, &format!("can't be read: {error}")),
        _ => InvalidTls::file(path, &format!("does not hold {what}")),
    }
}

/// What went wrong on a connection, in words for whoever configured it.
pub(super) fn told(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(cause) => reason(cause),
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

fn reason(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(wrong) => certificate(wrong),
        AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate; redis.tls.cert and redis.tls.key name one".to_owned()
        }
        AlertReceived(alert) => format!("it broke TLS off, maybe because of the client certificate: {alert:?}"),
        InvalidMessage(_) => "what answers there does not speak TLS; redis:// is for those".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is from an authority that is not trusted; redis.tls.ca names a private one".to_owned()
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            format!("its certificate is not for {expected}, but for {}", presented.join(", "))
        }
        other => format!("its certificate is wrong: {other}"),
    }
}
