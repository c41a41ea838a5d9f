//! A position within a command, gathered key by key: the same for both encodings.

use crate::{Epoch, Position, fields::quote, key::Key};

/// A key of a position.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PlaceKey {
    Epoch,
    Offset,
}

/// What was read of the position under a key.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) epoch: Option<Epoch>,
    pub(crate) offset: Option<u64>,
    under: Key,
}

impl Place {
    pub(crate) fn new(under: Key) -> Self {
        Self { epoch: None, offset: None, under }
    }

    /// Notes that a key called `name` occurs, which is one of a position and comes once.
    pub(crate) fn enter(&self, name: &str) -> Result<PlaceKey, String> {
        let (key, again) = match name {
            "epoch" => (PlaceKey::Epoch, self.epoch.is_some()),
            "offset" => (PlaceKey::Offset, self.offset.is_some()),
            _ => return Err(self.unknown(name)),
        };
        if again { Err(format!("duplicate key \"{name}\"")) } else { Ok(key) }
    }

    fn unknown(&self, name: &str) -> String {
        format!("unknown key {}: the keys of \"{}\" are epoch, offset", quote(name), self.under.name())
    }

    /// The position, or which key is missing.
    pub(crate) fn into_position(self) -> Result<Position, String> {
        let missing = |key: Key| format!("missing key \"{}\" in {}", key.name(), self.under.name());
        let epoch = self.epoch.ok_or_else(|| missing(Key::Epoch))?;
        let offset = self.offset.ok_or_else(|| missing(Key::Offset))?;
        Ok(Position { epoch, offset })
    }
}
