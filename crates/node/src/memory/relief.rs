//! Which connections go when memory is short.

use std::cmp::Reverse;

/// An outbox, known by its `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outbox<K> {
    pub(super) key: K,
    /// What it costs.
    pub(super) bytes: usize,
}

/// The largest of `outboxes`, as many as cost `excess` bytes together; at most `most`, where that takes more.
pub(super) fn chosen<K>(mut outboxes: Vec<Outbox<K>>, excess: u64, most: usize) -> impl Iterator<Item = K> {
    outboxes.sort_by_key(|outbox| Reverse(outbox.bytes));
    let mut freed = 0u64;
    let needed = outboxes.into_iter().take_while(move |outbox| {
        let is_needed = freed < excess;
        freed = freed.saturating_add(outbox.bytes as u64);
        is_needed
    });
    needed.take(most).map(|outbox| outbox.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(costs: &[usize], excess: u64, most: usize, expected: &[usize]) {
        let outboxes = costs.iter().map(|bytes| Outbox { key: *bytes, bytes: *bytes }).collect();
        assert_eq!(chosen(outboxes, excess, most).collect::<Vec<_>>(), expected, "{costs:?}, {excess}, {most}");
    }

    #[test]
    fn the_largest_go_until_it_is_enough() {
        check(&[1, 50, 7, 20], 1, 9, &[50]);
        check(&[1, 50, 7, 20], 50, 9, &[50]);
        check(&[1, 50, 7, 20], 51, 9, &[50, 20]);
        check(&[1, 50, 7, 20], 1000, 9, &[50, 20, 7, 1]);
        check(&[1, 50, 7, 20], 1000, 3, &[50, 20, 7]);
        check(&[1, 50, 7, 20], 0, 9, &[]);
        check(&[], 1, 9, &[]);
        check(&[usize::MAX, usize::MAX], u64::MAX, 9, &[usize::MAX]);
    }

    proptest! {
        #[test]
        fn nobody_goes_before_one_with_more_and_nobody_in_vain(
            costs in prop::collection::vec(0usize..1000, 0..40), excess in 0u64..5000, most in 0usize..20,
        ) {
            let outboxes = costs.iter().enumerate().map(|(key, bytes)| Outbox { key, bytes: *bytes }).collect();
            let gone: Vec<usize> = chosen(outboxes, excess, most).collect();
            let freed = |keys: &[usize]| keys.iter().map(|key| costs[*key] as u64).sum::<u64>();
            let least = gone.iter().map(|key| costs[*key]).min().unwrap_or(usize::MAX);
            prop_assert!((0..costs.len()).filter(|key| !gone.contains(key)).all(|key| costs[key] <= least));
            prop_assert!(gone.len() == most.min(costs.len()) || freed(&gone) >= excess);
            prop_assert!(gone.is_empty() || freed(&gone[..gone.len() - 1]) < excess);
        }
    }
}
