//! The way to Redis, checked: which servers, which certificates, and how to find the primary.

use crate::redis::{
    endpoint::Endpoint,
    names::is_prefix,
    secret::Secret,
    sentinel::{Found, Sentinels},
    settings::{InvalidRedisConfig, RedisConfig, RedisServers},
    several::Several,
};
use fanwire_tls::ClientFiles as TlsFiles;
use std::{fmt, time::Instant};
use tokio_rustls::TlsConnector;

/// Where Redis listens unless told otherwise.
const REDIS_PORT: u16 = 6379;

/// How a node gets to Redis.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) servers: Servers,
    tls: TlsFiles,
    /// Whether the servers are those of a Redis Cluster.
    pub(super) is_cluster: bool,
}

/// Whom to connect to.
#[derive(Debug, Clone)]
pub(super) enum Servers {
    Single(Endpoint),
    Sentinel(Sentinels),
    /// Independent ones.
    Spread(Several),
    /// Some of a Redis Cluster's.
    Cluster(Several),
}

impl Servers {
    pub(super) fn parse(servers: &RedisServers) -> Result<Self, InvalidRedisConfig> {
        Ok(match servers {
            RedisServers::Single(url) => Self::Single(Endpoint::parse(url, REDIS_PORT)?),
            RedisServers::Sentinel { sentinels, master } => Self::Sentinel(Sentinels::parse(sentinels, master)?),
            RedisServers::Spread(urls) => Self::Spread(Several::parse(urls, REDIS_PORT)?),
            RedisServers::Cluster(urls) => Self::Cluster(Several::parse(urls, REDIS_PORT)?.of_cluster()?),
        })
    }

    /// The same with the password at Redis in a file.
    fn with_secret(self, secret: Option<&Secret>) -> Result<Self, InvalidRedisConfig> {
        let Some(secret) = secret else { return Ok(self) };
        Ok(match self {
            Self::Single(endpoint) => Self::Single(endpoint.with_secret(secret)?),
            Self::Sentinel(sentinels) => {
                let master = sentinels.master.clone().with_secret(secret)?;
                Self::Sentinel(Sentinels { master, ..sentinels })
            }
            Self::Spread(several) => Self::Spread(several.with_secret(secret)?),
            Self::Cluster(several) => Self::Cluster(several.with_secret(secret)?),
        })
    }
}

/// The server that is to be used now.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// What Sentinels said of it.
    pub(super) found: Option<Found>,
}

impl Access {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, InvalidRedisConfig> {
        if !is_prefix(&config.prefix) {
            return Err(InvalidRedisConfig::Prefix(config.prefix.clone()));
        }
        let secret = config.password_file.as_deref().map(Secret::new);
        let servers = Servers::parse(&config.servers)?.with_secret(secret.as_ref())?;
        let is_cluster = matches!(servers, Servers::Cluster(_));
        let access = Self { servers, tls: config.tls.clone(), is_cluster };
        access.logins().try_for_each(Endpoint::check_login)?;
        // Read though nothing is connected yet, so that a wrong one is told at the start.
        secret.map(|secret| secret.read()).transpose()?;
        access.check_tls()?;
        Ok(access)
    }

    /// The way to one server of several, which is as secure.
    pub(super) fn to(&self, endpoint: Endpoint) -> Self {
        Self { servers: Servers::Single(endpoint), tls: self.tls.clone(), is_cluster: self.is_cluster }
    }

    /// Reads the certificates though nothing is connected yet, so that a wrong one is told at the start.
    fn check_tls(&self) -> Result<(), InvalidRedisConfig> {
        match self.wants_tls() {
            true => Ok(self.tls.load().map(drop)?),
            false if self.tls.is_empty() => Ok(()),
            false => Err(InvalidRedisConfig::UnusedTls),
        }
    }

    fn wants_tls(&self) -> bool {
        self.endpoints().any(Endpoint::wants_tls)
    }

