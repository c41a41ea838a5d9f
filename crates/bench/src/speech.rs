//! What measured connections speak: a native dialect, or what a template says of another server.

use crate::{dialect::Dialect, template::Template};
use fanwire_protocol::frame::Opcode;
use serde::{Deserialize, Serialize};

/// What measured connections speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// Fanwire's own.
    Native(Dialect),
    /// Another server's.
    Foreign(Template),
}

impl Speech {
    /// The WebSocket subprotocol to ask for.
    pub fn subprotocol(&self) -> Option<&str> {
        match self {
            Self::Native(dialect) => Some(dialect.subprotocol()),
            Self::Foreign(template) => template.subprotocol.as_deref(),
        }
    }

    /// The kind of frame that is sent.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Native(dialect) => dialect.opcode(),
            Self::Foreign(_) => Opcode::Text,
        }
    }

    /// What a frame with `payload` is to be answered with at once.
    pub fn reply(&self, payload: &[u8]) -> Option<&str> {
        match self {
            Self::Native(_) => None,
            Self::Foreign(template) => template.reply(payload),
        }
    }

    /// Its name in results.
    pub fn name(&self) -> &str {
        match self {
            Self::Native(Dialect::Json) => "json",
            Self::Native(Dialect::Msgpack) => "msgpack",
            Self::Foreign(template) => template.name.as_deref().unwrap_or("template"),
        }
    }
}
