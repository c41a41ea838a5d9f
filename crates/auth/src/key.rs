//! A key that tokens are signed or verified with, and the one algorithm that it is for.
//!
//! A token names its algorithm itself. Were that believed, the public half of a key pair would do as a shared secret. So
//! each key has its algorithm, and a token that names another is refused.

use fanwire_tls::secret_file;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest name of a key, in bytes.
pub const MAX_ID: usize = 200;

/// The longest file of a key, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// The least length of an RSA key in DER: of 2048 bits.
const MIN_RSA: usize = 256;

/// The algorithms that there are.
const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Where a key is: `KID:ALGORITHM:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    id: String,
    algorithm: Algorithm,
    file: PathBuf,
}

/// Why a key can't be used.
#[derive(Debug, Error)]
pub enum InvalidKey {
    /// A text that is no [`KeySource`].
    #[error("{0:?} is no key: expected KID:ALGORITHM:FILE, such as main:HS256:/run/secrets/token-key")]
    Source(String),
    /// An algorithm that there is not.
    #[error("{0:?} is no algorithm of tokens: {known} are", known = ALGORITHMS.map(|(name, _)| name).join(", "))]
    Algorithm(String),
    /// The file can't be read.
    #[error("{file}: {error}")]
    File {
        /// Which.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A secret that could be guessed.
    #[error(
        "{file}: a secret for {algorithm:?} has at least {least} bytes (RFC 7518, section 3.2), this one has {length}"
    )]
    ShortSecret {
        /// The file.
        file: String,
        /// The algorithm.
        algorithm: Algorithm,
        /// How many bytes it must have.
        least: usize,
        /// How many it has.
        length: usize,
    },
    /// No key of the algorithm's kind.
    #[error("{file}: no {half} key in PEM for {algorithm:?}: {wrong}")]
    Key {
        /// The file.
        file: String,
        /// `public` or `private`.
        half: &'static str,
        /// The algorithm.
        algorithm: Algorithm,
        /// What is wrong with it.
        wrong: String,
    },
}

impl FromStr for KeySource {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let source = || InvalidKey::Source(text.to_owned());
        let (id, rest) = text.split_once(':').ok_or_else(source)?;
        let (algorithm, file) = rest.split_once(':').ok_or_else(source)?;
        if id.is_empty() || id.len() > MAX_ID || file.is_empty() {
            return Err(source());
        }
        let algorithm = algorithm_called(algorithm).ok_or_else(|| InvalidKey::Algorithm(algorithm.to_owned()))?;
        Ok(Self { id: id.to_owned(), algorithm, file: file.into() })
    }
}

impl KeySource {
    /// Whether the key is a secret that signs and verifies alike.
    pub fn is_secret(&self) -> bool {
        family(self.algorithm) == AlgorithmFamily::Hmac
    }

    /// The name by which tokens know the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads what verifies: the secret, or the public key in PEM.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn verifying(&self) -> Result<VerifyingKey, InvalidKey> {
        let bytes = read(&self.file)?;
        let key = match family(self.algorithm) {
            AlgorithmFamily::Hmac => Ok(DecodingKey::from_secret(self.secret(&bytes)?)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(&bytes),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(&bytes),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(&bytes),
        };
        let key = key.map_err(|error| self.unusable("public", &error))?;
        let wrong = key.try_get_as_bytes().ok().and_then(|bytes| misfit(self.algorithm, bytes));
        match wrong {
            Some(wrong) => Err(self.unusable("public", wrong)),
            None => Ok(VerifyingKey { id: self.id.clone(), algorithm: self.algorithm, key }),
        }
    }

    /// Reads what signs: the secret, or the private key in PEM.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn signing(&self) -> Result<SigningKey, InvalidKey> {
        let bytes = read(&self.file)?;
        let key = match family(self.algorithm) {
            AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(self.secret(&bytes)?)),
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(&bytes),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(&bytes),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(&bytes),
        };
        let key = key.map_err(|error| self.unusable("private", &error))?;
        Ok(SigningKey { id: self.id.clone(), algorithm: self.algorithm, key })
    }

    /// The secret in `bytes`, without the end of the line that editors and `echo` write.
    fn secret<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], InvalidKey> {
        let secret = bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let least = match self.algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            _ => 64,
        };
        if secret.len() >= least {
            return Ok(secret);
        }
        let (file, algorithm, length) = (self.file.display().to_string(), self.algorithm, secret.len());
        Err(InvalidKey::ShortSecret { file, algorithm, least, length })
    }

    fn unusable(&self, half: &'static str, wrong: impl fmt::Display) -> InvalidKey {
        let (file, algorithm) = (self.file.display().to_string(), self.algorithm);
        InvalidKey::Key { file, half, algorithm, wrong: wrong.to_string() }
    }
}

/// A key that verifies.
#[derive(Debug, Clone)]
pub(crate) struct VerifyingKey {
    /// The name by which tokens know it.
    pub(crate) id: String,
    /// The only one that it is for.
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl VerifyingKey {
    /// Whether verifying takes so long that other work should not wait for it.
    pub(crate) fn is_slow(&self) -> bool {
        family(self.algorithm) != AlgorithmFamily::Hmac
    }
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The algorithm with this name.
pub(crate) fn algorithm_called(name: &str) -> Option<Algorithm> {
    ALGORITHMS.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
}

/// Which kind of key an algorithm wants.
pub(crate) fn family(algorithm: Algorithm) -> AlgorithmFamily {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => AlgorithmFamily::Hmac,
        Algorithm::ES256 | Algorithm::ES384 => AlgorithmFamily::Ec,
        Algorithm::EdDSA => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Rsa,
    }
}

/// What keeps a public key of the right kind from being used with `algorithm`.
pub(crate) fn misfit(algorithm: Algorithm, key: &[u8]) -> Option<&'static str> {
    let fits = match algorithm {
        Algorithm::ES256 => key.len() == 65,
        Algorithm::ES384 => key.len() == 97,
        Algorithm::EdDSA => key.len() == 32,
        _ if family(algorithm) == AlgorithmFamily::Rsa => key.len() >= MIN_RSA,
        _ => true,
    };
    let wrong = match family(algorithm) {
        AlgorithmFamily::Rsa => "an RSA key has at least 2048 bits",
        _ => "it is on another curve",
    };
    (!fits).then_some(wrong)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
    let failed = |error| InvalidKey::File { file: file.display().to_string(), error };
    secret_file::read(file, MAX_FILE).map_err(failed)
}

#[cfg(test)]
mod tests;
