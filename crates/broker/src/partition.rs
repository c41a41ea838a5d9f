//! The partitions that channels are spread over, so that each lives at one server of several.

use fanwire_protocol::{ChannelName, Target};
use std::fmt;

/// How many partitions channels are spread over. Fixed for ever: another number would move every channel.
const CHANNELS: u16 = 1_024;

/// How many partitions there are: those of channels, and that of what all have in common.
pub(crate) const COUNT: usize = CHANNELS as usize + 1;

/// What lives at one server together: some of the channels, or the broadcasts. Displays as the hash tag in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Partition(u16);

impl Partition {
    /// Where broadcasts live.
    pub(crate) const BROADCASTS: Self = Self(CHANNELS);

    /// Where a channel lives.
    pub(crate) fn of(channel: &ChannelName) -> Self {
        let remainder = crc32fast::hash(channel.as_str().as_bytes()) % u32::from(CHANNELS);
        // It is below 1,024.
        Self(u16::try_from(remainder).unwrap_or_default())
    }

    /// Where what is published to `target` lives.
    pub(crate) fn of_target(target: &Target) -> Self {
        match target {
            Target::Broadcast => Self::BROADCASTS,
            Target::Channel(channel) => Self::of(channel),
        }
    }

    /// Those of channels, in order.
    pub(crate) fn of_channels() -> impl Iterator<Item = Self> {
        (0..CHANNELS).map(Self)
    }

    /// All there are, in order.
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        (0..=CHANNELS).map(Self)
    }

    /// Its number, below [`COUNT`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::BROADCASTS { f.write_str("all") } else { self.0.fmt(f) }
    }
}

/// Some of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partitions([u64; COUNT.div_ceil(64)]);

impl Partitions {
    /// All there are.
    pub fn all() -> Self {
        Partition::every().collect()
    }

    /// Whether what is published to `target` lives in one of them.
    pub fn hold(&self, target: &Target) -> bool {
        self.contains(Partition::of_target(target))
    }

    pub(crate) fn contains(&self, partition: Partition) -> bool {
        let (word, bit) = Self::place(partition);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) fn insert(&mut self, partition: Partition) {
        let (word, bit) = Self::place(partition);
        self.0.iter_mut().skip(word).take(1).for_each(|bits| *bits |= bit);
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These and the `others`.
    pub(crate) fn with(mut self, others: &Self) -> Self {
        self.0.iter_mut().zip(others.0).for_each(|(bits, other)| *bits |= other);
        self
    }

    /// Those of these that are among the `others`.
    pub(crate) fn and(mut self, others: &Self) -> Self {
        self.0.iter_mut().zip(others.0).for_each(|(bits, other)| *bits &= other);
        self
    }

    /// These but not the `others`.
    pub(crate) fn without(mut self, others: &Self) -> Self {
        self.0.iter_mut().zip(others.0).for_each(|(bits, other)| *bits &= !other);
        self
    }

    fn place(partition: Partition) -> (usize, u64) {
        (partition.index() / 64, 1 << (partition.index() % 64))
    }
}

impl FromIterator<Partition> for Partitions {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        let mut some = Self::default();
        partitions.into_iter().for_each(|partition| some.insert(partition));
        some
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn channels_stay_in_their_partitions() {
        let of = |name: &str| Partition::of(&ChannelName::parse(name).unwrap()).to_string();
        assert_eq!(["news", "chat:room:1", "!"].map(of), ["336", "243", "979"]);
        assert_eq!(Partition::of_target(&Target::Broadcast).to_string(), "all");
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let every: Vec<_> = Partition::every().collect();
        assert_eq!(every.len(), COUNT);
        for odd in [0, 1] {
            let half: Partitions = every.iter().copied().filter(|partition| partition.index() % 2 == odd).collect();
            assert!(every.iter().all(|partition| half.contains(*partition) == (partition.index() % 2 == odd)));
            assert!(!half.is_empty());
            let rest = Partitions::all().without(&half);
            assert!(every.iter().all(|partition| rest.contains(*partition) != half.contains(*partition)));
            assert_eq!(half.with(&rest), Partitions::all());
            assert_eq!(Partitions::all().and(&half), half);
        }
        assert!(Partitions::default().is_empty());
        assert!(Partitions::all().hold(&Target::Broadcast));
    }
}
