//! The group `log`.

use super::setting::{Choice, Visitor, any};

/// The log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Its form.
    pub(crate) format: LogFormat,
    /// What is logged: a level, or a level for each part as in `info,fanwire_node=debug`.
    pub(crate) level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Choice for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("log.format", &mut self.format, any);
        visitor.setting("log.level", &mut self.level, |level| crate::log::filter(level).err());
    }
}
