//! What the user wants to be subscribed to, whatever becomes of connections.

use crate::{
    Content, Outcome, Position, Refusal,
    call::{Asker, Granted},
    track::{Seen, Track},
};
use indexmap::IndexMap;

/// The subscriptions that the user wants, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    wanted: IndexMap<String, Subscription>,
}

/// One of them.
#[derive(Debug, Default)]
struct Subscription {
    /// The newest command that asked for it.
    asked: u64,
    /// The first one.
    first: u64,
    /// Where the user stands in the channel's history.
    track: Track,
    /// What the connection says of itself there.
    info: Option<Content>,
    /// Whether the node takes no places, so that it has to be asked without.
    placeless: bool,
    /// What became of it while there was no connection.
    outcome: Option<Outcome>,
    /// Whether it has ever been in force.
    established: bool,
    /// Who asked for it while there was no connection.
    waiting: Vec<Asker>,
}

/// What a node's answer means for a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in force, by this answer: what became of the messages since the user's place, if there was one.
    Granted(Outcome),
    /// It is in force already, or another command decides.
    Kept,
    /// It has to be asked for without a place, for the node takes none.
    Placeless,
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

    /// Notes that command `id` asks a node for `channel`, a new subscription from place `since` on; who waits for that
    /// gets its answer. Returns also the place to ask for.
    pub(crate) fn asked(&mut self, channel: &str, since: Option<Position>, id: u64) -> (Option<Position>, Vec<Asker>) {
        let subscription = self.subscription(channel.to_owned(), since);
        subscription.asked = id;
        if subscription.first == 0 {
            subscription.first = id;
        }
        (subscription.place().cloned(), std::mem::take(&mut subscription.waiting))
    }

    /// Wants `channel` of the next connection, a new subscription from place `since` on; the answer is for `asker`.
    pub(crate) fn want(&mut self, channel: String, since: Option<Position>, asker: Asker) {
        self.subscription(channel, since).waiting.push(asker);
    }

    /// Notes what the connection says of itself in `channel`, if it says anything.
    pub(crate) fn introduce(&mut self, channel: &str, info: Option<Content>) {
        if let (Some(subscription), Some(info)) = (self.wanted.get_mut(channel), info) {
            subscription.info = Some(info);
        }
    }

    /// What it says there.
    pub(crate) fn info(&self, channel: &str) -> Option<&Content> {
        self.wanted.get(channel)?.info.as_ref()
    }

    fn subscription(&mut self, channel: String, since: Option<Position>) -> &mut Subscription {
        self.wanted.entry(channel).or_insert_with(|| Subscription { track: Track::at(since), ..Default::default() })
    }

    /// Where the user stands in `channel`.
    pub(crate) fn place(&self, channel: &str) -> Option<Position> {
        self.wanted.get(channel)?.track.place().cloned()
    }

    /// Judges a message of `channel`, and tells its place.
    pub(crate) fn see(&mut self, channel: &str, offset: Option<u64>) -> (Seen, Option<Position>) {
        match (self.wanted.get_mut(channel), offset) {
            (Some(Subscription { track, .. }), Some(offset)) => (track.see(offset), track.place().cloned()),
            _ => (Seen::Accept, None),
        }
    }

    /// The node goes on behind `place` in `channel`. Returns whether the user misses anything.
    pub(crate) fn lost(&mut self, channel: &str, place: Position) -> bool {
        self.wanted.get_mut(channel).is_some_and(|subscription| {
            let lost = subscription.track.lost(place);
            if lost {
                subscription.note(Outcome::Lost);
            }
            lost
        })
    }

    /// A node sends what was missed in `channel` up to offset `newest`. Returns behind which place, if that is anything.
    pub(crate) fn recovering(&mut self, channel: &str, newest: u64) -> Option<Position> {
        self.wanted.get_mut(channel)?.track.recovering(newest).cloned()
    }

    /// Whether the user has got, since the last call, all that was missed in `channel`.
    pub(crate) fn is_live(&mut self, channel: &str) -> bool {
        self.wanted.get_mut(channel).is_some_and(|subscription| subscription.track.is_live())
    }

    /// There is no connection any more.
    pub(crate) fn away(&mut self) {
        self.wanted.values_mut().for_each(|subscription| subscription.outcome = None);
    }

    /// What became of each since [`away`](Self::away).
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.wanted.values().filter_map(|subscription| subscription.outcome)
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
    pub(crate) fn answered(
        &mut self,
        channel: &str,
        id: u64,
        again: bool,
        answer: &Result<Granted, Refusal>,
    ) -> Standing {
        let wanted = self.wanted.get_mut(channel);
        // An answer to what was asked before the user unsubscribed matters no longer.
        let Some(subscription) = wanted.filter(|subscription| id >= subscription.first) else {
            return Standing::Kept;
        };
        let (newest, established) = (subscription.asked == id, subscription.established);
        match answer {
            // Whatever newer commands ask.
            Ok(granted) => Standing::Granted(subscription.granted(granted)),
            // The user has asked for it since. Until that is answered too, it must not pass for being in force.
            Err(refusal) if !newest && again && established && !in_force(refusal) => Standing::Later,
            Err(_) if !newest => Standing::Kept,
            Err(refusal) if in_force(refusal) => {
                (subscription.established, subscription.placeless) = (true, false);
                Standing::Kept
            }
            Err(refusal) if subscription.may_do_without_place(refusal) => {
                subscription.placeless = true;
                Standing::Placeless
            }
            Err(refusal) if established && !is_final(refusal) => Standing::Later,
            Err(_) => {
                self.wanted.shift_remove(channel);
                Standing::Lost { established }
            }
        }
    }
}

impl Subscription {
    /// The place to ask for.
    fn place(&self) -> Option<&Position> {
        self.track.place().filter(|_| !self.placeless)
    }

    fn granted(&mut self, granted: &Granted) -> Outcome {
        let outcome = self.track.begin(granted.position.as_ref(), granted.recovered);
        if self.established {
            self.note(outcome);
        }
        (self.established, self.placeless) = (true, false);
        outcome
    }

    fn note(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(Some(outcome));
    }

    /// Whether it was refused for its place alone, which the user hasn't given: by a node of an older version, or one
    /// that is configured otherwise.
    fn may_do_without_place(&self, refusal: &Refusal) -> bool {
        self.established && self.place().is_some() && ["no_history", "bad_request"].contains(&refusal.code.as_str())
    }
}

/// A later command undid what they asked for: all that they asked is done.
fn superseded(askers: Vec<Asker>) {
    for asker in askers {
        // Who stopped waiting doesn't want the answer.
        let _ = asker.send(Ok(Granted::default()));
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
pub(crate) fn is_final(refusal: &Refusal) -> bool {
    ["bad_request", "unknown_command", "unknown_namespace", "channel_limit", "no_history", "no_presence"]
        .contains(&refusal.code.as_str())
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;
