//! Since when messages may have been lost.

use crate::{Gap, partition::Partitions};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Remembers, from one link to the next, until when nothing can have gone by.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the last heartbeat was sent that came round, since whatever Redis took in later may have gone by; or before
    /// that, when Sentinels named this server last: others may be at another one since then.
    since: Option<Instant>,
    named: Option<Instant>,
    /// What lives at the server.
    owned: Partitions,
    /// What came from another server, and since when nobody may have listened to it.
    arrived: Option<(Instant, Partitions)>,
}

impl Window {
    /// What a link leaves behind that is made now; none if it is the first, and nothing came from another server.
    pub(super) fn gap(&self) -> Option<Gap> {
        let state = self.lock();
        let own = state.since.map(|since| (since, state.owned));
        joined(own, state.arrived).map(gap)
    }

    /// A heartbeat came round, and the feed knows of every gap before it.
    pub(super) fn round(&self, sent: Instant) {
        let mut state = self.lock();
        state.since = Some(state.named.map_or(sent, |named| named.min(sent)));
    }

    /// Sentinels, `asked` then, named the server of this link as the primary.
    pub(super) fn named(&self, asked: Instant) {
        self.lock().named = Some(asked);
    }

    /// Until when nothing can have gone by.
    pub(super) fn since(&self) -> Option<Instant> {
        self.lock().since
    }

    /// What lives at the server from now on.
    pub(super) fn own(&self, partitions: Partitions) {
        self.lock().owned = partitions;
    }

    /// What lived at another server until now, where it may have been missed `since` then.
    pub(super) fn arrive(&self, since: Instant, partitions: Partitions) {
        let mut state = self.lock();
        state.arrived = joined(state.arrived, Some((since, partitions)));
    }

    /// What may have been missed on its way from another server.
    pub(super) fn arrived(&self) -> Option<Gap> {
        self.lock().arrived.map(gap)
    }

    /// The feed knows of `gap`.
    pub(super) fn told(&self, gap: &Gap) {
        let mut state = self.lock();
        let rest = state.arrived.map(|(since, partitions)| (since, partitions.without(&gap.partitions)));
        state.arrived = rest.filter(|(_, partitions)| !partitions.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gap((since, partitions): (Instant, Partitions)) -> Gap {
    Gap { duration: since.elapsed(), partitions }
}

fn joined(one: Option<(Instant, Partitions)>, other: Option<(Instant, Partitions)>) -> Option<(Instant, Partitions)> {
    match (one, other) {
        (Some((a, some)), Some((b, others))) => Some((a.min(b), some.with(&others))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::partition::Partition;
    use fanwire_protocol::Target;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn broadcasts() -> Partitions {
        [Partition::BROADCASTS].into_iter().collect()
    }

    #[track_caller]
    fn check(window: &Window, hours: u32) {
        let lasted = window.gap().unwrap().duration;
        assert!((HOUR * hours..HOUR * (hours + 1)).contains(&lasted), "{lasted:?}");
    }

    #[test]
    fn the_first_link_leaves_no_gap_and_the_next_one_since_the_last_heartbeat_of_all_that_lives_there() {
        let (window, now) = (Window::default(), Instant::now());
        window.own(broadcasts());
        assert_eq!(window.gap(), None);
        window.round(now - 7 * HOUR);
        check(&window, 7);
        window.round(now - 5 * HOUR);
        check(&window, 5);
        assert_eq!(window.gap().map(|gap| gap.partitions), Some(broadcasts()));
    }

    #[test]
    fn others_may_be_elsewhere_since_sentinels_named_the_server() {
        let (window, now) = (Window::default(), Instant::now());
        window.named(now - 20 * HOUR);
        window.round(now - 15 * HOUR);
        check(&window, 20);
        window.named(now - 10 * HOUR);
        // Only a heartbeat shows that the gap before it was told.
        check(&window, 20);
        window.round(now - 5 * HOUR);
        check(&window, 10);
    }

    #[test]
    fn what_came_from_another_server_is_a_gap_until_it_was_told() {
        let window = Window::default();
        window.arrive(Instant::now(), broadcasts());
        let told = window.arrived();
        assert!(told.is_some_and(|gap| gap.partitions.hold(&Target::Broadcast)));
        assert_eq!(window.gap().map(|gap| gap.partitions), Some(broadcasts()));
        told.iter().for_each(|gap| window.told(gap));
        assert_eq!(window.arrived(), None);
    }
}
