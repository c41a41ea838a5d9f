//! What joins nodes: which Redis, and the way there.

use super::{
    Effective,
    problem::Problem,
    secret_url::SecretUrl,
    setting::{Choice, Visitor, any},
};
use fanwire_broker::redis::{InvalidRedisConfig, RedisConfig, RedisServers, TlsFiles};
use fanwire_protocol::NodeId;
use std::path::PathBuf;

/// How many servers Redis is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RedisMode {
    /// One server.
    #[default]
    Single,
    /// A primary with replicas, under the watch of Sentinels.
    Sentinel,
    /// Independent servers, over which channels are spread.
    Spread,
    /// A Redis Cluster.
    Cluster,
}

impl Choice for RedisMode {
    const NAMES: &'static [(&'static str, Self)] =
        &[("single", Self::Single), ("sentinel", Self::Sentinel), ("spread", Self::Spread), ("cluster", Self::Cluster)];
}

/// The broker that joins nodes.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    /// Which of the following say where it is.
    pub(crate) mode: RedisMode,
    /// `single`: where it is; empty for the broker embedded in a single node.
    pub(crate) url: SecretUrl,
    /// `sentinel`: the Sentinels; `spread`: all servers; `cluster`: some of them.
    pub(crate) urls: Vec<SecretUrl>,
    /// `sentinel`: what they call the primary, alone or in a URL that has the login.
    pub(crate) master: SecretUrl,
    /// A file with the password at Redis; empty for none.
    pub(crate) password_file: String,
    /// Certificates, in files.
    pub(crate) tls: Tls,
    /// What every key and channel name at Redis begins with; clusters that share a Redis differ in it.
    pub(crate) prefix: String,
}

/// Paths of files in PEM; empty for none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// Who is trusted instead of the system's authorities.
    pub(crate) ca: String,
    /// The node's own certificate.
    pub(crate) cert: String,
    /// Its key.
    pub(crate) key: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            mode: RedisMode::default(),
            url: SecretUrl::default(),
            urls: Vec::new(),
            master: SecretUrl::default(),
            password_file: String::new(),
            tls: Tls::default(),
            prefix: "fanwire".to_owned(),
        }
    }
}