    /// Certificates as they are now: they are renewed while a node runs.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(super) async fn tls(&self) -> Result<Option<TlsConnector>, String> {
        if !self.wants_tls() {
            return Ok(None);
        }
        let files = self.tls.clone();
        match tokio::task::spawn_blocking(move || files.load()).await {
            Ok(loaded) => loaded.map(Some).map_err(|error| error.to_string()),
            Err(failure) => Err(format!("can't read certificates: {failure}")),
        }
    }

    /// The server to connect to now; of several, the first.
    ///
    /// # Errors
    ///
    /// When nobody says which that is, and why.
    pub(super) async fn target(&self, tls: Option<&TlsConnector>) -> Result<Target, String> {
        match &self.servers {
            Servers::Single(endpoint) => Ok(Target { endpoint: endpoint.clone(), found: None }),
            Servers::Spread(several) | Servers::Cluster(several) => {
                Ok(Target { endpoint: several.first.clone(), found: None })
            }
            Servers::Sentinel(sentinels) => {
                let found = sentinels.find(tls).await?;
                let endpoint = sentinels.master.at(found.host.clone(), found.port);
                Ok(Target { endpoint, found: Some(found) })
            }
        }
    }

    /// Resolves, with a reason, when another server than the one that was `found` is the primary. Until then `named` is
    /// told when Sentinels were asked that named this one.
    pub(super) async fn moved(self, found: Option<Found>, named: impl Fn(Instant)) -> String {
        match (&self.servers, found) {
            (Servers::Sentinel(sentinels), Some(found)) => sentinels.moved(found, named, || self.tls()).await,
            _ => std::future::pending().await,
        }
    }

    pub(super) fn database(&self) -> i64 {
        self.login().database()
    }

    /// Who the node is at Redis.
    pub(super) fn user(&self) -> &str {
        self.login().user()
    }

    /// What has the login at Redis, if not the address.
    fn login(&self) -> &Endpoint {
        match &self.servers {
            Servers::Single(endpoint) => endpoint,
            Servers::Sentinel(sentinels) => &sentinels.master,
            Servers::Spread(several) | Servers::Cluster(several) => &several.first,
        }
    }

    /// `text` without any of the passwords.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.endpoints().fold(text.to_owned(), |text, endpoint| endpoint.scrub(&text))
    }

    /// All that have a login at Redis; Sentinels have one of their own.
    fn logins(&self) -> impl Iterator<Item = &Endpoint> {
        let others = match &self.servers {
            Servers::Single(_) | Servers::Sentinel(_) => [].as_slice(),
            Servers::Spread(several) | Servers::Cluster(several) => several.others.as_slice(),
        };
        std::iter::once(self.login()).chain(others)
    }

    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let others = match &self.servers {
            Servers::Single(_) => [].as_slice(),
            Servers::Sentinel(sentinels) => sentinels.endpoints.as_slice(),
            Servers::Spread(several) | Servers::Cluster(several) => several.others.as_slice(),
        };
        std::iter::once(self.login()).chain(others)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::Single(endpoint) => endpoint.fmt(f),
            Servers::Sentinel(sentinels) => sentinels.fmt(f),
            Servers::Spread(several) | Servers::Cluster(several) => several.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::NodeId;

    fn config(servers: RedisServers, tls: TlsFiles) -> RedisConfig {
        RedisConfig { servers, password_file: None, tls, prefix: "fanwire".to_owned(), node: NodeId::from_random(1) }
    }

    fn sentinel(sentinels: &[&str], master: &str) -> RedisServers {
        let sentinels = sentinels.iter().map(ToString::to_string).collect();
        RedisServers::Sentinel { sentinels, master: master.to_owned() }
    }

    #[track_caller]
    fn bad(servers: RedisServers, tls: TlsFiles, expected: &str) {
        let error = Access::new(&config(servers, tls)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_prefix_that_would_break_names_is_refused() {
        let config = RedisConfig::single("redis://127.0.0.1", "fan{wire}", NodeId::from_random(1));
        assert_eq!(config.check(), Err(InvalidRedisConfig::Prefix("fan{wire}".to_owned())));
    }

    #[test]
    fn certificates_are_checked_before_anything_is_connected() {
        let single = |url: &str| RedisServers::Single(url.to_owned());
        let ca = |path: &str| TlsFiles { ca: Some(path.into()), ..TlsFiles::default() };
        bad(single("redis://127.0.0.1"), ca("/ca.pem"), "no URL asks for TLS");
        bad(single("rediss://127.0.0.1"), ca("/nowhere/ca.pem"), "/nowhere/ca.pem: can't be read");
        bad(single("rediss://127.0.0.1"), ca(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), "no certificate");
        let half = TlsFiles { key: Some("key.pem".into()), ..TlsFiles::default() };
        bad(single("rediss://127.0.0.1"), half, "needs its key");
    }

    #[test]
    fn what_is_wrong_with_sentinels_is_named() {
        let none = TlsFiles::default;
        bad(sentinel(&[], "main"), none(), "no Sentinel is named");
        bad(sentinel(&["redis://s1", "redis://:secret@s2/x"], "main"), none(), "Sentinel number 2");
        bad(sentinel(&["redis://s1"], ""), none(), "not the name of a primary");
        bad(sentinel(&["redis://s1"], "my master"), none(), "not the name of a primary");
        bad(sentinel(&["redis://s1"], "redis://:secret@main:6379"), none(), "takes no port");
        bad(sentinel(&["redis://s1"], "unix:///main?pass=secret"), none(), "not the name of a primary");
    }

    #[test]
    fn who_logs_in_has_one_password() {
        let (none, single) = (TlsFiles::default, |url: &str| RedisServers::Single(url.to_owned()));
        bad(single("redis://app@r"), none(), "names a user but no password");
        bad(sentinel(&["redis://s1"], "redis://app@main"), none(), "names a user but no password");
        bad(sentinel(&["redis://app@s1"], "main"), none(), "the URL of Sentinel number 1: the Redis URL names a user");

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let with_file = |servers| RedisConfig {
            password_file: Some(file.path().to_owned()),
            ..config(servers, TlsFiles::default())
        };
        for servers in [single("redis://app@r"), sentinel(&["redis://s1"], "redis://app@main")] {
            let access = Access::new(&with_file(servers)).unwrap();
            assert_eq!((access.user(), access.scrub("AUTH 'secret'").as_str()), ("app", "AUTH '***'"));
            assert!(!format!("{access:?} {access}").contains("secret"));
        }
        for servers in [single("redis://:secret@r"), sentinel(&["redis://s1"], "redis://:secret@main")] {
            assert_eq!(with_file(servers).check(), Err(InvalidRedisConfig::TwoPasswords));
        }
        std::fs::write(file.path(), "").unwrap();
        let error = with_file(single("redis://r")).check().unwrap_err().to_string();
        assert!(error.ends_with(": is empty; expected a password"), "{error}");
    }

    #[test]
    fn several_servers_share_one_password_file() {
        let none = TlsFiles::default;
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let with_file =
            |servers| RedisConfig { password_file: Some(file.path().to_owned()), ..config(servers, none()) };
        for several in [RedisServers::Spread, RedisServers::Cluster] {
            let users = || several(urls(&["redis://app@a", "redis://app@b"]));
            bad(users(), none(), "names a user but no password");
            assert_eq!(with_file(users()).check(), Ok(()));
            let second = several(urls(&["redis://app@a", "redis://app:secret@b"]));
            assert!(with_file(second).check().is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_several_servers_is_named() {
        let none = TlsFiles::default;
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        for several in [RedisServers::Spread, RedisServers::Cluster] {
            bad(several(urls(&[])), none(), "no server is named");
            bad(several(urls(&["redis://a", "redis://:secret@b/x"])), none(), "server number 2");
            bad(several(urls(&["redis://a", "redis://b", "redis://:secret@A:6379"])), none(), "1 and 3 are the same");
            bad(several(urls(&["redis://a/1", "redis://b/2"])), none(), "different databases");
        }
        bad(RedisServers::Cluster(urls(&["redis://a/1", "redis://b/1"])), none(), "has database 0 only");
        bad(RedisServers::Cluster(urls(&["unix:///run/redis.sock"])), none(), "Unix socket");
        bad(RedisServers::Cluster(urls(&["redis://a", "rediss://b"])), none(), "all or none");
        bad(RedisServers::Cluster(urls(&["redis://a", "redis://:secret@b"])), none(), "different logins");
    }

    #[test]
    fn passwords_are_shown_nowhere() {
        let config = config(sentinel(&["redis://:secret1@s1"], "redis://:secret2@main"), TlsFiles::default());
        let access = Access::new(&config).unwrap();
        let shown = format!("{config:?} {access:?} {access} {}", access.scrub("args: 'secret2' 'secret1'"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
