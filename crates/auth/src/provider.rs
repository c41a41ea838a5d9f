//! The cryptography of tokens, by ring, which TLS to Redis uses as well: so there is one implementation of it here, and
//! none of RSA whose timing could tell a private key.

use crate::key::family;
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    signature::{Error, Signer, Verifier},
};
use ring::{
    error::{KeyRejected, Unspecified},
    hmac,
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    },
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Signing { algorithm: *algorithm, key: key.clone() })),
    verifier_factory: |algorithm, key| Ok(Box::new(Verifying { algorithm: *algorithm, key: key.clone() })),
    // For turning private keys into JWKs, which nobody does here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use ring.
pub(crate) fn install() {
    // Fails where it was done before.
    let _ = PROVIDER.install_default();
}

struct Verifying {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        if self.key.family() != family(self.algorithm) {
            return Err(Error::new());
        }
        self.check(message, signature).map_err(|Unspecified| Error::new())
    }
}

impl Verifying {
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        match (self.key.kind(), scheme(self.algorithm).ok_or(Unspecified)?) {
            (DecodingKeyKind::SecretOrDer(secret), Scheme::Hmac(hash)) => {
                hmac::verify(&hmac::Key::new(hash, secret), message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Scheme::Rsa(parameters, _)) => {
                UnparsedPublicKey::new(parameters, key).verify(message, signature)
            }
            (DecodingKeyKind::RsaModulusExponent { n, e }, Scheme::Rsa(parameters, _)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Scheme::Ecdsa(verification, _)) => {
                UnparsedPublicKey::new(verification, key).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Scheme::Ed25519) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            (DecodingKeyKind::RsaModulusExponent { .. }, _) => Err(Unspecified),
        }
    }
}

struct Signing {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        if self.key.family() != family(self.algorithm) {
            return Err(Error::new());
        }
        sign(self.algorithm, self.key.as_bytes(), message).map_err(Error::from_source)
    }
}

/// What `key`, in the form that jsonwebtoken keeps it in, makes of `message`.
pub(crate) fn sign(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
    let random = SystemRandom::new();
    let rejected = |error: KeyRejected| error.to_string();
    let signed = match scheme(algorithm) {
        Some(Scheme::Hmac(hash)) => Ok(hmac::sign(&hmac::Key::new(hash, key), message).as_ref().to_vec()),
        Some(Scheme::Rsa(_, padding)) => {
            let pair = KeyPair::from_der(key).map_err(rejected)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(padding, &random, message, &mut signature).map(|()| signature)
        }
        Some(Scheme::Ecdsa(_, signing)) => {
            let pair = EcdsaKeyPair::from_pkcs8(signing, key, &random).map_err(rejected)?;
            pair.sign(&random, message).map(|signature| signature.as_ref().to_vec())
        }
        Some(Scheme::Ed25519) => {
            // OpenSSL writes no public key beside the private one.
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(rejected)?;
            Ok(pair.sign(message).as_ref().to_vec())
        }
        None => Err(Unspecified),
    };
    signed.map_err(|error| error.to_string())
}

/// How an algorithm verifies, and how it signs.
enum Scheme {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters, &'static dyn RsaEncoding),
    Ecdsa(&'static dyn VerificationAlgorithm, &'static EcdsaSigningAlgorithm),
    Ed25519,
}

fn scheme(algorithm: Algorithm) -> Option<Scheme> {
    Some(match algorithm {
        Algorithm::HS256 => Scheme::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Scheme::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Scheme::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256, &RSA_PKCS1_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384, &RSA_PKCS1_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512, &RSA_PKCS1_SHA512),
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256, &RSA_PSS_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384, &RSA_PSS_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512, &RSA_PSS_SHA512),
        Algorithm::ES256 => Scheme::Ecdsa(&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Scheme::Ecdsa(&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDSA => Scheme::Ed25519,
        _ => return None,
    })
}
