#![allow(clippy::unwrap_used)]
use super::*;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// A point and a modulus as they are written; what they are is of no matter.
const X256: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y256: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
const ED: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A modulus of so many bits.
fn modulus(bits: usize) -> String {
    let mut bytes = vec![0xff; bits.div_ceil(8)];
    bytes[0] >>= (8 - bits % 8) % 8;
    encoded(&bytes)
}

fn encoded(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn ed25519(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": ED })
}

fn rsa() -> Value {
    json!({ "kty": "RSA", "kid": "k", "n": modulus(2048), "e": "AQAB" })
}

fn ec() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": X256, "y": Y256 })
}

pub(crate) fn set_of(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// What becomes of `key` with these changes; `null` takes a member away.
#[track_caller]
fn check(mut key: Value, changes: &Value, expected: Result<Algorithm, Skipped>) {
    let members = key.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    let found = read(&serde_json::value::to_raw_value(&key).unwrap());
    assert_eq!(found.map(|key| key.algorithm), expected, "{key}");
}

#[test]
fn a_key_has_one_algorithm() {
    check(rsa(), &json!({}), Ok(Algorithm::RS256));
    check(rsa(), &json!({ "alg": "PS384" }), Ok(Algorithm::PS384));
    check(ec(), &json!({ "alg": "ES256", "use": "sig", "key_ops": ["verify"] }), Ok(Algorithm::ES256));
    check(ec(), &json!({ "crv": "P-384", "x": encoded(&[1; 48]), "y": encoded(&[1; 48]) }), Ok(Algorithm::ES384));
    check(ed25519("k"), &json!({}), Ok(Algorithm::EdDSA));
    // Confusion of kinds.
    for alg in ["HS256", "none", "ES256", "EdDSA", "rs256", "RSA-OAEP", ""] {
        check(rsa(), &json!({ "alg": alg }), Err(Skipped::Algorithm));
    }
    for alg in ["HS256", "ES384", "RS256"] {
        check(ec(), &json!({ "alg": alg }), Err(Skipped::Algorithm));
    }
}

#[test]
fn a_key_that_can_not_be_trusted_is_not_used() {
    check(
        json!({ "kty": "oct", "kid": "k", "k": encoded(&[1; 64]), "alg": "HS256" }),
        &json!({}),
        Err(Skipped::Secret),
    );
    check(rsa(), &json!({ "d": "AQAB" }), Err(Skipped::Private));
    check(rsa(), &json!({ "use": "enc" }), Err(Skipped::Use));
    check(rsa(), &json!({ "key_ops": ["encrypt", "sign"] }), Err(Skipped::Use));
    check(rsa(), &json!({ "kty": "rsa" }), Err(Skipped::Kind));
    check(ec(), &json!({ "crv": "P-521" }), Err(Skipped::Kind));
    check(ec(), &json!({ "crv": "secp256k1" }), Err(Skipped::Kind));
    check(ec(), &json!({ "crv": null }), Err(Skipped::Kind));
    check(ed25519("k"), &json!({ "crv": "X25519" }), Err(Skipped::Kind));
    for name in [json!(null), json!(""), json!("x".repeat(201))] {
        check(rsa(), &json!({ "kid": name }), Err(Skipped::Name));
    }
}

#[test]
fn a_key_that_is_none_is_not_used() {
    for bits in [1024, 2047, 8200] {
        check(rsa(), &json!({ "n": modulus(bits) }), Err(Skipped::Malformed));
    }
    check(rsa(), &json!({ "n": encoded(&[&[0][..], &[0xff; 256]].concat()) }), Ok(Algorithm::RS256));
    for e in ["", "AA", "AQ", "Ag", "AQABAQAB", "!"] {
        check(rsa(), &json!({ "e": e }), Err(Skipped::Malformed));
    }
    for changes in [json!({ "n": null }), json!({ "n": 7 }), json!({ "kid": ["k"] }), json!({ "kty": null })] {
        check(rsa(), &changes, Err(Skipped::Malformed));
    }
    check(ec(), &json!({ "x": encoded(&[1; 31]) }), Err(Skipped::Malformed));
    check(ec(), &json!({ "x": encoded(&[1; 31]), "y": encoded(&[1; 33]) }), Err(Skipped::Malformed));
    check(ed25519("k"), &json!({ "x": encoded(&[1; 33]) }), Err(Skipped::Malformed));
    let twice =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"a","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let twice = serde_json::from_str::<Box<RawValue>>(twice).unwrap();
    assert_eq!(read(&twice).map(|key| key.id), Err(Skipped::Malformed));
}

#[test]
fn of_keys_with_one_name_none_is_used() {
    let set = set_of(&[ed25519("a"), ed25519("b"), rsa(), ec()]);
    assert_eq!((set.count(), set.skipped(Skipped::Duplicate)), (2, 2));
    assert!(set.keys.iter().all(|key| ["a", "b"].contains(&key.id.as_str())));
    // One that is for something else may be called the same.
    let mut other = rsa();
    other["use"] = json!("enc");
    let set = set_of(&[other, ec(), json!(1), json!({ "kty": "oct", "k": "AQAB" })]);
    let skipped = Skipped::ALL.map(|reason| set.skipped(reason));
    assert_eq!((set.count(), skipped), (1, [1, 0, 1, 0, 0, 0, 0, 1]));
}

#[test]
fn what_is_no_set_is_told_without_repeating_it() {
    for text in ["", "hunter2", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]} hunter2"#] {
        let wrong = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(wrong, InvalidSet::Malformed { .. }), "{text}");
        assert!(!wrong.to_string().contains("hunter2"));
    }
    assert_eq!(KeySet::parse(br#"{"keys":[]}"#).unwrap_err(), InvalidSet::NoKeys(0));
    let many = json!({ "keys": (0..=MAX_KEYS).map(|number| ed25519(&number.to_string())).collect::<Vec<_>>() });
    assert_eq!(KeySet::parse(many.to_string().as_bytes()).unwrap_err(), InvalidSet::TooMany(MAX_KEYS + 1));
}

#[test]
fn every_reason_has_a_label_of_its_own() {
    let labels: std::collections::HashSet<_> = Skipped::ALL.map(Skipped::label).into();
    assert_eq!(labels.len(), Skipped::ALL.len());
}
