//! What fuzzers call: only what one of the keys has signed is accepted, and only as far as it holds.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{
    Expectations, Grant, InvalidToken, KeySource, SigningKey, Verifier, claims::MAX_INFO, claims::MAX_TOKEN_ID,
    issue::issue, provider, rights,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::LazyLock, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// The longest text of a refusal, in bytes: it must not grow with the token.
const MAX_REFUSAL: usize = 1024;

const LEEWAY: Duration = Duration::from_secs(10);

/// The algorithms of all kinds, each with the files that sign and verify. Any file of some length will do as a secret.
const ALGORITHMS: [(&str, &str, &str); 12] = [
    ("HS256", "p256.pem", "p256.pem"),
    ("HS384", "p384.pem", "p384.pem"),
    ("HS512", "rsa.pem", "rsa.pem"),
    ("ES256", "p256.pem", "p256.pub.pem"),
    ("ES384", "p384.pem", "p384.pub.pem"),
    ("EdDSA", "ed25519.pem", "ed25519.pub.pem"),
    ("RS256", "rsa.pem", "rsa.pub.pem"),
    ("RS384", "rsa.pem", "rsa.pub.pem"),
    ("RS512", "rsa.pem", "rsa.pub.pem"),
    ("PS256", "rsa.pem", "rsa.pub.pem"),
    ("PS384", "rsa.pem", "rsa.pub.pem"),
    ("PS512", "rsa.pem", "rsa.pub.pem"),
];

/// How many of them sign so fast that a token can be made for each input.
const FAST: usize = 6;

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

/// Keys of all algorithms, each called like its own, and a token of each that holds.
struct Stage {
    runtime: Runtime,
    verifier: Verifier,
    keys: Vec<SigningKey>,
    tokens: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let expected = Expectations {
            audiences: vec!["a".to_owned()],
            issuers: vec!["i".to_owned()],
            leeway: LEEWAY,
            lifetime: Duration::MAX,
        };
        let sources = ALGORITHMS.map(|(algorithm, _, public)| source(algorithm, public));
        let keys = ALGORITHMS.map(|(algorithm, private, _)| source(algorithm, private).signing().unwrap());
        let holds = json!({ "exp": 1e12, "aud": "a", "iss": "i", "sub": "u", "rights": { "subscribe": ["news:*"] } });
        let tokens = keys.each_ref().map(|key| issue(&serde_json::from_value(holds.clone()).unwrap(), key).unwrap());
        Self {
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            verifier: Verifier::new(&sources, expected).unwrap(),
            keys: keys.into(),
            tokens: tokens.into(),
        }
    }

    fn verify(&self, token: &str) -> Result<Grant, InvalidToken> {
        let verified = self.runtime.block_on(self.verifier.verify(token));
        if let Err(invalid) = &verified {
            let told = invalid.to_string();
            assert!((1..=MAX_REFUSAL).contains(&told.len()), "{told}");
        }
        verified
    }
}

fn source(algorithm: &str, file: &str) -> KeySource {
    format!("{algorithm}:{algorithm}:{}/tests/keys/{file}", env!("CARGO_MANIFEST_DIR")).parse().unwrap()
}

/// A token that nobody has signed, behind a byte that says in which form: the text of one; the header, the claims and the
/// signature of one, each on a line of its own; or changes of one that was signed.
pub fn tokens(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    match form {
        0 => refused(&String::from_utf8_lossy(rest)),
        1 => refused(&rest.splitn(3, |byte| *byte == b'\n').map(base64).collect::<Vec<_>>().join(".")),
        form => changed(&STAGE.tokens[usize::from(*form) % STAGE.tokens.len()], rest),
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn refused(token: &str) {
    assert!(STAGE.tokens.iter().any(|signed| signed == token) || STAGE.verify(token).is_err(), "accepted: {token}");
}

/// Puts other bytes into `signed`, each behind two that say where; one behind the end is added there.
fn changed(signed: &str, changes: &[u8]) {
    let mut token = signed.as_bytes().to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % (token.len() + 1);
        token.splice(at..(at + 1).min(token.len()), [change[2]]);
    }
    let token = String::from_utf8_lossy(&token);
    assert_eq!(STAGE.verify(&token).is_ok(), token == signed, "{token}");
}

/// Claims that a key has signed, whatever they are, behind a byte that says which key.
pub fn claims(data: &[u8]) {
    let Some((key, claims)) = data.split_first() else { return };
    let key = &STAGE.keys[usize::from(*key) % FAST];
    let before = now();
    if let Ok(grant) = STAGE.verify(&signed(key, claims)) {
        holds(&serde_json::from_slice(claims).unwrap(), before);
        is_bounded(&grant);
    }
}

fn signed(key: &SigningKey, claims: &[u8]) -> String {
    let header = json!({ "alg": key.id, "kid": key.id }).to_string();
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims));
    let signature = provider::sign(key.algorithm, key.key.as_bytes(), message.as_bytes()).unwrap();
    format!("{message}.{}", base64(&signature))
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What claims must say; what others say is of no concern, even where it is hardly JSON.
#[derive(Debug, Deserialize)]
struct Said {
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    aud: Value,
    iss: Value,
}

/// Accepted claims were made by whom and for whom the verifier expects, and held at some moment since `before`.
fn holds(said: &Said, before: f64) {
    let leeway = LEEWAY.as_secs_f64();
    assert!(said.exp + leeway > before, "{said:?}");
    assert!([said.nbf, said.iat].into_iter().flatten().all(|begin| begin <= now() + leeway), "{said:?}");
    let is_one_of = |several: &Vec<Value>| several.contains(&"a".into());
    assert!(said.aud == "a" || said.aud.as_array().is_some_and(is_one_of), "{said:?}");
    assert_eq!(said.iss, "i");
}

fn is_bounded(grant: &Grant) {
    assert!(grant.lasts > Duration::ZERO);
    assert!(grant.info.as_ref().is_none_or(|info| info.length() <= MAX_INFO));
    assert!(grant.id.as_ref().is_none_or(|id| (1..=MAX_TOKEN_ID).contains(&id.len())));
    assert!(grant.user.as_ref().is_none_or(|user| fanwire_protocol::UserId::parse(user.as_str()).is_ok()));
    // What was accepted reads the same again, and stays within the bounds of rights.
    let shown = serde_json::to_value(&grant.rights).unwrap();
    assert_eq!(serde_json::from_value::<rights::Rights>(shown.clone()).unwrap(), grant.rights);
    for patterns in shown.as_object().unwrap().values().filter_map(Value::as_array) {
        assert!(patterns.len() <= rights::MAX_PATTERNS, "{shown}");
        assert!(patterns.iter().all(|pattern| pattern.as_str().unwrap().len() <= 200), "{shown}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    include!("../../../fuzz/corpora.rs");

    #[test]
    fn tokens_of_the_corpus_do_no_harm() {
        each("tokens", tokens);
    }

    #[test]
    fn claims_of_the_corpus_do_no_harm() {
        each("claims", claims);
    }

    #[test]
    fn signed_claims_are_accepted() {
        let accepted = STAGE.tokens.iter().filter(|token| STAGE.verify(token).is_ok()).count();
        assert_eq!(accepted, ALGORITHMS.len());
        let claims = br#"{"exp":1e12,"aud":["x","a"],"iss":"i"}"#;
        let verified = STAGE.keys[..FAST].iter().filter(|key| STAGE.verify(&signed(key, claims)).is_ok()).count();
        assert_eq!(verified, FAST);
    }
}
