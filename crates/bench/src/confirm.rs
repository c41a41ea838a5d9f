//! How far a publisher's messages have come, told from the reading side to the publishing thread.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many messages are confirmed. A confirmation counts for all messages before it too.
#[derive(Debug, Default)]
pub struct Confirmations {
    confirmed: Mutex<u64>,
    changed: Condvar,
}

impl Confirmations {
    /// Message `sequence` and all before it have arrived.
    pub fn confirm(&self, sequence: u64) {
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence >= *confirmed {
            *confirmed = sequence.saturating_add(1);
            self.changed.notify_one();
        }
    }

    /// How many messages are confirmed.
    pub fn confirmed(&self) -> u64 {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until message `sequence` may go: until fewer than `window` before it are unconfirmed. False when that
    /// has not happened by `deadline`.
    pub fn wait(&self, sequence: u64, window: u64, deadline: Instant) -> bool {
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let blocked = |confirmed: &mut u64| sequence.saturating_sub(*confirmed) >= window;
        let waited = self.changed.wait_timeout_while(confirmed, left, blocked);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_so_many_pass_and_opens_with_confirmations() {
        let confirmations = Confirmations::default();
        let past = Instant::now();
        assert!(confirmations.wait(0, 2, past));
        assert!(confirmations.wait(1, 2, past));
        assert!(!confirmations.wait(2, 2, past));
        confirmations.confirm(1);
        confirmations.confirm(0);
        assert!(confirmations.wait(3, 2, past));
        assert!(!confirmations.wait(4, 2, past));
    }

    #[test]
    fn a_waiting_publisher_is_woken() {
        let confirmations = std::sync::Arc::new(Confirmations::default());
        let other = confirmations.clone();
        let thread = std::thread::spawn(move || other.confirm(5));
        assert!(confirmations.wait(6, 1, Instant::now() + Duration::from_secs(60)));
        assert!(thread.join().is_ok());
    }
}
