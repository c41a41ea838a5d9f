//! What fuzzers call: whatever an issuer answers, only keys that are what they say are used.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{KeySet, Skipped, set::MAX_KEYS};
use crate::{
    key::{MAX_ID, family},
    provider, verifier,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::HashSet;

/// How many of the keys are tried, for RSA takes its time.
const TRIED: usize = 3;

/// An answer.
pub fn jwks(data: &[u8]) {
    provider::install();
    match KeySet::parse(data) {
        Ok(set) => judge(&set, data),
        Err(invalid) => assert!((1..200).contains(&invalid.to_string().len()), "{invalid}"),
    }
}

/// All keys, also those that are hardly JSON, for which others are used all the same.
#[derive(Deserialize)]
struct Listed {
    keys: Vec<IgnoredAny>,
}

fn judge(set: &KeySet, data: &[u8]) {
    let listed = serde_json::from_slice::<Listed>(data).unwrap().keys.len();
    let skipped: usize = Skipped::ALL.into_iter().map(|reason| set.skipped(reason)).sum();
    assert_eq!(set.count() + skipped, listed);
    assert!((1..=MAX_KEYS).contains(&set.count()));
    let names: HashSet<_> = set.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(names.len(), set.count());
    assert!(names.iter().all(|name| (1..=MAX_ID).contains(&name.len())));
    assert!(set.keys.iter().all(|key| family(key.algorithm) != AlgorithmFamily::Hmac));
    for key in set.keys.iter().take(TRIED) {
        assert!(verifier::claims(&unsigned(key.algorithm), key).is_err(), "a signature of zeros is taken");
    }
}

/// A token with a signature of zeros.
fn unsigned(algorithm: Algorithm) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let length = match algorithm {
        Algorithm::ES256 | Algorithm::EdDSA => 64,
        Algorithm::ES384 => 96,
        _ => 256,
    };
    let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
    format!("{}.{}.{}", part(header.as_bytes()), part(br#"{"exp":9e9}"#), part(&vec![0; length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    include!("../../../../fuzz/corpora.rs");

    #[test]
    fn jwks_of_the_corpus_does_no_harm() {
        each("jwks", jwks);
    }
}