impl Redis {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("redis.mode", &mut self.mode, any);
        visitor.setting("redis.url", &mut self.url, |url| single(url.expose()?));
        visitor.setting("redis.urls", &mut self.urls, |urls| several(urls));
        visitor.setting("redis.master", &mut self.master, |master| primary(master.expose()?));
        visitor.setting("redis.password_file", &mut self.password_file, any);
        visitor.setting("redis.tls.ca", &mut self.tls.ca, any);
        visitor.setting("redis.tls.cert", &mut self.tls.cert, any);
        visitor.setting("redis.tls.key", &mut self.tls.key, any);
        visitor.setting("redis.prefix", &mut self.prefix, |prefix| {
            told(RedisConfig::single("redis://localhost", prefix, NodeId::from_random(0)).check())
        });
    }

    /// What the broker of `node` is told; `None` for the embedded memory broker.
    pub(crate) fn config(&self, node: NodeId) -> Option<RedisConfig> {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let Tls { ca, cert, key } = &self.tls;
        let tls = TlsFiles { ca: path(ca), cert: path(cert), key: path(key) };
        let password_file = path(&self.password_file);
        Some(RedisConfig { servers: self.servers()?, password_file, tls, prefix: self.prefix.clone(), node })
    }

    /// Where it is, for people; `None` for the embedded memory broker.
    pub(crate) fn place(&self) -> Option<String> {
        let urls: Vec<_> = self.urls.iter().map(ToString::to_string).collect();
        match self.mode {
            RedisMode::Single => self.url.expose().map(|_| self.url.to_string()),
            RedisMode::Sentinel => Some(format!("{} of the Sentinels {}", self.master, urls.join(", "))),
            RedisMode::Spread => Some(urls.join(", ")),
            RedisMode::Cluster => Some(format!("the cluster of {}", urls.join(", "))),
        }
    }

    fn servers(&self) -> Option<RedisServers> {
        match self.mode {
            RedisMode::Single => Some(RedisServers::Single(self.url.expose()?.to_owned())),
            RedisMode::Sentinel => {
                let master = self.master.expose().unwrap_or_default().to_owned();
                Some(RedisServers::Sentinel { sentinels: exposed(&self.urls), master })
            }
            RedisMode::Spread => Some(RedisServers::Spread(exposed(&self.urls))),
            RedisMode::Cluster => Some(RedisServers::Cluster(exposed(&self.urls))),
        }
    }

    /// What is wrong with the settings together: at most one thing, for the others may follow from it.
    pub(super) fn broken(&self, effective: &Effective) -> Option<Problem> {
        let (key, wrong) = self.misfit().or_else(|| self.unusable())?;
        let (literal, origin) = effective.get(key)?;
        Some(Problem::value(key, literal, origin, wrong))
    }

    /// A setting that the mode has no use for, or one that it lacks.
    fn misfit(&self) -> Option<(&'static str, String)> {
        let (url, urls, master) = (self.url.expose(), self.urls.as_slice(), self.master.expose());
        let misfit = |key, wrong: &str| Some((key, wrong.to_owned()));
        match (self.mode, url, urls, master) {
            (RedisMode::Single, _, [_, ..], _) => {
                misfit("redis.urls", "is for redis.mode = \"sentinel\", \"spread\" and \"cluster\"")
            }
            (RedisMode::Single | RedisMode::Spread | RedisMode::Cluster, _, _, Some(_)) => {
                misfit("redis.master", "is for redis.mode = \"sentinel\"")
            }
            (RedisMode::Sentinel, Some(_), ..) => {
                misfit("redis.url", "is for redis.mode = \"single\"; redis.urls names the Sentinels")
            }
            (RedisMode::Spread | RedisMode::Cluster, Some(_), ..) => {
                misfit("redis.url", "is for redis.mode = \"single\"; redis.urls names the servers")
            }
            (RedisMode::Sentinel, _, [], _) => {
                misfit("redis.urls", "names no Sentinel; expected all that watch the primary")
            }
            (RedisMode::Spread, _, [], _) => misfit("redis.urls", "names no server; expected all over which to spread"),
            (RedisMode::Cluster, _, [], _) => misfit("redis.urls", "names no server; expected some of the cluster's"),
            (RedisMode::Sentinel, _, _, None) => {
                misfit("redis.master", "expected the name by which Sentinels know the primary")
            }
            _ => None,
        }
    }

    /// What the broker would refuse; with all values right by themselves, that is logins and certificates.
    fn unusable(&self) -> Option<(&'static str, String)> {
        let Tls { ca, cert, key } = &self.tls;
        let named = [("redis.tls.ca", ca), ("redis.tls.cert", cert), ("redis.tls.key", key)];
        let Some(config) = self.config(NodeId::from_random(0)) else {
            let mut files = [("redis.password_file", &self.password_file)].into_iter().chain(named);
            let (key, _) = files.find(|(_, path)| !path.is_empty())?;
            return Some((key, "has no use without a Redis; redis.url says where that is".to_owned()));
        };
        if let Some(wrong) = told(config.servers.check()) {
            return Some(("redis.urls", wrong));
        }
        let invalid = config.check().err()?;
        let wrong = invalid.to_string();
        match invalid {
            InvalidRedisConfig::UserWithoutPassword => return Some((self.mode.login(), wrong)),
            InvalidRedisConfig::PasswordFile { .. } | InvalidRedisConfig::TwoPasswords => {
                return Some(("redis.password_file", wrong));
            }
            _ => {}
        }
        let blamed = named.iter().find(|(_, path)| !path.is_empty() && wrong.starts_with(&format!("{path}: ")));
        let blamed = blamed.or_else(|| named.iter().find(|(_, path)| !path.is_empty()));
        Some((blamed.map_or("redis.mode", |(key, _)| key), wrong))
    }
}

impl RedisMode {
    /// The key of what says how to log in at Redis.
    fn login(self) -> &'static str {
        match self {
            Self::Single => "redis.url",
            Self::Sentinel => "redis.master",
            Self::Spread | Self::Cluster => "redis.urls",
        }
    }
}

fn exposed(urls: &[SecretUrl]) -> Vec<String> {
    urls.iter().filter_map(SecretUrl::expose).map(str::to_owned).collect()
}

fn single(url: &str) -> Option<String> {
    told(RedisServers::Single(url.to_owned()).check())
}

/// What is wrong with one of the URLs, whatever they are for.
fn several(urls: &[SecretUrl]) -> Option<String> {
    let wrong = |(number, url): (usize, &SecretUrl)| {
        let wrong = single(url.expose().unwrap_or_default())?;
        Some(format!("URL number {number}: {wrong}"))
    };
    (1..).zip(urls).find_map(wrong)
}

fn primary(master: &str) -> Option<String> {
    let sentinels = vec!["redis://localhost".to_owned()];
    told(RedisServers::Sentinel { sentinels, master: master.to_owned() }.check())
}

fn told(outcome: Result<(), InvalidRedisConfig>) -> Option<String> {
    outcome.err().map(|invalid| invalid.to_string())
}
