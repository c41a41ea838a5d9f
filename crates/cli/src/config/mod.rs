//! The node's configuration: one documented struct, loaded once from named sources, every value checked.
//!
//! Sources, the later ones winning: defaults in code, the file, `FANWIRE_…` variables, flags. Each is a [`Layer`] of
//! (key, value, origin), so that an error can always say where a value came from. A configuration with any problem
//! does not load, and all its problems are told at once.

mod auth;
mod compression;
mod effective;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod groups;
mod layer;
mod limits;
mod log;
mod memory;
mod namespaces;
mod outbox;
mod plain;
mod problem;
mod redis;
mod rules;
mod secret_url;
mod setting;
mod size;
#[cfg(test)]
#[allow(clippy::panic, reason = "a test fails by panicking")]
mod tests;
mod tls;
mod variables;

pub(crate) use auth::Auth;
pub(crate) use compression::Compression;
pub(crate) use effective::Effective;
pub(crate) use file::FileChoice;
pub(crate) use groups::{Api, Close, Conformance, Drain, Handshake, Heartbeat, Internal, Server};
pub(crate) use layer::Flag;
pub(crate) use limits::Limits;
pub(crate) use log::{Log, LogFormat};
pub(crate) use memory::Memory;
pub(crate) use namespaces::{Broadcast, History, Namespace, Namespaces};
pub(crate) use outbox::{Outbox, OutboxPolicy};
pub(crate) use problem::Problems;
pub(crate) use redis::Redis;
#[cfg(test)]
pub(crate) use redis::RedisMode;
#[cfg(test)]
pub(crate) use secret_url::SecretUrl;
pub(crate) use tls::PortTls;
pub(crate) use variables::TOKEN;

use fanwire_protocol::TemplateTexts;
use fanwire_tls::ServerSide;
use layer::{Layer, Origin};
use setting::{Reader, Visitor};
use std::{iter, path::PathBuf};
use variables::Variables;

/// What the keys of TLS on the public port begin with.
const PUBLIC_TLS: &str = "tls";

/// The environment as `main` read it.
pub(crate) type Environment = std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>;

/// Everything that a node can be told, complete and checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The public port.
    pub(crate) server: Server,
    /// TLS on the public port.
    pub(crate) tls: PortTls,
    /// Who may connect.
    pub(crate) auth: Auth,
    /// The internal port.
    pub(crate) internal: Internal,
    /// Who may use the API there.
    pub(crate) api: Api,
    /// The broker.
    pub(crate) redis: Redis,
    /// What is kept of channels' publications.
    pub(crate) namespaces: Namespaces,
    /// What is kept of broadcasts.
    pub(crate) broadcast: Broadcast,
    /// How dead connections are found.
    pub(crate) heartbeat: Heartbeat,
    /// What a connection may have waiting for it.
    pub(crate) outbox: Outbox,
    /// How the node stops.
    pub(crate) drain: Drain,
    /// What clients may not exceed.
    pub(crate) limits: Limits,
    /// What the node may not exceed.
    pub(crate) memory: Memory,
    /// Compression of messages.
    pub(crate) compression: Compression,
    /// The way in.
    pub(crate) handshake: Handshake,
    /// The way out.
    pub(crate) close: Close,
    /// The texts of the plain dialect.
    pub(crate) plain: TemplateTexts,
    /// What serves conformance suites.
    pub(crate) conformance: Conformance,
    /// The log.
    pub(crate) log: Log,
}

impl Config {
    /// The defaults, with every namespace that the layers name.
    fn with_namespaces(layers: &[Layer]) -> Self {
        let mut config = Self::default();
        let named = Namespaces::named(layers.iter().flat_map(Layer::namespaces).map(str::to_owned));
        config.namespaces.0.extend(named.0);
        config
    }

