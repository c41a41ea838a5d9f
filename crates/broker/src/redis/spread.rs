//! Which of several independent servers has what.
//!
//! Rendezvous hashing: each partition goes to the server that scores highest for it. So the order of servers says nothing,
//! and one that is added or left out moves only its own share. All nodes must find the same, also those of other
//! versions: hence a hash of our own, which stays as it is.

use crate::partition::Partition;

/// The index of the server that has `partition`, of servers with these identities; the first where there are none.
pub(super) fn place(partition: Partition, identities: &[String]) -> usize {
    let scored = identities.iter().enumerate().map(|(index, identity)| (score(partition, identity), identity, index));
    scored.max().map_or(0, |(.., index)| index)
}

fn score(partition: Partition, identity: &str) -> u64 {
    mixed(fnv(identity) ^ mixed(partition.index() as u64 + 1))
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of SplitMix64.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::COUNT;

    fn servers(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("10.0.0.{n}:6379")).collect()
    }

    fn places(servers: &[String]) -> Vec<String> {
        Partition::every().map(|partition| servers[place(partition, servers)].clone()).collect()
    }

    /// Nodes of other versions must find the same.
    #[test]
    fn places_are_pinned() {
        let first: Vec<_> = Partition::every().take(12).map(|partition| place(partition, &servers(3))).collect();
        assert_eq!(first, PINNED);
        assert_eq!(place(Partition::BROADCASTS, &servers(3)), PINNED_BROADCASTS);
    }

    #[test]
    fn the_order_of_servers_says_nothing() {
        let (servers, mut turned) = (servers(5), servers(5));
        turned.rotate_left(2);
        assert_eq!(places(&servers), places(&turned));
    }

    #[test]
    fn one_more_server_moves_only_its_own_share() {
        let (before, after) = (places(&servers(4)), places(&servers(5)));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == "10.0.0.5:6379"));
        assert!((COUNT / 8..COUNT / 3).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn every_server_has_its_share() {
        let places = places(&servers(4));
        for server in servers(4) {
            let share = places.iter().filter(|place| **place == server).count();
            assert!((COUNT / 6..COUNT / 3).contains(&share), "{server} has {share}");
        }
    }

    const PINNED: [usize; 12] = [1, 2, 0, 1, 1, 0, 0, 0, 2, 0, 1, 1];
    const PINNED_BROADCASTS: usize = 2;
}
