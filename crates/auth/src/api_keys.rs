//! Keys of the internal HTTP API.

use fanwire_tls::secret_file;
use ring::{error::Unspecified, hmac, rand::SystemRandom};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The least length of a key, in bytes.
pub const MIN_KEY: usize = 32;

/// The longest file of a key, in bytes.
const MAX_FILE: usize = 4096;

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

/// Keys that can be told from others in a time that says nothing of them. What is kept of them does not show them. Clones
/// are of the same keys, also after these were read again.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys {
    files: Arc<[PathBuf]>,
    marks: Arc<Mutex<Arc<Marks>>>,
}

/// Of no keys: none.
#[derive(Debug, Default)]
struct Marks(Option<(hmac::Key, Vec<hmac::Tag>)>);

impl ApiKeys {
    /// These keys.
    ///
    /// # Errors
    ///
    /// If one is too short.
    pub fn new<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<Self, InvalidApiKey> {
        Ok(Self { files: Arc::default(), marks: Arc::new(Mutex::new(Arc::new(Marks::of(keys)?))) })
    }

    /// The keys in `files`, each the only line of its file.
    ///
    /// # Errors
    ///
    /// What is wrong with one.
    pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Self, InvalidApiKey> {
        let keys = Self { files: files.iter().map(|file| file.as_ref().to_owned()).collect(), ..Self::default() };
        keys.reload()?;
        Ok(keys)
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong with one; then the keys stay what they were.
    pub fn reload(&self) -> Result<(), InvalidApiKey> {
        let keys = self.files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
        let marks = Marks::of(keys.iter().map(|key| key.trim_ascii_end()))?;
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(marks);
        Ok(())
    }

    /// The files that the keys come from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.marks().0.is_none()
    }

    /// Whether `key` is one of them.
    pub fn include(&self, key: &[u8]) -> bool {
        let marks = self.marks();
        let Some((own, marks)) = &marks.0 else { return false };
        // To the end, whichever it is.
        marks.iter().filter(|mark| hmac::verify(own, key, mark.as_ref()).is_ok()).count() > 0
    }

    fn marks(&self) -> Arc<Marks> {
        Arc::clone(&self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Marks {
    fn of<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<Self, InvalidApiKey> {
        let own = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let own = own.map_err(|Unspecified| InvalidApiKey::Random)?;
        let mark = |secret: &[u8]| match secret.len() {
            length if length < MIN_KEY => Err(InvalidApiKey::Short(length)),
            _ => Ok(hmac::sign(&own, secret)),
        };
        let marks = keys.map(mark).collect::<Result<Vec<_>, _>>()?;
        Ok(Self((!marks.is_empty()).then_some((own, marks))))
    }
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, InvalidApiKey> {
    secret_file::read(file, MAX_FILE).map_err(|error| InvalidApiKey::File(file.display().to_string(), error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_are_told_from_others() {
        let (one, two) = ([1; MIN_KEY], [2; MIN_KEY + 1]);
        let keys = ApiKeys::new([&one[..], &two[..]].into_iter()).unwrap();
        assert!(keys.include(&one) && keys.include(&two));
        assert!(!keys.include(&[3; MIN_KEY]) && !keys.include(&[]) && !keys.include(&two[1..]));
        assert!(matches!(ApiKeys::new([&one[1..]].into_iter()), Err(InvalidApiKey::Short(31))));
        assert!(ApiKeys::default().is_empty() && !ApiKeys::default().include(&[]));
    }

    #[test]
    fn keys_that_are_read_again_are_all_new_or_the_old_ones() {
        let file = std::env::temp_dir().join(format!("fanwire-{}-api-key", std::process::id()));
        let (one, two) = ([b'1'; MIN_KEY], [b'2'; MIN_KEY]);
        fs::write(&file, one).unwrap();
        let keys = ApiKeys::read(&[&file]).unwrap();
        let clone = keys.clone();
        fs::write(&file, two).unwrap();
        keys.reload().unwrap();
        assert!(clone.include(&two) && !clone.include(&one));
        for wrong in [&b"short"[..], &[b'x'; MAX_FILE + 1]] {
            fs::write(&file, wrong).unwrap();
            assert!(keys.reload().is_err() && keys.include(&two));
        }
        fs::remove_file(&file).unwrap();
        assert!(matches!(keys.reload(), Err(InvalidApiKey::File(..))));
        assert!(keys.include(&two) && !keys.is_empty());
    }
}
