//! When something is due of which target.

use fanwire_protocol::Target;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// An entry of a schedule.
pub(super) type Entry = (Instant, u64);

/// Targets by time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    targets: BTreeMap<Entry, Target>,
    count: u64,
}

impl Schedule {
    pub(super) fn add(&mut self, target: Target, at: Instant) -> Entry {
        self.count += 1;
        let entry = (at, self.count);
        self.targets.insert(entry, target);
        entry
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        self.targets.remove(&entry);
    }

    /// Takes out the first, whenever it is due.
    pub(super) fn first(&mut self) -> Option<Target> {
        self.targets.pop_first().map(|(_, target)| target)
    }

    /// Takes out the first that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Target> {
        let entry = self.targets.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
