#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    claims::Seconds,
    issue::issue,
    jwks::set::tests::{ed25519, set_of},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

const ALGORITHMS: [(&str, &str); 9] = [
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("EdDSA", "ed25519"),
];

fn source(id: &str, algorithm: &str, file: &str) -> KeySource {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/");
    format!("{id}:{algorithm}:{path}{file}").parse().unwrap()
}

fn verifier(keys: &[KeySource]) -> Verifier {
    Verifier::new(keys, Expectations::default()).unwrap()
}

fn claims_now() -> Claims {
    Claims { exp: Some(Seconds(unix_now().as_secs_f64() + 60.0)), sub: Some("u".to_owned()), ..Claims::default() }
}

/// A token of these parts, signed by nobody.
fn forged(header: &serde_json::Value, signature: &[u8]) -> String {
    let part = |value: &[u8]| URL_SAFE_NO_PAD.encode(value);
    let claims = serde_json::to_vec(&claims_now()).unwrap();
    format!("{}.{}.{}", part(header.to_string().as_bytes()), part(&claims), part(signature))
}

#[tokio::test]
async fn every_algorithm_verifies_what_it_has_signed() {
    for (algorithm, file) in ALGORITHMS {
        let token = issue(&claims_now(), &source("k", algorithm, &format!("{file}.pem")).signing().unwrap()).unwrap();
        let verifier = verifier(&[source("k", algorithm, &format!("{file}.pub.pem"))]);
        assert_eq!(verifier.verify(&token).await.unwrap().user.unwrap().as_str(), "u", "{algorithm}");
        // A character in the middle of the signature.
        let at = token.len() - 20;
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        let broken = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        assert_eq!(verifier.verify(&broken).await, Err(InvalidToken::Signature), "{algorithm}");
    }
}

#[tokio::test]
async fn secrets_verify_what_they_have_signed() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        // Any file of some length will do as a secret.
        let keys = [source("k", algorithm, "p256.pem"), source("other", algorithm, "rsa.pem")];
        let [token, other] = keys.each_ref().map(|key| issue(&claims_now(), &key.signing().unwrap()).unwrap());
        assert!(verifier(&keys).verify(&token).await.is_ok() && verifier(&keys).verify(&other).await.is_ok());
        let only = verifier(&keys[..1]);
        assert_eq!(only.verify(&other).await, Err(InvalidToken::UnknownKey));
        let renamed = source("k", algorithm, "rsa.pem");
        let token = issue(&claims_now(), &renamed.signing().unwrap()).unwrap();
        assert_eq!(only.verify(&token).await, Err(InvalidToken::Signature));
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let verifier = verifier(&[source("k", "RS256", "rsa.pub.pem")]);
    let secret = source("k", "HS256", "rsa.pub.pem");
    let token = issue(&claims_now(), &secret.signing().unwrap()).unwrap();
    assert_eq!(verifier.verify(&token).await, Err(InvalidToken::Algorithm));
    let pss = source("k", "PS256", "rsa.pem");
    let token = issue(&claims_now(), &pss.signing().unwrap()).unwrap();
    assert_eq!(verifier.verify(&token).await, Err(InvalidToken::Algorithm));
}

#[tokio::test]
async fn a_token_without_a_key_is_verified_by_the_only_one() {
    let (one, two) = (source("a", "HS256", "p256.pem"), source("b", "HS256", "rsa.pem"));
    let token = |header| forged(&header, &[0; 32]);
    let nameless = token(json!({ "alg": "HS256" }));
    assert_eq!(verifier(std::slice::from_ref(&one)).verify(&nameless).await, Err(InvalidToken::Signature));
    assert_eq!(verifier(&[one, two]).verify(&nameless).await, Err(InvalidToken::UnknownKey));
    assert_eq!(verifier(&[]).verify(&nameless).await, Err(InvalidToken::UnknownKey));
}

#[tokio::test]
async fn what_is_no_token_is_told_without_repeating_it() {
    let verifier = verifier(&[source("k", "HS256", "p256.pem")]);
    for text in [
        String::new(),
        "secret".to_owned(),
        "sec.ret".to_owned(),
        "a.b.c.d".to_owned(),
        "\u{e9}.\u{e9}.\u{e9}".to_owned(),
        "x".repeat(MAX_TOKEN + 1),
        forged(&json!({ "alg": "none", "kid": "k" }), b""),
        forged(&json!({ "alg": "None", "kid": "k" }), b""),
        forged(&json!({ "kid": "secret" }), b""),
        forged(&json!({ "alg": "HS256", "kid": "k", "crit": ["b64"], "b64": false }), &[0; 32]),
    ] {
        match verifier.verify(&text).await {
            Err(InvalidToken::Malformed(told)) => assert!(!told.contains("secret"), "{told}"),
            other => assert_eq!(other, Err(InvalidToken::Malformed(String::new())), "{text}"),
        }
    }
    let unsigned = forged(&json!({ "alg": "HS256", "kid": "k" }), b"");
    assert_eq!(verifier.verify(&unsigned).await, Err(InvalidToken::Signature));
}

