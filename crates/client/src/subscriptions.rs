//! What the user wants to be subscribed to, whatever becomes of connections.

use crate::{Error, Refusal, call::Asker};
use indexmap::IndexMap;

/// The subscriptions that the user wants, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    wanted: IndexMap<String, Subscription>,
}

/// One of them. What it takes to go on where a connection ended belongs here too.
#[derive(Debug, Default)]
struct Subscription {
    /// The newest command that asked for it.
    asked: u64,
    /// Whether it has ever been in force.
    established: bool,
    /// Who asked for it while there was no connection.
    waiting: Vec<Asker>,
}

/// What a node's answer means for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in force, or another command decides.
    Kept,
    /// It is still wanted, and the node may grant it later.
    Later,
    /// It is wanted no longer; whether it had been in force.
    Lost { established: bool },
}

impl Subscriptions {
    /// All channels, in order.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &String> {
        self.wanted.keys()
    }

    /// Whether `channel` is wanted.
    pub(crate) fn contains(&self, channel: &str) -> bool {
        self.wanted.contains_key(channel)
    }

    /// Notes that command `id` asks a node for `channel`; who waits for that gets its answer.
    pub(crate) fn asked(&mut self, channel: &str, id: u64) -> Vec<Asker> {
        let subscription = self.wanted.entry(channel.to_owned()).or_default();
        subscription.asked = id;
        std::mem::take(&mut subscription.waiting)
    }

    /// Wants `channel` of the next connection, whose answer is for `asker`.
    pub(crate) fn want(&mut self, channel: String, asker: Asker) {
        self.wanted.entry(channel).or_default().waiting.push(asker);
    }

    /// Leaves it to the next connection to answer `askers`, whom the last one didn't.
    pub(crate) fn unanswered(&mut self, channel: &str, askers: Vec<Asker>) {
        match self.wanted.get_mut(channel) {
            Some(subscription) => subscription.waiting.extend(askers),
            None => superseded(askers),
        }
    }

    /// Wants `channel` no longer; tells whether it was wanted.
    pub(crate) fn forget(&mut self, channel: &str) -> bool {
        let forgotten = self.wanted.shift_remove(channel);
        forgotten.map(|subscription| superseded(subscription.waiting)).is_some()
    }

    /// Forgets askers who wait no longer, and tells how many are left.
    pub(crate) fn tidy(&mut self) -> usize {
        let tidied = self.wanted.values_mut().map(|subscription| {
            subscription.waiting.retain(|asker| !asker.is_closed());
            subscription.waiting.len()
        });
        tidied.sum()
    }

    /// Takes in the answer to command `id`, which asked for `channel`; `again` if not the user did.
    pub(crate) fn answered(&mut self, channel: &str, id: u64, again: bool, answer: &Result<(), Refusal>) -> Standing {
        let Some(subscription) = self.wanted.get_mut(channel) else {
            return Standing::Kept;
        };
        let (newest, established) = (subscription.asked == id, subscription.established);
        match answer {
            // The user has asked for it since. Until that is answered too, it must not pass for being in force.
            Err(_) if !newest && again && established => Standing::Later,
            _ if !newest => Standing::Kept,
            Err(refusal) if established && !in_force(refusal) && !is_final(refusal) => Standing::Later,
            Err(refusal) if !in_force(refusal) => {
                self.wanted.shift_remove(channel);
                Standing::Lost { established }
            }
            _ => {
                subscription.established = true;
                Standing::Kept
            }
        }
    }
}

/// A later command undid what they asked for: all that they asked is done.
fn superseded(askers: Vec<Asker>) {
    for asker in askers {
        // Who stopped waiting doesn't want the answer.
        let _ = asker.send(Ok::<_, Error>(()));
    }
}

/// Whether the node refused only because the subscription is in force already.
pub(crate) fn in_force(refusal: &Refusal) -> bool {
    refusal.code == "already_subscribed"
}

