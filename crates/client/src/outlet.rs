//! The way of events to the user.

use crate::Event;
use std::collections::VecDeque;
use tokio::sync::mpsc::{self, error::TrySendError};

/// The sending side of [`Events`](crate::Events). Whoever fills it stops while it is full; what it takes beyond that are
/// the few events of a connection's end.
#[derive(Debug)]
pub(crate) struct Outlet {
    queue: mpsc::Sender<Event>,
    /// What found the queue full.
    held: VecDeque<Event>,
}

impl Outlet {
    /// The way into `queue`.
    pub(crate) fn new(queue: mpsc::Sender<Event>) -> Self {
        Self { queue, held: VecDeque::new() }
    }

    /// Whether events wait for room in the queue.
    pub(crate) fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    /// Tells `event` after those before; nobody hears it when the user has dropped [`Events`](crate::Events).
    pub(crate) fn tell(&mut self, event: Event) {
        self.held.push_back(event);
        self.refill();
    }

    /// Waits until [`refill`](Self::refill) makes progress.
    pub(crate) async fn room(&self) {
        // An error says that nobody listens, whom `refill` needs not wait for.
        let _ = self.queue.reserve().await;
    }

    /// Moves to the queue what there is room for.
    pub(crate) fn refill(&mut self) {
        while let Some(event) = self.held.pop_front() {
            if let Err(TrySendError::Full(event)) = self.queue.try_send(event) {
                return self.held.push_front(event);
            }
        }
    }

    /// Waits until the user has dropped [`Events`](crate::Events).
    pub(crate) async fn unwanted(&self) {
        self.queue.closed().await;
    }

    /// Waits until the user has taken, or dropped, all that was told.
    pub(crate) async fn drain(mut self) {
        while self.is_full() {
            self.room().await;
            self.refill();
        }
    }
}
