//! The slots of Redis Cluster.

use crate::partition::{COUNT, Partition};
use std::sync::LazyLock;

/// How many there are.
pub(super) const SLOTS: u16 = 16_384;

static OF_PARTITIONS: LazyLock<[u16; COUNT]> = LazyLock::new(|| {
    let mut slots = [0; COUNT];
    Partition::every().zip(&mut slots).for_each(|(partition, slot)| *slot = of_tag(&partition.to_string()));
    slots
});

/// The slot of every name in a partition.
pub(super) fn of(partition: Partition) -> u16 {
    OF_PARTITIONS.get(partition.index()).copied().unwrap_or_default()
}

/// The slot of every name with a hash tag.
pub(super) fn of_tag(tag: &str) -> u16 {
    tag.bytes().fold(0, step) % SLOTS
}

/// CRC-16/XMODEM, one byte on.
fn step(sum: u16, byte: u8) -> u16 {
    (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| (sum << 1) ^ (if sum & 0x8000 == 0 { 0 } else { 0x1021 }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What CLUSTER KEYSLOT of Redis 7.0.15 says; the first is the check value of the sum.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!("123456789".bytes().fold(0, step), 0x31C3);
        for (tag, slot) in [("123456789", 12_739), ("foo", 12_182), ("all", 3_894), ("336", 6_822)] {
            assert_eq!(of_tag(tag), slot, "{tag}");
        }
    }

    #[test]
    fn partitions_have_the_slots_of_their_tags() {
        assert_eq!(of(Partition::BROADCASTS), of_tag("all"));
        assert!(Partition::every().all(|partition| of(partition) == of_tag(&partition.to_string())));
    }
}