#[test]
fn a_signature_of_a_key_pair_is_verified_on_another_thread_and_a_secrets_is_not() {
    // As a shard's: one thread, and here one more for what blocks, which is taken.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let taken = spawn_blocking(move || released.recv().is_err());
        let verify = |algorithm: &str, private: &str, public: &str| {
            let token = issue(&claims_now(), &source("k", algorithm, private).signing().unwrap()).unwrap();
            let verifier = verifier(&[source("k", algorithm, public)]);
            tokio::spawn(async move { verifier.verify(&token).await.is_ok() })
        };
        let slow =
            ALGORITHMS.map(|(algorithm, file)| verify(algorithm, &format!("{file}.pem"), &format!("{file}.pub.pem")));
        assert!(verify("HS256", "p256.pem", "p256.pem").await.unwrap());
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(slow.iter().all(|verified| !verified.is_finished()), "one was verified on this thread");
        drop(release);
        for verified in slow {
            assert!(verified.await.unwrap());
        }
        assert!(taken.await.unwrap());
    });
}

#[tokio::test]
async fn keys_that_are_read_again_are_all_new_or_the_old_ones() {
    let file = std::env::temp_dir().join(format!("fanwire-{}-token-key", std::process::id()));
    std::fs::write(&file, [b'1'; 32]).unwrap();
    let source: KeySource = format!("k:HS256:{}", file.display()).parse().unwrap();
    let token = || issue(&claims_now(), &source.signing().unwrap()).unwrap();
    let (verifier, first) = (verifier(std::slice::from_ref(&source)), token());
    std::fs::write(&file, [b'2'; 32]).unwrap();
    let second = token();
    assert!(verifier.verify(&first).await.is_ok() && verifier.verify(&second).await.is_err());
    verifier.reload().unwrap();
    assert!(verifier.verify(&first).await.is_err() && verifier.verify(&second).await.is_ok());
    std::fs::write(&file, b"short").unwrap();
    assert!(verifier.reload().is_err() && verifier.verify(&second).await.is_ok());
    assert_eq!(verifier.files().collect::<Vec<_>>(), [file.as_path()]);
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_published_key_verifies_unless_a_file_has_its_name() {
    // RFC 8037, appendix A: this is the public half of no key here.
    let published = |kid| Arc::new(PublishedKeys::fixed(set_of(&[ed25519(kid)])));
    let files = [source("k", "EdDSA", "ed25519.pub.pem")];
    let token = |kid| issue(&claims_now(), &source(kid, "EdDSA", "ed25519.pem").signing().unwrap()).unwrap();
    let with = |kid| verifier(&files).with_published(published(kid));
    assert!(with("k").verify(&token("k")).await.is_ok());
    assert_eq!(with("p").verify(&token("p")).await, Err(InvalidToken::Signature));
    assert_eq!(with("p").verify(&token("other")).await, Err(InvalidToken::UnknownKey));
    // Where more keys may come, there is no only one.
    let nameless = forged(&json!({ "alg": "EdDSA" }), &[0; 64]);
    assert_eq!(with("p").verify(&nameless).await, Err(InvalidToken::UnknownKey));
    assert_eq!(verifier(&files).verify(&nameless).await, Err(InvalidToken::Signature));
    let confused = forged(&json!({ "alg": "HS256", "kid": "p" }), &[0; 32]);
    assert_eq!(with("p").verify(&confused).await, Err(InvalidToken::Algorithm));
}

#[test]
fn every_refusal_has_a_label() {
    let all = [
        InvalidToken::Malformed(String::new()),
        InvalidToken::UnknownKey,
        InvalidToken::Algorithm,
        InvalidToken::Signature,
        InvalidToken::Expired,
        InvalidToken::TooLong,
        InvalidToken::Revoked,
        InvalidToken::NoEnd,
        InvalidToken::NotYet,
        InvalidToken::Audience,
        InvalidToken::Issuer,
        InvalidToken::claim("sub", ""),
        InvalidToken::Unverified,
    ];
    assert_eq!(all.each_ref().map(InvalidToken::label), InvalidToken::LABELS);
}
