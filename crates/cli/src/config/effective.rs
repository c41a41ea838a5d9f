//! The effective configuration, as people read it.

use super::layer::Origin;
use std::fmt;

/// Every key with its value as TOML, secrets hidden, and its origin. Displayed, it is a configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effective(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: &'static str,
    literal: String,
    origin: Origin,
}

impl Effective {
    /// Adds a key; those of one group follow each other.
    pub(crate) fn push(&mut self, key: &'static str, literal: String, origin: Origin) {
        self.0.push(Entry { key, literal, origin });
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
            let (group, name) = key.split_once('.').unwrap_or(("", key));
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
