//! Layers of values, and their merging.

use super::{
    Config, namespaces,
    problem::{Problem, Problems},
    setting::{Setting, Visitor},
};
use config::{ConfigError, Map, Source, Value, ValueKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

/// A value given on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// The flag as it is spelt, such as `--listen`.
    pub(crate) name: &'static str,
    /// The key that it sets.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: String,
}

/// Where a value comes from, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// The code.
    pub(crate) fn default_value() -> Self {
        Self("default".to_owned())
    }

    /// The file at `path`.
    pub(crate) fn file(path: &Path) -> Self {
        Self(format!("file {}", path.display().to_string().escape_debug()))
    }

    /// The environment variable called `name`.
    pub(crate) fn variable(name: &str) -> Self {
        Self(format!("environment variable {}", name.escape_debug()))
    }

    /// The flag called `name`.
    pub(crate) fn flag(name: &str) -> Self {
        Self(format!("flag {name}"))
    }

    /// The origin that a layer gave to `value`.
    pub(crate) fn of(value: &Value) -> Self {
        value.origin().map_or_else(Self::default_value, |origin| Self(origin.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Values by their full key.
pub(crate) type Values = BTreeMap<String, Value>;

/// Values of one source, all of them with keys that exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    values: Values,
    /// The names of the namespaces that the source speaks of, be it without a value.
    namespaces: BTreeSet<String>,
}

impl Layer {
    /// Every key with its default. Keys of namespaces are those of the one that always is; the others have the same.
    pub(crate) fn defaults() -> Self {
        Self::defaults_of(&Config::default())
    }

    /// The layer below all others: every key of `config` with its value there.
    pub(crate) fn defaults_of(config: &Config) -> Self {
        struct Lister(Layer);
        impl Visitor for Lister {
            fn setting<T: Setting>(&mut self, key: &str, value: &mut T, _: impl Fn(&T) -> Option<String>) {
                self.0.set(key, value.write(), &Origin::default_value());
            }
        }
        let mut lister = Lister(Self::default());
        config.clone().visit(&mut lister);
        lister.0
    }

    /// What flags say.
    pub(crate) fn flags(flags: &[Flag], defaults: &Self) -> (Self, Problems) {
        let (mut layer, mut problems) = (Self::default(), Problems::default());
        for flag in flags {
            let origin = Origin::flag(flag.name);
            match defaults.typed(&flag.key, &flag.value) {
                Some(kind) => layer.set(&flag.key, kind, &origin),
                None => problems.push(Problem::unknown_key(&flag.key, &flag.value.as_str().into(), &origin, defaults)),
            }
        }
        (layer, problems)
    }

    /// Adds a value.
    pub(crate) fn set(&mut self, key: &str, kind: ValueKind, origin: &Origin) {
        self.declare(key);
        self.values.insert(key.to_owned(), Value::new(Some(&origin.0), kind));
    }

    /// Remembers the namespace that `key` names or lies in, if it is one's.
    pub(crate) fn declare(&mut self, key: &str) {
        self.namespaces.extend(namespaces::split(key).map(|(name, _)| name.to_owned()));
    }

    /// The names of the namespaces that the source speaks of.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(String::as_str)
    }

    /// Of the defaults: whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        is_well_named(key) && self.values.contains_key(&namespaces::in_default(key))
    }

    /// Of the defaults: whether there are keys that lie in `group`.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        let prefix = format!("{}.", namespaces::in_default(group));
        is_well_named(group) && self.keys().any(|known| known.starts_with(&prefix))
    }

    /// All keys, in alphabetical order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Of the defaults: `text` from a source that knows only texts, as the type that the value of `key` has; `None` if
    /// there is no such key. A text that can't be turned stays one, for the reader to refuse.
    pub(crate) fn typed(&self, key: &str, text: &str) -> Option<ValueKind> {
        if !is_well_named(key) {
            return None;
        }
        let default = &self.values.get(&namespaces::in_default(key))?.kind;
        Some(match (default, text.parse::<i64>(), text.parse::<bool>()) {
            (ValueKind::I64(_), Ok(number), _) => number.into(),
            (ValueKind::Boolean(_), _, Ok(switch)) => switch.into(),
            (ValueKind::Array(_), ..) => items(text).into(),
            _ => text.into(),
        })
    }

    /// The values.
    #[cfg(test)]
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }
}

/// Whether `key` is not one of a namespace that can't be called so.
fn is_well_named(key: &str) -> bool {
    namespaces::split(key).is_none_or(|(name, _)| namespaces::invalid(name).is_none())
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone().into_iter().collect())
    }
}

/// The items of a list that is written with commas.
fn items(text: &str) -> Vec<Value> {
    let items = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    items.map(Value::from).collect()
}

/// The values of all layers, the later ones winning.
pub(crate) fn merge(layers: impl IntoIterator<Item = Layer>) -> Result<Values, Problem> {
    let builder = layers.into_iter().fold(config::Config::builder(), |builder, layer| builder.add_source(layer));
    let merged = builder.build().and_then(|merged| merged.collect()).map_err(|error| Problem::other(&error))?;
    Ok(flatten(merged))
}

/// The values of a tree by their full keys. An empty table counts as a value, so that it isn't overlooked.
pub(crate) fn flatten(table: Map<String, Value>) -> Values {
    let mut flat = Values::new();
    for (key, value) in table {
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                flat.extend(flatten(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            _ => {
                flat.insert(key, value);
            }
        }
    }
    flat
}
