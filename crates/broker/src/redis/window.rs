//! Since when messages may have been lost.

use crate::Gap;
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
}

impl Window {
    /// What a link leaves behind that is made now; none if it is the first.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.lock().since.map(|since| Gap { duration: since.elapsed() })
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[track_caller]
    fn check(window: &Window, hours: u32) {
        let lasted = window.gap().unwrap().duration;
        assert!((HOUR * hours..HOUR * (hours + 1)).contains(&lasted), "{lasted:?}");
    }

    #[test]
    fn the_first_link_leaves_no_gap_and_the_next_one_since_the_last_heartbeat() {
        let (window, now) = (Window::default(), Instant::now());
        assert_eq!(window.gap(), None);
        window.round(now - 7 * HOUR);
        check(&window, 7);
        window.round(now - 5 * HOUR);
        check(&window, 5);
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
}
