//! From a token to a grant.

use crate::{Expectations, Grant, InvalidKey, KeySource, PublishedKeys, claims::Claims, key::VerifyingKey, provider};
use jsonwebtoken::{
    Algorithm, Header, Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use std::{
    collections::HashSet,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use zeroize::Zeroizing;

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// How long a token may wait for a thread that verifies it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a token grants nothing. What is told does not depend on which keys there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is no JWT, or one in a form that isn't read here.
    #[error("it is no token (JWT, RFC 7519) of at most {MAX_TOKEN} bytes: {0}")]
    Malformed(String),
    /// No key has its name, or it has none and there are several keys.
    #[error("it names no key that is known here")]
    UnknownKey,
    /// It is signed by another algorithm than its key's.
    #[error("its algorithm is not that of its key")]
    Algorithm,
    /// The key has not signed it.
    #[error("its signature is wrong")]
    Signature,
    /// `exp` is past.
    #[error("it has expired")]
    Expired,
    /// `exp` is too far away.
    #[error("it lasts longer than a token may here (auth.lifetime)")]
    TooLong,
    /// Somebody has said that it holds no longer. Whoever keeps that says so.
    #[error("it was revoked")]
    Revoked,
    /// It has no `exp`.
    #[error("it has no end: exp is missing")]
    NoEnd,
    /// `nbf` or `iat` is to come.
    #[error("it does not hold yet: nbf or iat lies in the future")]
    NotYet,
    /// `aud` does not name this.
    #[error("it is for another audience")]
    Audience,
    /// `iss` is somebody else.
    #[error("it was made by another issuer")]
    Issuer,
    /// A claim can't be read.
    #[error("its claim {0} can't be used: {1}")]
    Claim(&'static str, String),
    /// It could not be verified for lack of a thread.
    #[error("it can't be verified now")]
    Unverified,
}

impl InvalidToken {
    /// Every value of [`Self::label`].
    pub const LABELS: [&str; 13] = [
        "malformed",
        "unknown_key",
        "algorithm",
        "signature",
        "expired",
        "too_long",
        "revoked",
        "no_end",
        "not_yet",
        "audience",
        "issuer",
        "claim",
        "unverified",
    ];

    pub(crate) fn claim(name: &'static str, wrong: impl fmt::Display) -> Self {
        Self::Claim(name, wrong.to_string())
    }

    /// The value of the label `result` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::TooLong => "too_long",
            Self::Revoked => "revoked",
            Self::NoEnd => "no_end",
            Self::NotYet => "not_yet",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Claim(..) => "claim",
            Self::Unverified => "unverified",
        }
    }
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    sources: Vec<KeySource>,
    /// The keys at `sources`.
    keys: Mutex<Keys>,
    published: Option<Arc<PublishedKeys>>,
    expected: Expectations,
    /// How many tokens may be verified beside other work at a time.
    threads: Arc<Semaphore>,
}

type Keys = Arc<[Arc<VerifyingKey>]>;

impl Verifier {
    /// Verifies with the keys at `sources`, by whose names tokens say which one has signed them.
    ///
    /// # Errors
    ///
    /// What is wrong with a key.
    pub fn new(sources: &[KeySource], expected: Expectations) -> Result<Self, InvalidKey> {
        provider::install();
        let (keys, sources) = (Mutex::new(read(sources)?), sources.to_vec());
        let threads = available_parallelism().map_or(1, usize::from);
        Ok(Self { sources, keys, published: None, expected, threads: Arc::new(Semaphore::new(threads)) })
    }

    /// Verifies with `published` keys as well. One of the same name as a file's is none.
    #[must_use]
    pub fn with_published(self, published: Arc<PublishedKeys>) -> Self {
        Self { published: Some(published), ..self }
    }

    /// The published keys that tokens may be signed with.
    pub fn published(&self) -> Option<&Arc<PublishedKeys>> {
        self.published.as_ref()
    }

