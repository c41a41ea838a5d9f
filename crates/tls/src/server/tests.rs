#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
use super::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use std::{
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fanwire-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A certificate for `names`.
    fn pair(&self, name: &str, names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Pair {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Pair {
            cert: self.file(&format!("{name}.pem"), &cert.pem()),
            key: self.file(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(pairs: &[&Pair]) -> ServerFiles {
    ServerFiles {
        pairs: pairs.iter().map(|pair| (*pair).clone()).collect(),
        least_version: LeastVersion::Tls12,
        clients: Clients::Anyone,
    }
}

/// What is said of `files`, which can't be used.
#[track_caller]
fn check_wrong(files: &ServerFiles, now: SystemTime, path: &Path, reason: &str) {
    let told = files.load(now).map(drop).unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}: ", path.display())) && told.contains(reason), "{told}");
}

#[test]
fn what_certificates_say_is_read() {
    let folder = Folder::new("facts");
    let one = folder.pair("one", &["a.example", "127.0.0.1", "::1"], &PKCS_ECDSA_P256_SHA256);
    let two = folder.pair("two", &["*.b.example"], &PKCS_ED25519);
    let side = files(&[&one, &two]).load(SystemTime::now()).unwrap();
    let names: Vec<_> = side.certificates.iter().map(|facts| facts.names.join(" ")).collect();
    assert_eq!(names, ["a.example 127.0.0.1 ::1", "*.b.example"]);
    // What rcgen gives them unless told otherwise: the end of the year 4095.
    let ends = UNIX_EPOCH + Duration::from_secs(67_090_118_400);
    assert!(side.certificates.iter().all(|facts| facts.self_signed && facts.expires == ends), "{side:?}");
}

#[test]
fn what_can_not_be_used_is_told_with_its_file() {
    let folder = Folder::new("wrong");
    let one = folder.pair("one", &["a.example"], &PKCS_ECDSA_P256_SHA256);
    let two = folder.pair("two", &["b.example"], &PKCS_ECDSA_P256_SHA256);
    let (now, late) = (SystemTime::now(), UNIX_EPOCH + Duration::from_secs(70_000_000_000));
    let mixed = Pair { cert: one.cert.clone(), key: two.key.clone() };
    check_wrong(&files(&[&two, &mixed]), now, &mixed.key, "is not the key of the first certificate in");
    check_wrong(&files(&[&one]), late, &one.cert, "has expired at 4096-01-01T00:00:00Z");
    let absent = Pair { cert: folder.0.join("absent"), key: one.key.clone() };
    check_wrong(&files(&[&absent]), now, &absent.cert, "can't be read");
    let swapped = Pair { cert: one.key.clone(), key: one.cert.clone() };
    check_wrong(&files(&[&swapped]), now, &swapped.cert, "holds no certificate in PEM");
    let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let odd = Pair { cert: one.cert.clone(), key: folder.file("odd.key", odd) };
    check_wrong(&files(&[&odd]), now, &odd.key, "holds no key that can be used");
    let clients = Clients::Required(folder.file("ca.pem", "nothing"));
    let asking = ServerFiles { clients, ..files(&[&one]) };
    check_wrong(&asking, now, &folder.0.join("ca.pem"), "holds no certificate in PEM");
    assert_eq!(files(&[]).load(now).map(drop).unwrap_err(), InvalidTls::NoCertificate);
}

#[test]
fn every_file_that_is_read_is_named() {
    let folder = Folder::new("paths");
    let one = folder.pair("one", &["a.example"], &PKCS_ECDSA_P256_SHA256);
    let all = ServerFiles { clients: Clients::Optional("ca".into()), ..files(&[&one, &one]) };
    let paths: Vec<_> = all.paths().cloned().collect();
    assert_eq!(paths, [&one.cert, &one.key, &one.cert, &one.key, &PathBuf::from("ca")].map(Clone::clone));
}
