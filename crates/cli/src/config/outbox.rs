//! The group `outbox`.

use super::{
    setting::{Choice, Visitor, any, within},
    size::Size,
};

/// What a connection may have waiting for it.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    /// Bytes that may wait in the node for one connection.
    pub(crate) limit: Size,
    /// What a full outbox does.
    pub(crate) policy: OutboxPolicy,
    /// Unsent bytes that the kernel may hold for one connection.
    pub(crate) kernel: Size,
}

/// What a full outbox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutboxPolicy {
    /// The connection is closed with 1013.
    Disconnect,
    /// The oldest publications are left out and the client is told how many.
    DropOldest,
}

impl Choice for OutboxPolicy {
    const NAMES: &'static [(&'static str, Self)] =
        &[("disconnect", Self::Disconnect), ("drop_oldest", Self::DropOldest)];
}

impl Default for Outbox {
    fn default() -> Self {
        Self { limit: Size::kib(1024), policy: OutboxPolicy::Disconnect, kernel: Size::kib(64) }
    }
}

impl Outbox {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("outbox.limit", &mut self.limit, within(Size::kib(4)..=Size::kib(1 << 20)));
        visitor.setting("outbox.policy", &mut self.policy, any);
        visitor.setting("outbox.kernel", &mut self.kernel, within(Size::kib(4)..=Size::kib(16 << 10)));
    }
}
