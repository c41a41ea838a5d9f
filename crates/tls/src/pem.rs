//! Files in PEM.

use crate::{InvalidTls, secret_file};
use std::path::Path;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use zeroize::Zeroizing;

/// All certificates in a file; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let wrong = |error: pem::Error| unreadable(path, error, "a certificate in PEM");
    let found: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(wrong)?;
    if found.is_empty() { Err(InvalidTls::file(path, "holds no certificate in PEM")) } else { Ok(found) }
}

/// The longest file of a private key, in bytes.
const MAX_KEY: usize = 64 * 1024;

/// The first private key in a file.
pub(crate) fn private_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, InvalidTls> {
    let wrong = |error| unreadable(path, error, "a private key in PEM");
    let text = secret_file::read(path, MAX_KEY).map_err(|error| wrong(pem::Error::Io(error)))?;
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(wrong)
}

/// The authorities in a file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| InvalidTls::file(path, &error))?;
    }
    Ok(store)
}

fn unreadable(path: &Path, error: pem::Error, what: &str) -> InvalidTls {
    match error {
        pem::Error::Io(error) => InvalidTls::file(path, &format!("can't be read: {error}")),
        _ => InvalidTls::file(path, &format!("does not hold {what}")),
    }
}
