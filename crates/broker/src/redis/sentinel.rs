//! Asks Sentinels which server is the primary.

use crate::redis::{
    dialogue::Dialogue,
    endpoint::{Endpoint, Place},
    settings::InvalidRedisConfig,
    standing::{pair, text},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{Cmd, Value};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Where Sentinels listen unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

/// How long a Sentinel may take. All are asked at once, so this is what an attempt takes longer when some hang.
const PATIENCE: Duration = Duration::from_millis(400);

/// How often Sentinels are asked while the link is up: a primary that was cut off from them, but not from this node,
/// still takes heartbeats after another was promoted.
const INTERVAL: Duration = Duration::from_secs(2);

/// The Sentinels that watch a primary.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    pub(super) endpoints: Vec<Endpoint>,
    /// What they call the primary.
    pub(super) name: String,
    /// How to log in at the primary, wherever that is.
    pub(super) master: Endpoint,
}

/// Where the primary is, as a Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) host: String,
    pub(super) port: u16,
    /// Grows with each failover, so that what one Sentinel missed can be told from what another knows.
    pub(super) epoch: u64,
}

impl Sentinels {
    pub(super) fn parse(urls: &[String], master: &str) -> Result<Self, InvalidRedisConfig> {
        if urls.is_empty() {
            return Err(InvalidRedisConfig::NoSentinels);
        }
        let endpoint = |(index, url): (usize, &String)| {
            let wrong = |reason| InvalidRedisConfig::Sentinel { number: index + 1, reason: Box::new(reason) };
            let endpoint = Endpoint::parse(url, SENTINEL_PORT).map_err(wrong)?;
            endpoint.check_login().map_err(wrong).map(|()| endpoint)
        };
        let endpoints = urls.iter().enumerate().map(endpoint).collect::<Result<_, _>>()?;
        let (name, master) = master_of(master)?;
        Ok(Self { endpoints, name, master })
    }

    /// Where the primary is. The answer of the newest epoch counts; nobody is waited for once most agree.
    ///
    /// # Errors
    ///
    /// When no Sentinel says where it is, what each said instead.
    pub(super) async fn find(&self, tls: Option<&TlsConnector>) -> Result<Found, String> {
        self.ask_all(tls).await.map(|(found, _)| found)
    }

    /// Where the primary is, and whether most Sentinels agree on that.
    async fn ask_all(&self, tls: Option<&TlsConnector>) -> Result<(Found, bool), String> {
        let mut answers: FuturesUnordered<_> =
            self.endpoints.iter().map(|sentinel| ask(sentinel, &self.name, tls, PATIENCE)).collect();
        let (mut found, mut reasons) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(one) => found.push(one),
                Err(reason) => reasons.push(reason),
            }
            if let Some(agreed) = agreed(&found, self.endpoints.len()) {
                return Ok((agreed, true));
            }
        }
        let newest = newest(found).map(|found| (found, false));
        newest.ok_or_else(|| format!("no Sentinel names a primary called {}: {}", self.name, reasons.join("; ")))
    }

    /// Resolves when another server than `current` is the primary. That nobody answers means nothing. As long as most
    /// name `current`, `named` is told when they were asked.
    pub(super) async fn moved<F>(&self, mut current: Found, named: impl Fn(Instant), tls: impl Fn() -> F) -> String
    where
        F: Future<Output = Result<Option<TlsConnector>, String>>,
    {
        loop {
            sleep(INTERVAL.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            let Ok(tls) = tls().await else { continue };
            let asked = Instant::now();
            let Ok((found, agreed)) = self.ask_all(tls.as_ref()).await else { continue };
            if current.superseded(&found) {
                return format!("Sentinels name another primary: {}:{}", found.host, found.port);
            }
            if agreed && found.is_at(&current) {
                named(asked);
            }
            if found.epoch > current.epoch {
                current = found;
            }
        }
    }
}

impl Found {
    fn superseded(&self, by: &Self) -> bool {
        by.epoch > self.epoch && !by.is_at(self)
    }

    fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

fn agreed(found: &[Found], sentinels: usize) -> Option<Found> {
    let last = found.last()?;
    let alike = found.iter().filter(|one| *one == last).count();
    (alike * 2 > sentinels).then(|| last.clone())
}

fn newest(found: Vec<Found>) -> Option<Found> {
    found.into_iter().max_by_key(|one| one.epoch)
}

/// What one Sentinel says.
///
/// # Errors
///
/// Why it says nothing, with its address.
pub(super) async fn ask(
    sentinel: &Endpoint,
    name: &str,
    tls: Option<&TlsConnector>,
    patience: Duration,
) -> Result<Found, String> {
    match timeout(patience, question(sentinel, name, tls)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(reason)) => Err(format!("{sentinel}: {reason}")),
        Err(_) => Err(format!("{sentinel}: {}", sentinel.silence(patience))),
    }
}