/// Whether the node refused an unsubscription only because there is nothing to end.
pub(crate) fn not_in_force(refusal: &Refusal) -> bool {
    refusal.code == "not_subscribed"
}

/// Whether the node will refuse again. A code that is not known is taken for a failure that passes.
fn is_final(refusal: &Refusal) -> bool {
    ["bad_request", "unknown_command", "unknown_namespace", "channel_limit"].contains(&refusal.code.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn refused(code: &str) -> Result<(), Refusal> {
        Err(Refusal { code: code.to_owned(), message: String::new() })
    }

    #[test]
    fn the_order_stays() {
        let mut subscriptions = Subscriptions::default();
        for (id, channel) in (1..).zip(["c", "a", "b", "c"]) {
            subscriptions.asked(channel, id);
        }
        subscriptions.forget("a");
        assert_eq!(subscriptions.channels().collect::<Vec<_>>(), ["c", "b"]);
    }

    #[test]
    fn what_an_answer_means_for_a_subscription() {
        for (code, new, established) in [
            ("already_subscribed", Standing::Kept, Standing::Kept),
            ("channel_limit", Standing::Lost { established: false }, Standing::Lost { established: true }),
            ("unknown_namespace", Standing::Lost { established: false }, Standing::Lost { established: true }),
            ("bad_request", Standing::Lost { established: false }, Standing::Lost { established: true }),
            ("broker_unavailable", Standing::Lost { established: false }, Standing::Later),
            ("broker_timeout", Standing::Lost { established: false }, Standing::Later),
            ("internal", Standing::Lost { established: false }, Standing::Later),
            ("something_new", Standing::Lost { established: false }, Standing::Later),
        ] {
            let mut subscriptions = Subscriptions::default();
            subscriptions.asked("news", 1);
            assert_eq!(subscriptions.answered("news", 1, false, &refused(code)), new, "{code}");
            subscriptions.asked("news", 2);
            assert_eq!(subscriptions.answered("news", 2, false, &Ok(())), Standing::Kept);
            subscriptions.asked("news", 3);
            assert_eq!(subscriptions.answered("news", 3, false, &refused(code)), established, "{code}");
            let lost = established == Standing::Lost { established: true };
            assert_eq!(subscriptions.contains("news"), !lost, "{code}");
        }
    }

    #[test]
    fn the_newest_command_decides() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.asked("news", 1);
        subscriptions.forget("news");
        assert_eq!(subscriptions.answered("news", 1, false, &Ok(())), Standing::Kept);
        assert!(!subscriptions.contains("news"));
        subscriptions.asked("news", 3);
        assert_eq!(subscriptions.answered("news", 1, false, &refused("channel_limit")), Standing::Kept);
        assert!(subscriptions.contains("news"));
        subscriptions.answered("news", 3, false, &Ok(()));
        subscriptions.asked("news", 4);
        subscriptions.asked("news", 5);
        assert_eq!(subscriptions.answered("news", 4, false, &refused("broker_unavailable")), Standing::Kept);
        assert_eq!(subscriptions.answered("news", 4, true, &refused("broker_unavailable")), Standing::Later);
        assert_eq!(subscriptions.answered("news", 5, false, &refused("broker_unavailable")), Standing::Later);
    }

    #[test]
    fn who_waits_gets_the_next_answer_unless_nobody_wants_it() {
        let mut subscriptions = Subscriptions::default();
        let ((one, _first), (two, mut second), (three, third)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        subscriptions.want("news".to_owned(), one);
        subscriptions.want("sport".to_owned(), two);
        subscriptions.want("sport".to_owned(), three);
        drop(third);
        assert_eq!(subscriptions.tidy(), 2);
        assert_eq!(subscriptions.asked("news", 1).len(), 1);
        assert!(second.try_recv().is_err());
        subscriptions.forget("sport");
        assert_eq!(second.try_recv().unwrap(), Ok(()));
    }
}
