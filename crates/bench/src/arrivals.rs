//! A count of arrivals that can be waited for.

use std::{cell::Cell, time::Duration};
use tokio::{sync::Notify, time::timeout};

/// A count of arrivals that can be waited for. One thread only.
#[derive(Debug, Default)]
pub struct Arrivals {
    counted: Cell<u64>,
    awaited: Cell<Option<u64>>,
    complete: Notify,
}

impl Arrivals {
    /// Forgets all arrivals.
    pub fn restart(&self) {
        self.counted.set(0);
        self.awaited.set(None);
    }

    /// How many have come since.
    pub fn counted(&self) -> u64 {
        self.counted.get()
    }

    /// Enters an arrival.
    pub fn count(&self) {
        self.counted.set(self.counted.get() + 1);
        if self.awaited.get() == Some(self.counted.get()) {
            self.complete.notify_one();
        }
    }

    /// Waits for `awaited` arrivals since the last restart, but gives up when none came for `patience`.
    pub async fn wait_for(&self, awaited: u64, patience: Duration) {
        self.awaited.set(Some(awaited));
        while self.counted.get() < awaited {
            let before = self.counted.get();
            let waited = timeout(patience, self.complete.notified()).await;
            if waited.is_err() && self.counted.get() == before {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_last_arrival_or_without_progress() {
        let arrivals = Arrivals::default();
        arrivals.count();
        arrivals.wait_for(1, Duration::from_secs(1)).await;
        tokio::join!(arrivals.wait_for(3, Duration::from_secs(1)), async {
            arrivals.count();
            arrivals.count();
        });
        let start = tokio::time::Instant::now();
        arrivals.wait_for(4, Duration::from_secs(9)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(9));
    }
}
