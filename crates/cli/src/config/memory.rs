//! The group `memory`: what the node may not exceed.

use super::{
    setting::{Visitor, within},
    size::Size,
};
use fanwire_node::MemoryLimits;

/// The least that a node can be told to get by with.
const LEAST: Size = Size::kib(16 << 10);

/// What the node may not exceed.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// Bytes that its process may use; 0 for what its control group may, or else the machine has.
    pub(crate) limit: Size,
    /// The percentage of that at which memory is short; 0 for never.
    ///
    /// A tenth that is left is what may arrive between two readings, and what the kernel and the allocator need; alerts
    /// come before, at 85 %.
    pub(crate) pressure: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: Size::new(0), pressure: 90 }
    }
}

impl Memory {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("memory.limit", &mut self.limit, |limit| {
            let fits = *limit == Size::new(0) || *limit >= LEAST;
            (!fits).then(|| format!("must be 0B or at least {LEAST}"))
        });
        visitor.setting("memory.pressure", &mut self.pressure, within(0..=99));
    }

    /// What a node is told.
    pub(crate) fn limits(&self) -> MemoryLimits {
        let limit = u64::try_from(self.limit.bytes()).ok().filter(|bytes| *bytes > 0);
        let pressure = u8::try_from(self.pressure).ok().filter(|percent| *percent > 0);
        MemoryLimits { limit, pressure }
    }
}
