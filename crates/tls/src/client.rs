//! The end that connects.

use crate::{InvalidTls, pem};
use std::{path::PathBuf, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
        client::{
            WantsClientCert,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// Files with certificates and keys, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities whose word is taken for who a server is; the system's where absent.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to servers that want one, its own first and those above it after it; together with
    /// a key, or neither.
    pub cert: Option<PathBuf>,
    /// The key of the certificate.
    pub key: Option<PathBuf>,
}

impl ClientFiles {
    /// Whether no file is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files.
    pub fn load(&self) -> Result<TlsConnector, InvalidTls> {
        self.config().map(|config| TlsConnector::from(Arc::new(config)))
    }

    /// Reads the files, for whoever has a connector of their own.
    pub fn config(&self) -> Result<ClientConfig, InvalidTls> {
        let authorities = match &self.ca {
            Some(path) => pem::authorities(path)?,
            None => system_authorities()?,
        };
        self.identified(builder()?.with_root_certificates(authorities))
    }

    /// The same, except that every server is taken for who it says it is. Fit only where nothing depends on that, such
    /// as a health check.
    pub fn load_trusting_all(&self) -> Result<TlsConnector, InvalidTls> {
        let anyone = Arc::new(Anyone(ring::default_provider()));
        let config = self.identified(builder()?.dangerous().with_custom_certificate_verifier(anyone))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn identified(&self, builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> Result<ClientConfig, InvalidTls> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(pem::certificates(cert)?, pem::private_key(key)?.clone_key())
                .map_err(|error| InvalidTls::pair(&error)),
            _ => Err(InvalidTls::Half),
        }
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, InvalidTls> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| InvalidTls::setup(&error))
}

fn system_authorities() -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    // Systems have some that no longer parse; the others count all the same.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(InvalidTls::NoAuthorities) } else { Ok(store) }
}

/// Takes everybody's word for who they are, though not for what they send.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
