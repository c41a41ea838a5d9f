//! Keys of the internal HTTP API.

use ring::{error::Unspecified, hmac, rand::SystemRandom};
use std::{fs, io, path::Path, sync::Arc};
use thiserror::Error;

/// The least length of a key, in bytes.
pub const MIN_KEY: usize = 32;

/// The longest file of a key, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a key can't be used.
#[derive(Debug, Error)]
pub enum InvalidApiKey {
    /// One that could be guessed.
    #[error("a key of the API has at least {MIN_KEY} bytes, this one has {0}")]
    Short(usize),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// The file can't be read.
    #[error("{0}: {1}")]
    File(String, io::Error),
}

/// Keys that can be told from others in a time that says nothing of them. What is kept of them does not show them.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Option<Arc<Marks>>);

#[derive(Debug)]
struct Marks {
    key: hmac::Key,
    marks: Vec<hmac::Tag>,
}

impl ApiKeys {
    /// These keys.
    ///
    /// # Errors
    ///
    /// If one is too short.
    pub fn new<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<Self, InvalidApiKey> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|Unspecified| InvalidApiKey::Random)?;
        let mark = |secret: &[u8]| match secret.len() {
            length if length < MIN_KEY => Err(InvalidApiKey::Short(length)),
            _ => Ok(hmac::sign(&key, secret)),
        };
        let marks = keys.map(mark).collect::<Result<Vec<_>, _>>()?;
        Ok(Self((!marks.is_empty()).then(|| Arc::new(Marks { key, marks }))))
    }

    /// The keys in `files`, each the only line of its file.
    ///
    /// # Errors
    ///
    /// What is wrong with one.
    pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Self, InvalidApiKey> {
        let keys = files.iter().map(|file| read(file.as_ref())).collect::<Result<Vec<_>, _>>()?;
        Self::new(keys.iter().map(|key| key.trim_ascii_end()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `key` is one of them.
    pub fn include(&self, key: &[u8]) -> bool {
        let Some(marks) = &self.0 else { return false };
        // To the end, whichever it is.
        marks.marks.iter().filter(|mark| hmac::verify(&marks.key, key, mark.as_ref()).is_ok()).count() > 0
    }
}

fn read(file: &Path) -> Result<Vec<u8>, InvalidApiKey> {
    let failed = |error| InvalidApiKey::File(file.display().to_string(), error);
    if fs::metadata(file).map_err(failed)?.len() > MAX_FILE {
        return Err(failed(io::Error::other(format!("too long for a key, at most {MAX_FILE} bytes"))));
    }
    fs::read(file).map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_others() {
        let (one, two) = ([1; MIN_KEY], [2; MIN_KEY + 1]);
        let keys = ApiKeys::new([&one[..], &two[..]].into_iter()).unwrap();
        assert!(keys.include(&one) && keys.include(&two));
        assert!(!keys.include(&[3; MIN_KEY]) && !keys.include(&[]) && !keys.include(&two[1..]));
        assert!(matches!(ApiKeys::new([&one[1..]].into_iter()), Err(InvalidApiKey::Short(31))));
        assert!(ApiKeys::default().is_empty() && !ApiKeys::default().include(&[]));
    }
}
