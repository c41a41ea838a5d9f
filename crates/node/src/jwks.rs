//! Keeps keys of tokens that an issuer publishes at an address.
//!
//! A good answer replaces what was known: a key that it does not list is none any more. Anything else changes nothing,
//! however long it lasts.

mod metrics;
mod pace;

pub(crate) use metrics::JwksMetrics;

use crate::readiness::{Need, Readiness};
use fanwire_auth::{
    PublishedKeys,
    jwks::{KeySet, Source, Unread},
};
use pace::{COOLDOWN, Pace};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// Where keys are published, and how often they are read.
#[derive(Debug, Clone)]
pub struct Jwks {
    /// The address.
    pub source: Source,
    /// From one good answer to the next read, up to a tenth less, so that nodes don't come together.
    pub interval: Duration,
}

/// What keeps the keys.
pub(crate) struct KeyKeeper {
    pub(crate) jwks: Jwks,
    pub(crate) keys: Arc<PublishedKeys>,
    /// Waits for the first good answer.
    pub(crate) readiness: Readiness,
    pub(crate) metrics: JwksMetrics,
}

impl KeyKeeper {
    /// Reads the keys again and again; runs as long as the node. One read at a time, whoever wants it.
    pub(crate) async fn run(self) {
        let mut pace = Pace::new(self.jwks.interval);
        loop {
            let begun = Instant::now();
            let read = self.jwks.source.read().await;
            self.metrics.read(&read);
            let wait =
                if read.is_ok() { pace.after_success(rand::random()) } else { pace.after_failure(rand::random()) };
            self.take(read, wait);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.wanted(begun) => {}
            }
        }
    }

    fn take(&self, read: Result<KeySet, Unread>, wait: Duration) {
        match read {
            Ok(set) => {
                tracing::debug!(keys = set.count(), "keys read from auth.jwks");
                self.keys.replace(set);
                self.readiness.has(Need::Keys);
            }
            Err(error) => {
                tracing::warn!(%error, again_in = ?wait, "auth.jwks can't be read, the keys stay what they were");
                self.keys.keep();
                self.readiness.lacks(Need::Keys, &error);
            }
        }
    }

    /// A token wants a key that is not known, and the last read was not just now.
    async fn wanted(&self, begun: Instant) {
        self.keys.wanted().await;
        sleep_until(begun + COOLDOWN).await;
    }
}
