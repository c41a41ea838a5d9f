//! Files with keys of tokens and of the API, which are read again as certificates are.

use crate::{
    fresh::{Fresh, Reload, Watched, stamps},
    metrics::registered,
};
use fanwire_auth::{ApiKeys, InvalidApiKey, InvalidKey, Verifier};
use prometheus::{IntCounterVec, Opts, Registry};
use std::{fmt, path::Path, sync::Arc};

/// How often keys were read again.
#[derive(Debug, Clone)]
pub(crate) struct KeyMetrics(IntCounterVec);

impl KeyMetrics {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reloads = Opts::new(
            "fanwire_key_reloads_total",
            "Times that files of keys were read again, by what they are for and result: loaded, or refused and the old \
             ones stay.",
        );
        let reloads = registered(registry, IntCounterVec::new(reloads, &["keys", "result"])?)?;
        for keys in [TOKENS, API] {
            for result in Reload::ALL {
                reloads.with_label_values(&[keys, result.label()]);
            }
        }
        Ok(Self(reloads))
    }

    fn reloaded(&self, keys: &'static str, outcome: &Result<(), impl fmt::Display>) {
        let result = match outcome {
            Ok(()) => {
                tracing::info!(keys, "keys read again");
                Reload::Loaded
            }
            Err(error) => {
                tracing::warn!(keys, %error, "keys can't be used, those before them stay in use");
                Reload::Refused
            }
        };
        self.0.with_label_values(&[keys, result.label()]).inc();
    }
}

/// What keys are for, as a label: `auth.keys` and `api.keys`.
const TOKENS: &str = "auth";
const API: &str = "api";

/// The files of `auth.keys`.
struct TokenKeys(Arc<Verifier>, KeyMetrics);

impl Fresh for TokenKeys {
    fn paths(&self) -> Vec<&Path> {
        self.0.files().collect()
    }

    fn reload(&self) {
        self.1.reloaded(TOKENS, &self.0.reload());
    }
}

/// The files of `api.keys`.
struct ApiKeyFiles(ApiKeys, KeyMetrics);

impl Fresh for ApiKeyFiles {
    fn paths(&self) -> Vec<&Path> {
        self.0.files().iter().map(AsRef::as_ref).collect()
    }

    fn reload(&self) {
        self.1.reloaded(API, &self.0.reload());
    }
}

/// Watches the files of `verifier`, if there are any.
///
/// # Errors
///
/// What has become wrong with one since they were read.
pub(crate) fn watch_tokens(verifier: &Arc<Verifier>, metrics: &KeyMetrics) -> Result<Option<Watched>, InvalidKey> {
    let files = stamps(verifier.files());
    if files.is_empty() {
        return Ok(None);
    }
    // They may have changed since they were read, and before they were looked at.
    verifier.reload()?;
    Ok(Some(Watched::new(Arc::new(TokenKeys(Arc::clone(verifier), metrics.clone())), files)))
}

/// Watches the files of `keys`, if there are any.
///
/// # Errors
///
/// What has become wrong with one since they were read.
pub(crate) fn watch_api(keys: &ApiKeys, metrics: &KeyMetrics) -> Result<Option<Watched>, InvalidApiKey> {
    let files = stamps(keys.files().iter().map(AsRef::as_ref));
    if files.is_empty() {
        return Ok(None);
    }
    keys.reload()?;
    Ok(Some(Watched::new(Arc::new(ApiKeyFiles(keys.clone(), metrics.clone())), files)))
}
