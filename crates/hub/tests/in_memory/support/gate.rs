//! Polls a shard only when the test lets it.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

/// Whether a future may be polled. It may at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stalled: bool,
    /// Polls that are granted while stalled.
    polls: usize,
    waker: Option<Waker>,
}

impl Gate {
    /// Runs `inner`, polling it only as the gate allows.
    pub(crate) async fn hold(self, inner: impl Future<Output = ()>) {
        let mut inner = pin!(inner);
        std::future::poll_fn(move |cx| if self.pass(cx.waker()) { inner.as_mut().poll(cx) } else { Poll::Pending })
            .await;
    }

    fn pass(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock().unwrap();
        state.waker = Some(waker.clone());
        if !state.stalled {
            return true;
        }
        let granted = state.polls > 0;
        state.polls = state.polls.saturating_sub(1);
        granted
    }

    /// Stops polling, or goes on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.change(|state| *state = State { stalled, polls: 0, waker: state.waker.take() });
    }

    /// Grants one poll.
    pub(crate) fn grant(&self) {
        self.change(|state| state.polls += 1);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }
}
