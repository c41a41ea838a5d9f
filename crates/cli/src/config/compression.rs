//! The group `compression`: permessage-deflate (RFC 7692).

use super::{
    setting::{Visitor, any, within},
    size::Size,
};
use fanwire_protocol::Deflate;

/// Compression of messages for clients that offer it.
#[derive(Debug, Clone)]
pub(crate) struct Compression {
    /// Whether it is agreed to.
    pub(crate) enabled: bool,
    /// From 1, the fastest, to 9, the shortest.
    pub(crate) level: usize,
    /// The shortest message that is compressed.
    pub(crate) least: Size,
    /// How many times longer a message from a client may become.
    pub(crate) ratio: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { enabled: false, level: 3, least: Size::new(256), ratio: 200 }
    }
}

impl Compression {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("compression.enabled", &mut self.enabled, any);
        visitor.setting("compression.level", &mut self.level, within(1..=9));
        visitor.setting("compression.least", &mut self.least, within(Size::new(0)..=Size::kib(64 << 10)));
        visitor.setting("compression.ratio", &mut self.ratio, within(1..=2000));
    }

    /// How messages are compressed, if they are.
    pub(crate) fn deflate(&self) -> Option<Deflate> {
        self.enabled.then_some(Deflate { level: u32::try_from(self.level).unwrap_or(9), least: self.least.bytes() })
    }
}
