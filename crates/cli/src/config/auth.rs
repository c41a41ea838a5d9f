//! The group `auth`: who may connect.

use super::{
    Effective,
    problem::Problem,
    setting::{Visitor, any, within},
};
use fanwire_auth::{Expectations, InvalidKey, KeySource, Verifier};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// How connections say who they are.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    /// What tokens are verified with, each as [`KeySource`]; without any, nobody has to have one.
    pub(crate) keys: Vec<String>,
    /// For whom tokens must be made.
    pub(crate) audiences: Vec<String>,
    /// Who must have made them.
    pub(crate) issuers: Vec<String>,
    /// By how much clocks may differ.
    pub(crate) leeway: Duration,
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
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway: 10 * SECOND,
            anonymous: false,
            query: false,
            timeout: 10 * SECOND,
        }
    }
}

impl Auth {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("auth.keys", &mut self.keys, |keys| unusable(keys));
        visitor.setting("auth.audiences", &mut self.audiences, any);
        visitor.setting("auth.issuers", &mut self.issuers, any);
        visitor.setting("auth.leeway", &mut self.leeway, within(Duration::ZERO..=300 * SECOND));
        visitor.setting("auth.anonymous", &mut self.anonymous, any);
        visitor.setting("auth.query", &mut self.query, any);
        visitor.setting("auth.timeout", &mut self.timeout, within(SECOND / 10..=300 * SECOND));
    }

    /// Whether anybody has to say who they are, or may.
    pub(crate) fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Where the keys are.
    ///
    /// # Errors
    ///
    /// The first that says nothing of it.
    pub(crate) fn sources(&self) -> Result<Vec<KeySource>, InvalidKey> {
        self.keys.iter().map(|key| key.parse()).collect()
    }

    /// What a node expects of tokens.
    pub(crate) fn expectations(&self) -> Expectations {
        Expectations { audiences: self.audiences.clone(), issuers: self.issuers.clone(), leeway: self.leeway }
    }

    /// A setting that nobody would heed.
    pub(super) fn useless(&self, effective: &Effective) -> Option<Problem> {
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
    Some(Problem::value(key, literal, origin, "has no use without auth.keys: everybody may do everything then"))
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
