//! The layer of `FANWIRE_…` environment variables: `FANWIRE_REDIS__URL` is `redis.url`.
//!
//! Names of namespaces are taken in lower case, since variables are written in upper case: whatever
//! `FANWIRE_NAMESPACES__CHAT__RECOVER` says, it says of `chat`.

use super::{
    Environment,
    layer::{Layer, Origin},
    namespaces,
    problem::{Problem, Problems},
};
use std::collections::BTreeMap;

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "FANWIRE_";

/// The variable that holds a token, which is of the commands that connect and no setting.
pub(crate) const TOKEN: &str = "FANWIRE_TOKEN";

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    /// The values.
    pub(crate) layer: Layer,
    /// Names of Kubernetes' service links, in alphabetical order.
    pub(crate) ignored: Vec<String>,
}

/// Reads the variables that are ours.
pub(crate) fn read(environment: &Environment, defaults: &Layer) -> (Variables, Problems) {
    let (mut read, mut problems) = (Variables::default(), Problems::default());
    for (name, value) in environment {
        let name = name.to_string_lossy();
        // A client's, not a node's.
        if !name.starts_with(PREFIX) || name == TOKEN {
            continue;
        }
        let Some(value) = value.to_str() else {
            problems.push(Problem::not_unicode(&name));
            continue;
        };
        let keys = keys(defaults, &name);
        match keys.get(&*name).and_then(|key| Some((key, defaults.typed(key, value)?))) {
            Some((key, kind)) => read.layer.set(key, kind, &Origin::variable(&name)),
            None if is_service_link(&name, value) => read.ignored.push(name.into_owned()),
            None => problems.push(Problem::unknown_variable(&name, value, keys.keys().map(String::as_str))),
        }
    }
    (read, problems)
}

/// All keys by the names of their variables; those of namespaces for the one that `name` speaks of.
fn keys(defaults: &Layer, name: &str) -> BTreeMap<String, String> {
    let namespace = namespace(name);
    let in_namespace =
        |key| namespace.as_ref().map_or_else(|| str::to_owned(key), |name| namespaces::within_namespace(key, name));
    defaults.keys().map(in_namespace).map(|key| (name_of(&key), key)).collect()
}

/// The namespace that the variable called `name` speaks of.
fn namespace(name: &str) -> Option<String> {
    let (namespace, _) = name.strip_prefix(PREFIX)?.strip_prefix("NAMESPACES__")?.split_once("__")?;
    Some(namespace.to_ascii_lowercase())
}

fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Whether Kubernetes sets such a variable in each pod beside a Service called `fanwire` or `fanwire-…`.
///
/// Those of `fanwire` itself are known by their names alone, the others are told from misspellings by their values.
fn is_service_link(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    let own = rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
    let other = rest.ends_with("_SERVICE_HOST") || rest.contains("_SERVICE_PORT") || is_port_link(rest, value);
    own || (other && !rest.contains("__"))
}

fn is_port_link(rest: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let numbered = |(_, tail): (&str, &str)| tail.starts_with(|c: char| c.is_ascii_digit());
    (rest.ends_with("_PORT") && is_address) || rest.split_once("_PORT_").is_some_and(numbered)
}

/// The one warning about variables that were ignored.
pub(crate) fn warning(ignored: &[String]) -> Option<String> {
    let names = ignored.join(", ");
    (!ignored.is_empty()).then(|| {
        format!("ignored environment variables that Kubernetes sets for Services: {names} (enableServiceLinks: false in the pod's spec ends them)")
    })
}
