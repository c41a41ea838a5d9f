#![allow(clippy::unwrap_used)]
use super::*;
use std::fs;

/// A file that ends with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("fanwire-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn source(algorithm: &str, file: &str) -> KeySource {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/");
    format!("k:{algorithm}:{path}{file}").parse().unwrap()
}

#[test]
fn a_source_is_a_name_an_algorithm_and_a_file() {
    let parsed: KeySource = "2026-11:HS256:/a:b".parse().unwrap();
    assert_eq!(
        (parsed.id(), parsed.algorithm, parsed.file.as_path()),
        ("2026-11", Algorithm::HS256, Path::new("/a:b"))
    );
    for wrong in ["", "k", "k:HS256", "k:HS256:", ":HS256:/f"] {
        assert!(matches!(wrong.parse::<KeySource>(), Err(InvalidKey::Source(text)) if text == wrong));
    }
    for unknown in ["none", "hs256", "HS1", ""] {
        let parsed = format!("k:{unknown}:/f").parse::<KeySource>();
        assert!(matches!(parsed, Err(InvalidKey::Algorithm(text)) if text == unknown));
    }
}

#[test]
fn a_secret_has_as_many_bytes_as_its_hash() {
    for (algorithm, least) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let check = |content: &[u8]| {
            let file = Temporary::new(&format!("{algorithm}-{}", content.len()), content);
            format!("k:{algorithm}:{}", file.0.display()).parse::<KeySource>().unwrap().verifying()
        };
        let secret = vec![b'x'; least];
        assert_eq!(check(&secret).unwrap().key.try_get_as_bytes().unwrap(), secret);
        assert_eq!(check(&[&secret, &b"\r\n"[..]].concat()).unwrap().key.try_get_as_bytes().unwrap(), secret);
        let wrong = check(&[&secret[1..], b"\n"].concat()).unwrap_err();
        assert!(matches!(wrong, InvalidKey::ShortSecret { length, .. } if length == least - 1));
    }
}

#[test]
fn a_public_key_is_of_its_algorithms_kind() {
    for (algorithm, file) in
        [("RS256", "rsa"), ("PS512", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed25519")]
    {
        assert!(source(algorithm, &format!("{file}.pub.pem")).verifying().is_ok(), "{algorithm}");
        assert!(source(algorithm, &format!("{file}.pem")).signing().is_ok(), "{algorithm}");
    }
    for (algorithm, file) in [
        ("RS256", "p256.pub.pem"),
        ("RS256", "weak.pub.pem"),
        ("ES256", "p384.pub.pem"),
        ("ES384", "p256.pub.pem"),
        ("ES256", "rsa.pub.pem"),
        ("EdDSA", "p256.pub.pem"),
        ("ES256", "p256.pem"),
        ("RS256", "README.md"),
    ] {
        let wrong = source(algorithm, file).verifying();
        assert!(matches!(wrong, Err(InvalidKey::Key { half: "public", .. })), "{algorithm} {file}: {wrong:?}");
    }
    assert!(matches!(source("RS256", "none").verifying(), Err(InvalidKey::File { .. })));
}

#[test]
fn a_key_is_not_shown() {
    let file = Temporary::new("shown", &[b'!'; 64]);
    let source: KeySource = format!("k:HS256:{}", file.0.display()).parse().unwrap();
    let shown = format!("{:?} {:?}", source.verifying().unwrap(), source.signing().unwrap());
    assert!(!shown.contains("!!!") && !shown.contains("33, 33"), "{shown}");
}
