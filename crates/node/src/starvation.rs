//! Times in which the system had nothing to accept connections with.

use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// For how long nothing may have failed until a starvation is over. Well above the pause between two attempts: a node
/// at its limit that takes one connection whenever another has left starves on.
const CALM: Duration = Duration::from_secs(1);

/// Whether the listener starves, and since when.
#[derive(Debug, Default)]
pub(crate) struct Starvation(Option<Span>);

/// A starvation that is not over.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: Instant,
    last: Instant,
}

impl Starvation {
    /// Notes a failure, and returns whether a starvation begins with it.
    pub(crate) fn failed(&mut self) -> bool {
        let now = Instant::now();
        let begins = self.0.is_none();
        self.0.get_or_insert(Span { first: now, last: now }).last = now;
        begins
    }

    /// Resolves when the starvation is over; never without one. Cancelling it loses nothing.
    pub(crate) async fn over(&self) {
        match self.0 {
            Some(Span { last, .. }) => sleep_until(last + CALM).await,
            None => std::future::pending().await,
        }
    }

    /// Ends the starvation and returns how long it was, from its first failure to its last.
    pub(crate) fn end(&mut self) -> Duration {
        self.0.take().map_or(Duration::ZERO, |Span { first, last }| last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::advance;

    const PAUSE: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_starvation_is_one_until_nothing_has_failed_for_a_while() {
        let mut starvation = Starvation::default();
        assert!(starvation.over().now_or_never().is_none());
        assert!(starvation.failed());
        for _ in 0..20 {
            advance(PAUSE).await;
            assert!(!starvation.failed());
        }
        advance(CALM - PAUSE).await;
        assert!(starvation.over().now_or_never().is_none());
        assert!(!starvation.failed());
        let last = Instant::now();
        starvation.over().await;
        assert_eq!(Instant::now(), last + CALM);
        assert_eq!(starvation.end(), 20 * PAUSE + CALM - PAUSE);
        assert!(starvation.over().now_or_never().is_none());
        assert!(starvation.failed());
    }
}
