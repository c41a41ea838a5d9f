//! The group `auth`: who may connect.

use super::{
    Effective,
    problem::Problem,
    secret_url::SecretUrl,
    setting::{Visitor, any, within},
};
use fanwire_auth::{Expectations, InvalidKey, KeySource, Verifier, jwks::Source};
use fanwire_fetch::{InvalidUrl, ServiceUrl};
use fanwire_tls::ClientFiles;
use std::{path::PathBuf, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How connections say who they are.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    /// What tokens are verified with, each as [`KeySource`]; without any, and none at `jwks`, nobody has to have one.
    pub(crate) keys: Vec<String>,
    /// Where an issuer publishes others; nothing for nowhere.
    pub(crate) jwks: SecretUrl,
    /// A file with the authorities that are trusted there; empty for those of the system.
    pub(crate) jwks_ca: String,
    /// How often they are read.
    pub(crate) jwks_interval: Duration,
    /// For whom tokens must be made.
    pub(crate) audiences: Vec<String>,
    /// Who must have made them.
    pub(crate) issuers: Vec<String>,
    /// By how much clocks may differ.
    pub(crate) leeway: Duration,
    /// How long tokens may hold at most, and how long one is kept out that was revoked.
    pub(crate) lifetime: Duration,
    /// Whether a connection may have no token.
    pub(crate) anonymous: bool,
    /// Whether a token may stand in the query of the upgrade.
    pub(crate) query: bool,
    /// How long a connection may take to send one.
    pub(crate) timeout: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks: SecretUrl::default(),
            jwks_ca: String::new(),
            jwks_interval: 300 * SECOND,
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway: 10 * SECOND,
            lifetime: 30 * DAY,
            anonymous: false,
            query: false,
            timeout: 10 * SECOND,
        }
    }
}

impl Auth {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("auth.keys", &mut self.keys, |keys| unusable(keys));
        visitor.setting("auth.jwks", &mut self.jwks, |url| {
            ServiceUrl::parse(url.expose()?).err().map(|invalid| invalid.to_string())
        });
        visitor.setting("auth.jwks_ca", &mut self.jwks_ca, |ca| unusable_ca(ca));
        visitor.setting("auth.jwks_interval", &mut self.jwks_interval, within(10 * SECOND..=DAY));
        visitor.setting("auth.audiences", &mut self.audiences, any);
        visitor.setting("auth.issuers", &mut self.issuers, any);
        visitor.setting("auth.leeway", &mut self.leeway, within(Duration::ZERO..=300 * SECOND));
        visitor.setting("auth.lifetime", &mut self.lifetime, within(60 * SECOND..=366 * DAY));
        visitor.setting("auth.anonymous", &mut self.anonymous, any);
        visitor.setting("auth.query", &mut self.query, any);
        visitor.setting("auth.timeout", &mut self.timeout, within(SECOND / 10..=300 * SECOND));
    }

    /// Whether anybody has to say who they are, or may.
    pub(crate) fn is_on(&self) -> bool {
        !self.keys.is_empty() || self.jwks.expose().is_some()
    }

    /// Where keys are published, if they are.
    ///
    /// # Errors
    ///
    /// What is wrong with the address.
    pub(crate) fn jwks(&self) -> Result<Option<Source>, InvalidUrl> {
        let Some(url) = self.jwks.expose() else { return Ok(None) };
        Ok(Some(Source { url: ServiceUrl::parse(url)?, tls: trusting(&self.jwks_ca) }))
    }

    /// Where the keys are.
    ///
    /// # Errors
    ///
    /// The first that says nothing of it.
    pub(crate) fn sources(&self) -> Result<Vec<KeySource>, InvalidKey> {
        self.keys.iter().map(|key| key.parse()).collect()
    }

    /// How long it is remembered that a token was revoked: until none of the longest holds any more that a node has taken
    /// before, whose clock and whose issuer's may differ from that of the node which has told it.
    pub(crate) fn revocation(&self) -> Duration {
        self.lifetime + 3 * self.leeway
    }

    /// What a node expects of tokens.
    pub(crate) fn expectations(&self) -> Expectations {
        let Self { audiences, issuers, leeway, lifetime, .. } = self;
        let (audiences, issuers) = (audiences.clone(), issuers.clone());
        Expectations { audiences, issuers, leeway: *leeway, lifetime: *lifetime }
    }

    /// A setting that nobody would heed.
    pub(super) fn useless(&self, effective: &Effective) -> Option<Problem> {
        let is_secure = matches!(self.jwks(), Ok(Some(source)) if source.url.is_secure());
        if !self.jwks_ca.is_empty() && !is_secure {
            let (literal, origin) = effective.get("auth.jwks_ca")?;
            return Some(Problem::value(
                "auth.jwks_ca",
                literal,
                origin,
                "has no use without auth.jwks = \"https://…\"",
            ));
        }
        let set = [
            ("auth.audiences", !self.audiences.is_empty()),
            ("auth.issuers", !self.issuers.is_empty()),
            ("auth.anonymous", self.anonymous),
            ("auth.query", self.query),
        ];
        let (key, _) = set.into_iter().find(|(_, is_set)| *is_set && !self.is_on())?;
        without_keys(effective, key)
    }
}

/// That `key` says something which nobody heeds as long as there are no tokens.
pub(super) fn without_keys(effective: &Effective, key: &str) -> Option<Problem> {
    let (literal, origin) = effective.get(key)?;
    Some(Problem::value(
        key,
        literal,
        origin,
        "has no use without auth.keys or auth.jwks: everybody may do everything then",
    ))
}

fn trusting(ca: &str) -> ClientFiles {
    ClientFiles { ca: (!ca.is_empty()).then(|| PathBuf::from(ca)), ..ClientFiles::default() }
}

/// What is wrong with the file of authorities.
fn unusable_ca(ca: &str) -> Option<String> {
    if ca.is_empty() { None } else { trusting(ca).config().err().map(|invalid| invalid.to_string()) }
}

/// What is wrong with keys, or their files.
fn unusable(keys: &[String]) -> Option<String> {
    let sources = keys.iter().map(|key| key.parse()).collect::<Result<Vec<KeySource>, _>>();
    let sources = match sources {
        Ok(sources) => sources,
        Err(invalid) => return Some(invalid.to_string()),
    };
    let twice = |at: &usize| sources[..*at].iter().any(|before| before.id() == sources[*at].id());
    if let Some(at) = (0..sources.len()).find(twice) {
        return Some(format!("two keys are called {:?}: tokens could not tell them apart", sources[at].id()));
    }
    Verifier::new(&sources, Expectations::default()).err().map(|invalid| invalid.to_string())
}
