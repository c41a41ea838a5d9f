//! Which of this node's connections are on which channels, and that the broker knows.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `book` | what is wanted, and what the broker is known to have |
//! | `leases` | places of connections among those of their user, on all nodes |
//! | `keeper` | the task that makes the two the same, and shows that the node lives |
//! | `membership` | a connection's being on a channel |

mod book;
mod keeper;
mod leases;
mod membership;

pub(crate) use keeper::Keeper;
pub use leases::{Everywhere, WhenUnknown};
pub(crate) use leases::{HeldLease, Leases};
pub(crate) use membership::{Entry, Membership};

use book::{Answer, Book};
use fanwire_protocol::{ChannelName, ConnectionId, Member};
use prometheus::IntGauge;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot, watch};

/// What sessions and the keeper share. As large as there are memberships, and those that the broker is yet to forget.
#[derive(Debug)]
pub(crate) struct Presence {
    book: Mutex<Book>,
    members: IntGauge,
    /// Whether the node was shown to live since the link came up: only then will others look after its members.
    shown: watch::Sender<bool>,
    /// The keeper has something to do.
    work: Notify,
    /// The broker has everything that is wanted.
    settled: Notify,
}

impl Presence {
    /// Nobody is anywhere; `members` counts those who are.
    pub(crate) fn new(members: IntGauge) -> Self {
        let (work, settled) = (Notify::new(), Notify::new());
        Self { book: Mutex::default(), members, shown: watch::Sender::new(false), work, settled }
    }

    /// Waits until nobody is anywhere, and the broker knows.
    pub(crate) async fn emptied(&self) {
        loop {
            // Made first: so it does not miss what happens after the look.
            let settled = self.settled.notified();
            if self.book().is_empty() {
                return;
            }
            settled.await;
        }
    }

    /// Resolves when the broker has the member; fails if that has gone before.
    fn enter(&self, channel: &ChannelName, member: Member) -> oneshot::Receiver<()> {
        let (entered, told) = oneshot::channel();
        self.book().enter(channel, Arc::new(member), entered);
        self.members.inc();
        self.work.notify_one();
        told
    }

    fn leave(&self, channel: &ChannelName, connection: ConnectionId) {
        self.members.dec();
        self.give_up(channel, connection);
    }

    fn give_up(&self, channel: &ChannelName, connection: ConnectionId) {
        self.book().leave(channel, connection);
        self.work.notify_one();
    }

    fn answered(&self, channel: &ChannelName, connection: ConnectionId, answer: Answer) {
        self.book().answered(channel, connection, answer);
        self.work.notify_one();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in there panics.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
