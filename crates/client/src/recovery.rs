//! What became of the time without a connection.

/// What became of what was published while there was no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Outcome {
    /// Nothing is missing: all of it has arrived or follows, once and in order.
    Recovered,
    /// Anything may be missing, for there is no history.
    #[default]
    Unknown,
    /// Something is missing, which [`Event::Lost`](crate::Event::Lost) told.
    Lost,
}

/// What became of the subscriptions while there was no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// How many channels miss nothing: what was published meanwhile has arrived or follows.
    pub recovered: usize,
    /// How many channels have no history: anything may be missing.
    pub unknown: usize,
    /// How many channels miss something, each told by [`Event::Lost`](crate::Event::Lost) before.
    pub lost: usize,
    /// The same of broadcasts.
    pub broadcasts: Outcome,
}

impl Recovery {
    /// What became of channels and of broadcasts.
    pub(crate) fn of(channels: impl Iterator<Item = Outcome>, broadcasts: Outcome) -> Self {
        let mut recovery = Self { broadcasts, ..Self::default() };
        for outcome in channels {
            *match outcome {
                Outcome::Recovered => &mut recovery.recovered,
                Outcome::Unknown => &mut recovery.unknown,
                Outcome::Lost => &mut recovery.lost,
            } += 1;
        }
        recovery
    }

    /// Whether no channel misses anything. Broadcasts are left out of it, since most have no use for them.
    pub fn all_channels_recovered(&self) -> bool {
        self.unknown == 0 && self.lost == 0
    }
}
