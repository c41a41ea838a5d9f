//! Layers of values, and their merging.

use super::{
    Config,
    problem::{Problem, Problems},
    setting::{Setting, Visitor},
};
use config::{ConfigError, Map, Source, Value, ValueKind};
use std::{collections::BTreeMap, fmt, path::Path};

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
pub(crate) struct Layer(Values);

impl Layer {
    /// The layer below all others: every key with its default.
    pub(crate) fn defaults() -> Self {
        struct Lister(Layer);
        impl Visitor for Lister {
            fn setting<T: Setting>(&mut self, key: &'static str, value: &mut T, _: impl Fn(&T) -> Option<String>) {
                self.0.set(key, value.write(), &Origin::default_value());
            }
        }
        let mut lister = Lister(Self::default());
        Config::default().visit(&mut lister);
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
        self.0.insert(key.to_owned(), Value::new(Some(&origin.0), kind));
    }

    /// Whether the layer has a value for `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// All keys, in alphabetical order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// `text` from a source that knows only texts, as the type that the value of `key` in this layer has; `None` if
    /// it has none. A text that can't be turned stays one, for the reader to refuse.
    pub(crate) fn typed(&self, key: &str, text: &str) -> Option<ValueKind> {
        Some(match (&self.0.get(key)?.kind, text.parse::<i64>()) {
            (ValueKind::I64(_), Ok(number)) => number.into(),
            (ValueKind::Array(_), _) => items(text).into(),
            _ => text.into(),
        })
    }

    /// The values.
    #[cfg(test)]
    pub(crate) fn values(&self) -> &Values {
        &self.0
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

/// The items of a list that is written with commas.
fn items(text: &str) -> Vec<Value> {
    let items = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    items.map(Value::from).collect()
}

/// The values of all layers, the later ones winning.
pub(crate) fn merge(layers: Vec<Layer>) -> Result<Values, Problem> {
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
