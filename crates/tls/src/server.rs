//! The end that is connected to.

use crate::{Facts, InvalidTls, by_name::ByName, pem};
use std::{path::PathBuf, sync::Arc, time::SystemTime};
use tokio_rustls::rustls::{
    ConfigBuilder, Error, InconsistentKeys, ServerConfig, SupportedProtocolVersion, WantsVerifier,
    crypto::ring,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WantsServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

/// What a node's ports speak inside TLS (RFC 7301); a WebSocket begins with HTTP/1.1.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate and its key, each in a file in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate itself first and those above it after it.
    pub cert: PathBuf,
    /// Its key: RSA, ECDSA or Ed25519.
    pub key: PathBuf,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeastVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Which clients are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Clients {
    /// All, unasked.
    #[default]
    Anyone,
    /// Those without a certificate, and those with one from the authorities in this file.
    Optional(PathBuf),
    /// Those with a certificate from the authorities in this file.
    Required(PathBuf),
}

/// What a port's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The certificates; a client gets the first that is for the name it asks for, or else the very first.
    pub pairs: Vec<Pair>,
    /// The oldest version that is spoken.
    pub least_version: LeastVersion,
    /// Which clients are taken.
    pub clients: Clients,
}

/// What was made of it.
#[derive(Debug, Clone)]
pub struct ServerSide {
    /// What rustls is told.
    pub config: Arc<ServerConfig>,
    /// What the certificates say, in the order of their pairs.
    pub certificates: Vec<Facts>,
}

impl ServerFiles {
    /// Every file that [`Self::load`] reads.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let (Clients::Optional(ca) | Clients::Required(ca)) = &self.clients else {
            return self.pair_paths().chain(None);
        };
        self.pair_paths().chain(Some(ca))
    }

    fn pair_paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.pairs.iter().flat_map(|pair| [&pair.cert, &pair.key])
    }

    /// Reads the files. A certificate that has expired by `now` can't be used.
    ///
    /// Each time, tickets for resumption are made with new keys, so that a client that comes back meets the certificates
    /// and the authorities that are in force.
    pub fn load(&self, now: SystemTime) -> Result<ServerSide, InvalidTls> {
        let provider = Arc::new(ring::default_provider());
        let loaded: Vec<_> = self.pairs.iter().map(|pair| pair.load(now)).collect::<Result<_, _>>()?;
        if loaded.is_empty() {
            return Err(InvalidTls::NoCertificate);
        }
        let (certificates, keys) = loaded.into_iter().unzip();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.least_version.and_newer())
            .map_err(|error| InvalidTls::setup(&error))?;
        let mut config = self.clients.verified(builder)?.with_cert_resolver(Arc::new(ByName(keys)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Sessions are resumed by tickets alone, which clients keep: nothing grows here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(|error| InvalidTls::setup(&error))?;
        // A client keeps one connection, so that it needs one ticket for the next.
        config.send_tls13_tickets = 1;
        Ok(ServerSide { config: Arc::new(config), certificates })
    }
}

impl Pair {
    fn load(&self, now: SystemTime) -> Result<(Facts, Arc<CertifiedKey>), InvalidTls> {
        let chain = pem::certificates(&self.cert)?;
        let facts = self.facts(&chain, now)?;
        let key = pem::private_key(&self.key)?;
        // By reference, for what rustls is given it doesn't wipe.
        let key = ring::sign::any_supported_type(&key).map_err(|_| {
            InvalidTls::file(
                &self.key,
                "holds no key that can be used: RSA of 2048 to 8192 bits, ECDSA (P-256, P-384), Ed25519",
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((facts, Arc::new(certified))),
            Err(Error::InconsistentKeys(_)) => Err(InvalidTls::file(
                &self.key,
                &format!("is not the key of the first certificate in {}", self.cert.display()),
            )),
            Err(error) => Err(InvalidTls::file(&self.cert, &error)),
        }
    }

    fn facts(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Facts, InvalidTls> {
        let first = chain.first().map_or(&[][..], |first| first);
        let facts = Facts::read(first)
            .map_err(|error| InvalidTls::file(&self.cert, &format!("its first certificate can't be read: {error}")))?;
        if facts.expires <= now {
            let when = humantime::format_rfc3339_seconds(facts.expires);
            return Err(InvalidTls::file(&self.cert, &format!("has expired at {when}")));
        }
        Ok(facts)
    }
}

impl LeastVersion {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &NEWEST,
        }
    }
}

impl Clients {
    fn verified(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    ) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, InvalidTls> {
        let (Self::Optional(ca) | Self::Required(ca)) = self else { return Ok(builder.with_no_client_auth()) };
        let authorities = Arc::new(pem::authorities(ca)?);
        let provider = Arc::clone(builder.crypto_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
        let verifier = if matches!(self, Self::Optional(_)) { verifier.allow_unauthenticated() } else { verifier };
        let verifier = verifier.build().map_err(|error| InvalidTls::file(ca, &error))?;
        Ok(builder.with_client_cert_verifier(verifier))
    }
}

#[cfg(test)]
mod tests;