    /// Shows every setting to `visitor`, in the order of `config/fanwire.toml`.
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.server.visit(visitor);
        self.tls.visit(PUBLIC_TLS, visitor);
        self.auth.visit(visitor);
        self.internal.visit(visitor);
        self.api.visit(visitor);
        self.redis.visit(visitor);
        self.namespaces.visit(visitor);
        self.broadcast.visit(visitor);
        self.heartbeat.visit(visitor);
        self.outbox.visit(visitor);
        self.drain.visit(visitor);
        self.limits.visit(visitor);
        self.memory.visit(visitor);
        self.compression.visit(visitor);
        self.handshake.visit(visitor);
        self.close.visit(visitor);
        plain::visit(&mut self.plain, visitor);
        self.conformance.visit(visitor);
        self.log.visit(visitor);
    }
}

/// Where [`load`] looks.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    /// The file.
    pub(crate) file: FileChoice,
    /// The environment; only names that begin with `FANWIRE_` matter.
    pub(crate) environment: &'a Environment,
    /// Flags, the later ones winning.
    pub(crate) flags: Vec<Flag>,
}

/// A configuration that loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    /// The values as TOML, each with its origin.
    pub(crate) effective: Effective,
    /// What to tell the operator though it stops nothing.
    pub(crate) warnings: Vec<String>,
}

/// What the certificates of a port came to.
#[derive(Debug)]
pub(crate) struct PortCertificates {
    /// The key that names them.
    pub(crate) key: String,
    /// The file of the first.
    pub(crate) first: PathBuf,
    /// What they are.
    pub(crate) side: ServerSide,
}

impl Loaded {
    /// Reads the certificates of both ports, or says everything that is wrong with them.
    ///
    /// Not a part of loading, for a health check must not fail because of files that the node itself keeps out.
    pub(crate) fn certificates(&self) -> Result<Vec<PortCertificates>, Problems> {
        let (mut read, mut problems) = (Vec::new(), Problems::default());
        for (group, tls) in [(PUBLIC_TLS, &self.config.tls), (groups::INTERNAL_TLS, &self.config.internal.tls)] {
            let Some(files) = tls.files() else { continue };
            let (key, first) = (format!("{group}.cert"), files.pairs.first().map(|pair| pair.cert.clone()));
            match tls.load(group, &files, &self.effective) {
                Ok(side) => read.push(PortCertificates { key, first: first.unwrap_or_default(), side }),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }
}

/// Loads the configuration from `inputs`, or says everything that is wrong with it.
pub(crate) fn load(inputs: &Inputs<'_>) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let defaults = Layer::defaults();
    let file = problems.catch(file::read(&inputs.file, &defaults));
    combine(inputs, &defaults, file, problems)
}

fn combine(inputs: &Inputs<'_>, defaults: &Layer, file: Layer, mut problems: Problems) -> Result<Loaded, Problems> {
    let variables = problems.catch(variables::read(inputs.environment, defaults));
    let flags = problems.catch(Layer::flags(&inputs.flags, defaults));
    let Variables { layer: variables, ignored } = variables;
    let read = problems.catch(read([file, variables, flags]));
    match read {
        Some((config, effective)) if problems.is_empty() => {
            let warnings = variables::warning(&ignored).into_iter().chain(rules::doubtful(&config, &effective));
            Ok(Loaded { warnings: warnings.collect(), config, effective })
        }
        _ => Err(problems),
    }
}

fn read(layers: [Layer; 3]) -> (Option<(Config, Effective)>, Problems) {
    let mut config = Config::with_namespaces(&layers);
    let values = match layer::merge(iter::once(Layer::defaults_of(&config)).chain(layers)) {
        Ok(values) => values,
        Err(problem) => return (None, problem.into()),
    };
    let mut reader = Reader::new(&values);
    config.visit(&mut reader);
    let (effective, mut problems) = reader.finish();
    // Between values, only right ones can be judged.
    if problems.is_empty() {
        problems.extend(rules::broken(&config, &effective));
    }
    (Some((config, effective)), problems)
}
