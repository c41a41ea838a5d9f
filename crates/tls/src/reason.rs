//! Why a handshake failed, in words for whoever configured the end that connects.

use std::{error::Error as _, io};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// What the settings are called that would help.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    /// What names a private authority, such as `redis.tls.ca names`.
    pub ca: &'static str,
    /// What names a client certificate, such as `redis.tls.cert and redis.tls.key name`.
    pub cert: &'static str,
    /// What to write for a server without TLS, such as `redis://`.
    pub plain: &'static str,
}

impl Hints {
    /// What went wrong on a connection.
    pub fn told(&self, error: &io::Error) -> String {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause) => self.reason(cause),
            None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        }
    }

    /// What went wrong with TLS.
    pub fn reason(&self, error: &rustls::Error) -> String {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        match error {
            InvalidCertificate(wrong) => self.certificate(wrong),
            AlertReceived(AlertDescription::CertificateRequired) => {
                format!("it wants a client certificate; {} one", self.cert)
            }
            AlertReceived(alert) => format!("it broke TLS off, maybe because of the client certificate: {alert:?}"),
            InvalidMessage(_) => format!("what answers there does not speak TLS; {} is for those", self.plain),
            other => format!("TLS failed: {other}"),
        }
    }

    fn certificate(&self, error: &CertificateError) -> String {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            CertificateError::UnknownIssuer => {
                format!("its certificate is from an authority that is not trusted; {} a private one", self.ca)
            }
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                format!("its certificate was not signed by the authority that it names; {} a private one", self.ca)
            }
            CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = expected.to_str();
                format!("its certificate is not for {expected}, but for {}", presented.join(", "))
            }
            other => format!("its certificate is wrong: {other}"),
        }
    }
}
