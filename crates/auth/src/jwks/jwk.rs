//! One key, and why it is not used.

use crate::key::{MAX_ID, VerifyingKey, algorithm_called, family, misfit};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::{Deserialize, de::IgnoredAny};

/// The longest RSA modulus and exponent that ring takes, in bytes.
const MAX_MODULUS: usize = 1024;
const MAX_EXPONENT: usize = 4;

/// Why a key of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skipped {
    /// A shared secret (`oct`): whoever can read the set could make tokens.
    Secret,
    /// The private half is there as well, for everybody to make tokens.
    Private,
    /// It is for something else than signatures (`use`, `key_ops`).
    Use,
    /// A kind or a curve that is not known here.
    Kind,
    /// An algorithm that is not known here, or not one of its kind.
    Algorithm,
    /// It has no name (`kid`), or too long a one.
    Name,
    /// Another has the same name.
    Duplicate,
    /// It can't be read, or could be guessed.
    Malformed,
}

impl Skipped {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Secret,
        Self::Private,
        Self::Use,
        Self::Kind,
        Self::Algorithm,
        Self::Name,
        Self::Duplicate,
        Self::Malformed,
    ];

    /// The value of the label `state` in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Private => "private",
            Self::Use => "use",
            Self::Kind => "kind",
            Self::Algorithm => "algorithm",
            Self::Name => "name",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
        }
    }
}

/// A key as it is published (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
}

impl Jwk {
    /// What verifies with it.
    pub(super) fn verifying(self) -> Result<VerifyingKey, Skipped> {
        if self.kty == "oct" {
            return Err(Skipped::Secret);
        }
        if self.d.is_some() {
            return Err(Skipped::Private);
        }
        if !self.verifies() {
            return Err(Skipped::Use);
        }
        let algorithm = self.algorithm()?;
        let key = self.key(algorithm).ok_or(Skipped::Malformed)?;
        let id = self.kid.filter(|id| (1..=MAX_ID).contains(&id.len())).ok_or(Skipped::Name)?;
        Ok(VerifyingKey { id, algorithm, key })
    }

    /// Whether nothing says that it is for something else.
    fn verifies(&self) -> bool {
        let usage = self.usage.as_ref().is_none_or(|usage| usage == "sig");
        usage && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"))
    }

    /// The one algorithm that the key is for: as it says, or else that which all issuers know for its kind.
    fn algorithm(&self) -> Result<Algorithm, Skipped> {
        let usual = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Algorithm::RS256,
            ("EC", Some("P-256")) => Algorithm::ES256,
            ("EC", Some("P-384")) => Algorithm::ES384,
            ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
            _ => return Err(Skipped::Kind),
        };
        let Some(named) = &self.alg else { return Ok(usual) };
        let named = algorithm_called(named).ok_or(Skipped::Algorithm)?;
        // Of RSA there are several; a curve has one.
        let fits = if usual == Algorithm::RS256 { family(named) == AlgorithmFamily::Rsa } else { named == usual };
        if fits { Ok(named) } else { Err(Skipped::Algorithm) }
    }

    fn key(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        match family(algorithm) {
            AlgorithmFamily::Rsa => rsa(&number(self.n.as_deref()?)?, &number(self.e.as_deref()?)?),
            AlgorithmFamily::Ec => {
                let (x, y) = (decoded(self.x.as_deref()?)?, decoded(self.y.as_deref()?)?);
                // Uncompressed (SEC 1, section 2.3.3), each half as long as the other.
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                (x.len() == y.len() && misfit(algorithm, &point).is_none()).then(|| DecodingKey::from_ec_der(&point))
            }
            AlgorithmFamily::Ed => {
                let point = decoded(self.x.as_deref()?)?;
                misfit(algorithm, &point).is_none().then(|| DecodingKey::from_ed_der(&point))
            }
            AlgorithmFamily::Hmac => None,
        }
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let zeros = modulus.first()?.leading_zeros() as usize;
    let fits = (2048..=8 * MAX_MODULUS).contains(&(8 * modulus.len() - zeros));
    // 1 and even ones verify what nobody has signed, or nothing.
    let sound = exponent.len() <= MAX_EXPONENT && exponent != [1] && exponent.last()? % 2 == 1;
    (fits && sound).then(|| DecodingKey::from_rsa_raw_components(modulus, exponent))
}

/// A number in base64url, big end first, without the zeros that some write before it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = decoded(text)?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
