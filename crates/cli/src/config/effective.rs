//! The effective configuration, as people read it.

use super::{layer::Origin, namespaces};
use std::fmt;

/// Every key with its value as TOML, secrets hidden, and its origin. Displayed, it is a configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effective(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    literal: String,
    origin: Origin,
}

impl Effective {
    /// Adds a key; those of one group follow each other.
    pub(crate) fn push(&mut self, key: &str, literal: String, origin: Origin) {
        self.0.push(Entry { key: key.to_owned(), literal, origin });
    }

    /// The value of `key` as TOML, and where it comes from.
    pub(crate) fn get(&self, key: &str) -> Option<(&str, &Origin)> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| (entry.literal.as_str(), &entry.origin))
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut current = "";
        for Entry { key, literal, origin } in &self.0 {
            let (group, name) = grouped(key);
            if group != current {
                let gap = if current.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{group}]")?;
                current = group;
            }
            writeln!(f, "{name} = {literal} # {origin}")?;
        }
        Ok(())
    }
}

/// The table of TOML that `key` stands in, and its name there. Each namespace has a table of its own.
fn grouped(key: &str) -> (&str, &str) {
    match namespaces::split(key) {
        Some((_, rest)) => (&key[..key.len() - rest.len()], rest.trim_start_matches('.')),
        None => key.split_once('.').unwrap_or(("", key)),
    }
}
