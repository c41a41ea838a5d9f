//! What an answer says, as a whole.

use super::jwk::{Jwk, Skipped};
use crate::key::VerifyingKey;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::HashMap, sync::Arc};
use thiserror::Error;

/// How many keys a set may have.
pub const MAX_KEYS: usize = 100;

/// A set of which at least one key can be used.
#[derive(Debug)]
pub struct KeySet {
    pub(super) keys: Arc<[Arc<VerifyingKey>]>,
    skipped: HashMap<Skipped, usize>,
}

/// Why an answer is no set of keys, or none that can be used. It is told without repeating the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSet {
    /// It is no JSON of that form.
    #[error("it is no JWK Set (RFC 7517), which is JSON with a list called keys: line {line} column {column}")]
    Malformed {
        /// Where it is wrong.
        line: usize,
        /// The same.
        column: usize,
    },
    /// More than anybody needs.
    #[error("it has {0} keys; at most {MAX_KEYS} are taken")]
    TooMany(usize),
    /// All are skipped, or there is none.
    #[error("none of its {0} keys can be used")]
    NoKeys(usize),
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    /// What an answer says. Keys that can't be used are left out, for an issuer may have others for others; of several
    /// with the same name all are, since nothing tells which one is meant.
    ///
    /// # Errors
    ///
    /// If it is no set at all, or no key of it can be used.
    pub fn parse(answer: &[u8]) -> Result<Self, InvalidSet> {
        let set: Set<'_> = serde_json::from_slice(answer)
            .map_err(|error| InvalidSet::Malformed { line: error.line(), column: error.column() })?;
        if set.keys.len() > MAX_KEYS {
            return Err(InvalidSet::TooMany(set.keys.len()));
        }
        let (mut usable, mut skipped) = (Vec::new(), HashMap::new());
        for outcome in set.keys.iter().map(|key| read(key)) {
            match outcome {
                Ok(key) => usable.push(key),
                Err(reason) => *skipped.entry(reason).or_default() += 1,
            }
        }
        let keys: Arc<[_]> = usable.iter().filter(|key| is_unique(key, &usable)).cloned().map(Arc::new).collect();
        match usable.len() - keys.len() {
            0 => {}
            duplicates => drop(skipped.insert(Skipped::Duplicate, duplicates)),
        }
        if keys.is_empty() { Err(InvalidSet::NoKeys(set.keys.len())) } else { Ok(Self { keys, skipped }) }
    }

    /// How many keys can be used.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// How many are not used for this reason.
    pub fn skipped(&self, reason: Skipped) -> usize {
        self.skipped.get(&reason).copied().unwrap_or_default()
    }
}

fn read(key: &RawValue) -> Result<VerifyingKey, Skipped> {
    serde_json::from_str::<Jwk>(key.get()).map_err(|_| Skipped::Malformed)?.verifying()
}

fn is_unique(key: &VerifyingKey, all: &[VerifyingKey]) -> bool {
    all.iter().filter(|other| other.id == key.id).count() == 1
}

#[cfg(test)]
pub(crate) mod tests;
