#![allow(clippy::unwrap_used)]

use super::*;
use crate::REMEMBERED;
use fanwire_protocol::{ChannelName, Content};
use proptest::prelude::*;

const TTL: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

fn target(name: &str) -> Target {
    Target::Channel(ChannelName::parse(name).unwrap())
}

fn kept(size: u32) -> Retention {
    Retention { size, ttl: TTL }
}

fn delivery(target: Target, text: &str) -> Delivery {
    let publication = Arc::new(Publication::new(target, Content::string(text)));
    Delivery { publication, except: None, published_at: 1 }
}

/// An archive that keeps `size` publications a target, at a time of its own.
struct Rig {
    archive: Archive,
    retention: Retention,
    now: Instant,
}

impl Rig {
    fn new(size: u32) -> Self {
        Self { archive: Archive::default(), retention: kept(size), now: Instant::now() }
    }

    fn append(&mut self, name: &str) -> Position {
        self.archive.append(&delivery(target(name), "x"), self.retention, None, self.now).0
    }

    fn with_key(&mut self, name: &str, key: &str) -> (Position, bool) {
        let key = IdempotencyKey::new(key);
        let (place, delivery) = self.archive.append(&delivery(target(name), "x"), self.retention, key, self.now);
        (place, delivery.is_some())
    }

    fn page(&mut self, name: &str, since: Option<Position>, limit: u32, reverse: bool) -> Page {
        let query = Query { target: target(name), since, limit, reverse };
        self.archive.page(&query, self.retention, self.now)
    }

    fn offsets(&mut self, name: &str) -> Vec<u64> {
        offsets(&self.page(name, None, MAX_PAGE, false))
    }
}

fn offsets(page: &Page) -> Vec<u64> {
    page.publications.iter().map(|delivery| delivery.publication.position.as_ref().unwrap().offset).collect()
}

#[test]
fn the_newest_are_kept_and_each_target_counts_for_itself() {
    let mut rig = Rig::new(3);
    for offset in 1..=5 {
        assert_eq!(rig.append("a").offset, offset);
    }
    assert_eq!(rig.append("b").offset, 1);
    assert_eq!(rig.offsets("a"), [3, 4, 5]);
    assert_eq!(rig.offsets("b"), [1]);
    assert_eq!(rig.archive.bytes, 4 * (OVERHEAD + 3));
}

#[test]
fn publications_expire_together_and_the_place_later() {
    let mut rig = Rig::new(3);
    let first = rig.append("a");
    rig.now += TTL - MOMENT;
    let second = rig.append("a");
    rig.now += TTL - MOMENT;
    assert_eq!(rig.offsets("a"), [1, 2]);

    rig.now += MOMENT;
    assert!(rig.offsets("a").is_empty());
    assert_eq!(rig.archive.bytes, 0);
    assert!(rig.page("a", Some(second.clone()), 9, false).complete);
    assert!(!rig.page("a", Some(first), 9, false).complete);

    rig.now += PLACE_KEPT - MOMENT;
    assert_eq!(rig.page("a", None, 0, false).newest, second);
    rig.now += MOMENT;
    let newest = rig.page("a", None, 0, false).newest;
    assert!(newest.epoch != second.epoch && newest.offset == 0);
    assert!(!rig.page("a", Some(second), 9, false).complete);
    assert_eq!(rig.append("a"), Position { offset: 1, ..newest });
}

#[test]
fn what_is_read_and_never_published_to_is_forgotten_too() {
    let mut rig = Rig::new(3);
    rig.page("a", None, 0, false);
    rig.now += TTL + PLACE_KEPT;
    rig.page("b", None, 0, false);
    assert_eq!(rig.archive.histories.len(), 1);
}

#[test]
fn the_same_key_is_published_once() {
    let mut rig = Rig::new(3);
    let (first, new) = rig.with_key("a", "k");
    assert!(new);
    rig.append("a");
    assert_eq!(rig.with_key("a", "k"), (first.clone(), false));
    assert!(rig.with_key("b", "k").1);
    rig.now += REMEMBERED - MOMENT;
    assert_eq!(rig.with_key("a", "k"), (first, false));
    rig.now += MOMENT;
    assert!(rig.with_key("a", "k").1);
}

#[test]
fn too_many_targets_push_out_the_oldest() {
    let mut rig = Rig::new(1);
    rig.archive.bounds.targets = 100;
    let first = rig.append("0");
    for n in 1..=100 {
        rig.append(&n.to_string());
    }
    assert_eq!(rig.archive.histories.len(), 100);
    assert_eq!(rig.archive.bytes, 100 * (OVERHEAD + 3));
    assert_ne!(rig.append("0").epoch, first.epoch);
    assert_eq!(rig.append("2").offset, 2);
}

#[test]
fn too_many_bytes_push_out_what_expires_first_and_no_place() {
    let mut rig = Rig::new(10);
    let text = "x".repeat(1_000 - OVERHEAD);
    rig.archive.bounds.bytes = 4_000;
    let mut publish = |name: &str| {
        rig.now += MOMENT;
        rig.archive.append(&delivery(target(name), &text), kept(10), None, rig.now).0.offset
    };
    assert_eq!(["a", "b", "b", "c"].map(&mut publish), [1, 1, 2, 1]);
    assert_eq!(publish("a"), 2);
    assert!(rig.offsets("b").is_empty());
    assert!(rig.archive.bytes <= 4_000);
    assert_eq!((rig.offsets("c"), rig.append("b").offset), (vec![1], 3));
}

#[test]
fn a_time_beyond_all_clocks_is_no_panic() {
    let mut rig = Rig::new(1);
    rig.retention.ttl = Duration::MAX;
    assert_eq!(rig.append("a").offset, 1);
}

proptest! {
    /// Every page is what one finds who looks at each publication.
    #[test]
    fn pages_hold_what_was_asked_for(
        count in 0u64..20,
        size in 1u32..20,
        since in prop::option::of((0u64..25, any::<bool>())),
        limit in 0u32..25,
        reverse in any::<bool>(),
    ) {
        let mut rig = Rig::new(size);
        for _ in 0..count {
            rig.append("a");
        }
        let epoch = rig.page("a", None, 0, false).newest.epoch;
        let place = |(offset, same)| Position { epoch: if same { epoch.clone() } else { epoch::random() }, offset };
        let page = rig.page("a", since.map(place), limit, reverse);

        let oldest = count.saturating_sub(u64::from(size)) + 1;
        let bound = since.and_then(|(offset, same)| same.then_some(offset));
        let mut expected: Vec<_> = (oldest..=count)
            .filter(|offset| bound.is_none_or(|bound| if reverse { *offset < bound } else { *offset > bound }))
            .collect();
        if reverse {
            expected.reverse();
        }
        let complete = since.is_none_or(|(offset, same)| {
            let neighbour = if reverse { offset.saturating_sub(1) } else { offset + 1 };
            let was_published = (1..=count).contains(&neighbour);
            same && offset <= count && (!was_published || neighbour >= oldest)
        });
        expected.truncate(limit as usize);
        prop_assert_eq!(offsets(&page), expected);
        prop_assert_eq!(page.newest, Position { epoch, offset: count });
        prop_assert_eq!(page.complete, complete);
    }
}
