//! Where the answer comes from.

use super::set::{InvalidSet, KeySet};
use fanwire_fetch::{Bounds, Client, FetchError, ServiceUrl};
use fanwire_tls::{ClientFiles, InvalidTls, reason::Hints};
use std::time::Duration;
use thiserror::Error;
use tokio::task::spawn_blocking;

/// What a read may take. A set of a hundred large keys has 100 KiB.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), answer: 256 * 1024 };

/// What is wanted (RFC 7517, section 8.5), or what most servers say that it is.
const ACCEPT: &str = "application/jwk-set+json, application/json";

const HINTS: Hints = Hints { ca: "auth.jwks_ca names", cert: "no setting names", plain: "http:// on this machine" };

/// Where an issuer publishes its keys.
#[derive(Debug, Clone)]
pub struct Source {
    /// The address.
    pub url: ServiceUrl,
    /// Who is trusted there; read again with each request.
    pub tls: ClientFiles,
}

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum Unread {
    /// The authorities can't be used.
    #[error("{0}")]
    Tls(#[from] InvalidTls),
    /// There is no answer.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// It is no set of keys.
    #[error("the answer is not taken: {0}")]
    Set(#[from] InvalidSet),
    /// The runtime ends.
    #[error("the node is ending")]
    Ending,
}

impl Unread {
    /// The values of [`Self::label`] that [`FetchError::LABELS`] has not.
    pub const LABELS: [&str; 5] = ["authorities", "malformed", "too_many_keys", "no_keys", "ending"];

    /// The value of the label `result` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Tls(_) => "authorities",
            Self::Fetch(error) => error.label(),
            Self::Set(InvalidSet::Malformed { .. }) => "malformed",
            Self::Set(InvalidSet::TooMany(_)) => "too_many_keys",
            Self::Set(InvalidSet::NoKeys(_)) => "no_keys",
            Self::Ending => "ending",
        }
    }
}

impl Source {
    /// Asks for the keys, over a connection of its own, within 5 s.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub async fn read(&self) -> Result<KeySet, Unread> {
        let tls = self.tls.clone();
        let client = spawn_blocking(move || Client::load(&tls, HINTS, BOUNDS)).await.map_err(|_| Unread::Ending)??;
        let answer = client.get(&self.url, ACCEPT).await?;
        // Beside other work, for there may be much of it.
        Ok(spawn_blocking(move || KeySet::parse(&answer)).await.map_err(|_| Unread::Ending)??)
    }
}