async fn question(sentinel: &Endpoint, name: &str, tls: Option<&TlsConnector>) -> Result<Found, String> {
    let (mut dialogue, standing) = Dialogue::begin(sentinel, tls).await?;
    if standing.is_some_and(|standing| standing.mode != "sentinel") {
        return Err("is a Redis and no Sentinel".to_owned());
    }
    // The address is asked for by itself: the other answer has the old one until all replicas follow the new primary.
    let address = dialogue.done(&command("GET-MASTER-ADDR-BY-NAME", name)).await?;
    let (host, port) = address_of(&address).ok_or_else(|| format!("knows no primary called {name}"))?;
    let known = dialogue.done(&command("MASTER", name)).await?;
    let epoch = pair(&known, "config-epoch").and_then(text).and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Found { host, port, epoch })
}

fn command(what: &str, name: &str) -> Cmd {
    redis::cmd("SENTINEL").arg(what).arg(name).take()
}

fn address_of(answer: &Value) -> Option<(String, u16)> {
    match answer {
        Value::Array(parts) if parts.len() == 2 => Some((text(&parts[0])?, text(&parts[1])?.parse().ok()?)),
        _ => None,
    }
}

/// The name of a primary, and how to log in there.
fn master_of(master: &str) -> Result<(String, Endpoint), InvalidRedisConfig> {
    let wrong = |what: &str| InvalidRedisConfig::Master(what.to_owned());
    let url = if master.contains("://") { master.to_owned() } else { format!("redis://{master}") };
    // An impossible port tells whether the URL has one.
    let endpoint = Endpoint::parse(&url, u16::MAX).map_err(|error| match error {
        InvalidRedisConfig::Url(what) => InvalidRedisConfig::Master(what),
        other => other,
    })?;
    let (Place::Tcp { host, port } | Place::Tls { host, port }) = &endpoint.place else {
        return Err(wrong("Sentinels know of no Unix sockets"));
    };
    // What Sentinel itself allows.
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return Err(wrong("letters, digits, '.', '-' and '_' make one"));
    }
    if *port != u16::MAX {
        return Err(wrong("it takes no port, for Sentinels say that"));
    }
    Ok((host.clone(), endpoint))
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.endpoints.iter().map(ToString::to_string).collect();
        write!(f, "{} of the Sentinels at {}", self.name, places.join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(port: u16, epoch: u64) -> Found {
        Found { host: "127.0.0.1".to_owned(), port, epoch }
    }

    #[test]
    fn most_are_enough_when_they_agree() {
        assert_eq!(agreed(&[found(1, 0)], 3), None);
        assert_eq!(agreed(&[found(1, 0), found(2, 1)], 3), None);
        assert_eq!(agreed(&[found(1, 0), found(2, 1), found(2, 1)], 3), Some(found(2, 1)));
        assert_eq!(agreed(&[found(1, 0), found(1, 0)], 4), None);
        assert_eq!(agreed(&[found(1, 0)], 1), Some(found(1, 0)));
    }

    #[test]
    fn without_agreement_the_newest_epoch_counts() {
        assert_eq!(newest(vec![found(2, 7), found(1, 6)]), Some(found(2, 7)));
        assert_eq!(newest(Vec::new()), None);
    }

    #[test]
    fn only_a_newer_epoch_moves_a_primary() {
        assert!(found(1, 3).superseded(&found(2, 4)));
        assert!(!found(1, 3).superseded(&found(2, 3)));
        assert!(!found(1, 3).superseded(&found(2, 2)), "a Sentinel that was away says what was once so");
        assert!(!found(1, 3).superseded(&found(1, 4)));
    }

    #[test]
    fn the_master_is_a_name_or_a_url_with_it() {
        let of = |master: &str| {
            let (name, endpoint) = master_of(master).unwrap();
            (name, endpoint.wants_tls(), endpoint.database(), endpoint.login.password().map(str::to_owned))
        };
        assert_eq!(of("My_master.1-a"), ("My_master.1-a".to_owned(), false, 0, None));
        assert_eq!(of("rediss://app:pw@main/3"), ("main".to_owned(), true, 3, Some("pw".to_owned())));
    }
}
