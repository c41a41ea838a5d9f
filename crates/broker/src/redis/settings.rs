//! How a node is told to join a cluster through Redis, and what can be wrong with that.

use crate::redis::{
    access::{Access, Servers},
    names::MAX_PREFIX,
};
use fanwire_protocol::NodeId;
use fanwire_tls::{ClientFiles as TlsFiles, InvalidTls};
use std::{fmt, path::PathBuf};
use thiserror::Error;

/// How a node joins a cluster through Redis.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where Redis is and how to log in. A secret: neither logs nor errors show passwords.
    pub servers: RedisServers,
    /// A file with the password at Redis, for URLs without one; read again for each connection. Not for Sentinels.
    pub password_file: Option<PathBuf>,
    /// Certificates, for URLs that begin with `rediss://`.
    pub tls: TlsFiles,
    /// What all names in Redis begin with: 1 to 64 letters, digits, `-`, `_`, `.` and `:`. Clusters that share a Redis
    /// have different ones, or different databases.
    pub prefix: String,
    /// This node.
    pub node: NodeId,
}

/// Where Redis is.
///
/// A URL is `redis://[[user]:password@]host[:port][/database]`, `rediss://…` over TLS, or
/// `redis+unix:///path[?db=…&user=…&pass=…]` for a Unix socket; special characters percent-encoded.
#[derive(Clone)]
pub enum RedisServers {
    /// One Redis, at this URL. The port is 6379 and the database 0 unless given.
    Single(String),
    /// A primary and its replicas, under the watch of Sentinels.
    Sentinel {
        /// The URL of each Sentinel, with its own user and password; the port is 26379 unless given.
        sentinels: Vec<String>,
        /// The name under which Sentinels know the primary; or a URL with that name in the place of the host, which
        /// says how to log in at the primary: `rediss://user:password@name/database`.
        master: String,
    },
    /// Independent ones at these URLs, over which channels are spread; all in the same database.
    Spread(Vec<String>),
    /// A Redis Cluster, of which some servers are at these URLs, with the same login at all; in database 0.
    Cluster(Vec<String>),
}

impl RedisConfig {
    /// A node that joins the cluster on the Redis at `url`, without certificates of its own.
    pub fn single(url: &str, prefix: &str, node: NodeId) -> Self {
        let servers = RedisServers::Single(url.to_owned());
        Self { servers, password_file: None, tls: TlsFiles::default(), prefix: prefix.to_owned(), node }
    }

    /// Whether a broker would start with this. Reads the certificates; connects to nothing.
    ///
    /// # Errors
    ///
    /// What [`RedisBroker::start`](crate::redis::RedisBroker::start) would refuse.
    pub fn check(&self) -> Result<(), InvalidRedisConfig> {
        Access::new(self).map(drop)
    }
}

impl RedisServers {
    /// Whether these can be servers, whatever their certificates.
    ///
    /// # Errors
    ///
    /// What is wrong with a URL, or with the name of the primary.
    pub fn check(&self) -> Result<(), InvalidRedisConfig> {
        Servers::parse(self).map(drop)
    }
}

impl fmt::Debug for RedisServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single(…)",
            Self::Sentinel { .. } => "Sentinel(…)",
            Self::Spread(_) => "Spread(…)",
            Self::Cluster(_) => "Cluster(…)",
        })
    }
}

/// What a URL looks like, after "expected".
const FORM: &str = "redis://[[user]:password@]host[:port][/database], rediss:// for TLS, or redis+unix:///path";

/// Why a node can't join a cluster as configured. No text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRedisConfig {
    /// Not the URL of a Redis. Its text is not repeated, since it may hold a password.
    #[error("not a Redis URL: {0}; expected {FORM}")]
    Url(String),
    /// The URL goes on behind the database.
    #[error("a Redis URL takes no {0} here; expected {FORM}")]
    Extra(&'static str),
    /// A user without a password.
    #[error(
        "the Redis URL names a user but no password; expected redis://user:password@host[:port][/database], or a file \
         with the password"
    )]
    UserWithoutPassword,
    /// A password in the URL and one in a file.
    #[error("a password stands in the Redis URL and in a file; expected one of them")]
    TwoPasswords,
    /// The file with the password can't be used.
    #[error("{path}: {reason}")]
    PasswordFile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One of the Sentinels' URLs is wrong.
    #[error("the URL of Sentinel number {number}: {reason}")]
    Sentinel {
        /// Which, from 1 on.
        number: usize,
        /// What is wrong.
        reason: Box<Self>,
    },
    /// The URL of one of several servers is wrong.
    #[error("the URL of server number {number}: {reason}")]
    Server {
        /// Which, from 1 on.
        number: usize,
        /// What is wrong.
        reason: Box<Self>,
    },
    /// There are no servers.
    #[error("no server is named; expected the URLs of some")]
    NoServers,
    /// One server is named twice, which would not do what it seems to.
    #[error("the servers number {0} and {1} are the same; expected each once")]
    Twice(usize, usize),
    /// Several servers, but one way to name what is there.
    #[error("the servers are in different databases; expected the same in all URLs")]
    Databases,
    /// Not what a Redis Cluster has.
    #[error("a Redis Cluster {0}")]
    Cluster(&'static str),
    /// There is nobody to ask for the primary.
    #[error("no Sentinel is named; expected the URLs of all that watch the primary")]
    NoSentinels,
    /// Not what Sentinels call a primary, nor a URL with that.
    #[error(
        "not the name of a primary at Sentinel: {0}; expected name, or redis://[[user]:password@]name[/database], \
         rediss:// for TLS"
    )]
    Master(String),
    /// A certificate or key can't be used.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// Certificates for connections without TLS.
    #[error("certificates are named, but no URL asks for TLS; expected rediss://")]
    UnusedTls,
    /// The prefix has characters that it can't have, none, or too many.
    #[error("{0:?} can't begin names in Redis: 1 to {MAX_PREFIX} letters, digits, '-', '_', '.' and ':' can")]
    Prefix(String),
}