    /// The files that keys are read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(KeySource::file)
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with a key; then all keys stay what they were.
    pub fn reload(&self) -> Result<(), InvalidKey> {
        let keys = read(&self.sources)?;
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// What `token` grants now. Signatures that take long to verify are verified on another thread. Where keys are
    /// published, one that is not known may be waited for, for [`crate::jwks::published::PATIENCE`] at most.
    ///
    /// # Errors
    ///
    /// Why it grants nothing.
    pub async fn verify(&self, token: &str) -> Result<Grant, InvalidToken> {
        let key = self.key(token).await?;
        let claims = if key.is_slow() { self.claims_elsewhere(token, key).await? } else { claims(token, &key)? };
        claims.grant(&self.expected, unix_now())
    }

    /// The key that has signed `token`, as it says.
    async fn key(&self, token: &str) -> Result<Arc<VerifyingKey>, InvalidToken> {
        let header = header(token)?;
        let key = match (self.in_files(header.kid.as_deref()), &self.published, &header.kid) {
            (None, Some(published), Some(id)) => published.find(id).await,
            (known, ..) => known,
        };
        let key = key.ok_or(InvalidToken::UnknownKey)?;
        if header.alg == key.algorithm { Ok(key) } else { Err(InvalidToken::Algorithm) }
    }

    /// The file's key that is called `id`, or the only one there is where nothing is called anything.
    fn in_files(&self, id: Option<&str>) -> Option<Arc<VerifyingKey>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match (id, &**keys) {
            (None, [only]) if self.published.is_none() => Some(Arc::clone(only)),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id == id).cloned(),
        }
    }

    async fn claims_elsewhere(&self, token: &str, key: Arc<VerifyingKey>) -> Result<Claims, InvalidToken> {
        let permit = timeout(PATIENCE, Arc::clone(&self.threads).acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(InvalidToken::Unverified)?;
        let token = Zeroizing::new(token.to_owned());
        // The permit goes with the work, which goes on when nobody waits for it any more.
        let verified = spawn_blocking(move || {
            let _permit = permit;
            claims(&token, &key)
        });
        verified.await.unwrap_or(Err(InvalidToken::Unverified))
    }
}

fn read(sources: &[KeySource]) -> Result<Keys, InvalidKey> {
    sources.iter().map(|source| source.verifying().map(Arc::new)).collect()
}

fn header(token: &str) -> Result<Header, InvalidToken> {
    if token.len() > MAX_TOKEN {
        return Err(InvalidToken::Malformed(format!("it has {} bytes", token.len())));
    }
    let header = decode_header(token).map_err(|error| malformed(&error))?;
    match header.crit {
        // Who writes one wants it refused by whoever doesn't know what is in it (RFC 7515, section 4.1.11).
        Some(_) => Err(InvalidToken::Malformed("it has critical headers, of which none is known here".to_owned())),
        None => Ok(header),
    }
}

/// What `token` says, if `key` has signed it.
pub(crate) fn claims(token: &str, key: &VerifyingKey) -> Result<Claims, InvalidToken> {
    decode(token, &key.key, &signature_only(key.algorithm)).map(|data| data.claims).map_err(|error| refusal(&error))
}

/// That the claims hold is decided where the time is known, see [`Claims::grant`].
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims = HashSet::new();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn refusal(error: &Error) -> InvalidToken {
    match error.kind() {
        ErrorKind::InvalidSignature => InvalidToken::Signature,
        ErrorKind::InvalidAlgorithm => InvalidToken::Algorithm,
        _ => malformed(error),
    }
}

/// Without what the error repeats of the token.
fn malformed(error: &Error) -> InvalidToken {
    InvalidToken::Malformed(match error.kind() {
        ErrorKind::InvalidToken => "expected three parts with dots between".to_owned(),
        ErrorKind::Base64(_) => "expected base64url without padding".to_owned(),
        ErrorKind::Json(error) => {
            let (line, column) = (error.line(), error.column());
            format!("its JSON has an unknown algorithm or a wrong value at line {line} column {column}")
        }
        _ => "it can't be read".to_owned(),
    })
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
