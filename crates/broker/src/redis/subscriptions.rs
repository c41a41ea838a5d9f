//! Which Redis channels this node should be subscribed to, and which it is. Pure: no Redis, no clock.

use crate::redis::names::Name;
use std::collections::{HashMap, VecDeque};

/// How many changes may wait for their confirmation, so that confirmations never fill Redis' output buffer.
const MAX_IN_FLIGHT: usize = 4_096;

/// What is desired and what is so. `W` is whoever waits for a confirmation; each is handed back exactly once, unless
/// [`cancel`](Self::cancel)led.
#[derive(Debug)]
pub(super) struct Subscriptions<W> {
    entries: HashMap<Name, Entry<W>>,
    /// What may differ from what is desired, each name once.
    dirty: VecDeque<Name>,
    in_flight: usize,
    confirmed: usize,
    linked: bool,
    accepting: bool,
    next_waiter: u64,
}

#[derive(Debug)]
struct Entry<W> {
    /// Somebody was told that it is subscribed, and nobody has left since. Such a subscription outlives links.
    held: bool,
    waiters: Vec<(WaiterId, W)>,
    /// What Redis last confirmed on this link.
    confirmed: bool,
    /// What was last sent, until it is confirmed.
    in_flight: Option<bool>,
    /// Whether the name is in the list of dirty ones.
    queued: bool,
}

/// Tells waiters apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WaiterId(u64);

/// What became of a wish to subscribe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subscribed<W> {
    /// It is so already.
    Already(W),
    /// There is no link.
    Refused(W),
    /// The waiter is answered later.
    Waiting(WaiterId),
}

/// What to send to Redis next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) subscribe: Vec<Name>,
    pub(super) unsubscribe: Vec<Name>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.subscribe.len() + self.unsubscribe.len()
    }
}

impl<W> Subscriptions<W> {
    /// Nothing but `always`, which nobody can leave by accident.
    pub(super) fn new(always: impl IntoIterator<Item = Name>) -> Self {
        let entries = always.into_iter().map(|name| (name, Entry { held: true, ..Entry::new() })).collect();
        Self {
            entries,
            dirty: VecDeque::new(),
            in_flight: 0,
            confirmed: 0,
            linked: false,
            accepting: false,
            next_waiter: 0,
        }
    }

    /// Somebody wants `name`.
    pub(super) fn subscribe(&mut self, name: &Name, waiter: W) -> Subscribed<W> {
        if !self.accepting {
            return Subscribed::Refused(waiter);
        }
        let entry = self.entries.entry(name.clone()).or_insert_with(Entry::new);
        if entry.confirmed && entry.in_flight.is_none() {
            entry.held = true;
            return Subscribed::Already(waiter);
        }
        let id = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        entry.waiters.push((id, waiter));
        self.check(name);
        Subscribed::Waiting(id)
    }

    /// Nobody wants `name` any more; returns who waited for it.
    pub(super) fn unsubscribe(&mut self, name: &Name) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(name) else { return Vec::new() };
        entry.held = false;
        let waiters = entry.take_waiters();
        self.check(name);
        waiters
    }

    /// A waiter has given up. What nobody else wants is not subscribed for its sake.
    pub(super) fn cancel(&mut self, name: &Name, waiter: WaiterId) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.waiters.retain(|(id, _)| *id != waiter);
            self.check(name);
        }
    }

    /// There is a new link, on which Redis knows of nothing.
    pub(super) fn link_made(&mut self) {
        self.linked = true;
        let names: Vec<_> = self.entries.keys().cloned().collect();
        for name in names {
            self.check(&name);
        }
    }

    /// The link can be used.
    pub(super) fn accept(&mut self) {
        self.accepting = true;
    }

    /// The link is gone; returns who waited.
    pub(super) fn link_lost(&mut self) -> Vec<W> {
        (self.linked, self.accepting) = (false, false);
        (self.in_flight, self.confirmed) = (0, 0);
        self.dirty.clear();
        let waiters = self.entries.values_mut().flat_map(Entry::reset).collect();
        self.entries.retain(|_, entry| entry.held);
        waiters
    }

    /// At most `limit` changes that can be sent now.
    pub(super) fn next_batch(&mut self, limit: usize) -> Batch {
        let mut batch = Batch::default();
        while batch.len() < limit && self.in_flight < MAX_IN_FLIGHT {
            let Some(name) = self.dirty.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.queued = false;
            match entry.change() {
                Some(true) => batch.subscribe.push(name.clone()),
                Some(false) => batch.unsubscribe.push(name.clone()),
                None => {
                    self.forget_if_idle(&name);
                    continue;
                }
            }
            entry.in_flight = Some(entry.is_desired());
            self.in_flight += 1;
        }
        batch
    }

    /// Redis has confirmed that `name` is subscribed, or is not any more; returns who waited for that.
    pub(super) fn confirmed(&mut self, name: &str, subscribed: bool) -> Vec<W> {
        let Some((name, _)) = self.entries.get_key_value(name) else { return Vec::new() };
        let name = name.clone();
        let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.in_flight == Some(subscribed)) else {
            return Vec::new();
        };
        self.in_flight -= 1;
        match subscribed {
            true => self.confirmed += 1,
            false => self.confirmed -= 1,
        }
        let waiters = entry.confirm(subscribed);
        self.check(&name);
        waiters
    }

    /// Whether all that is desired is so, and nothing else.
    pub(super) fn is_settled(&self) -> bool {
        self.linked && self.in_flight == 0 && self.dirty.is_empty()
    }

    /// Whether [`next_batch`](Self::next_batch) may have something.
    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty() && self.in_flight < MAX_IN_FLIGHT
    }

    /// How many subscriptions Redis has confirmed.
    pub(super) fn count(&self) -> usize {
        self.confirmed
    }

    fn check(&mut self, name: &Name) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if self.linked && !entry.queued && entry.change().is_some() {
            entry.queued = true;
            self.dirty.push_back(name.clone());
        }
        self.forget_if_idle(name);
    }

    fn forget_if_idle(&mut self, name: &Name) {
        if self.entries.get(name).is_some_and(Entry::is_idle) {
            self.entries.remove(name);
        }
    }
}

impl<W> Entry<W> {
    fn new() -> Self {
        Self { held: false, waiters: Vec::new(), confirmed: false, in_flight: None, queued: false }
    }

    fn is_desired(&self) -> bool {
        self.held || !self.waiters.is_empty()
    }

    /// What to send: one change at a time, so that a confirmation can't be taken for another's.
    fn change(&self) -> Option<bool> {
        let desired = self.is_desired();
        (self.in_flight.is_none() && desired != self.confirmed).then_some(desired)
    }

    /// An entry in the list of dirty ones stays, or wishes that come and go would fill that list.
    fn is_idle(&self) -> bool {
        !self.is_desired() && !self.confirmed && self.in_flight.is_none() && !self.queued
    }

    fn confirm(&mut self, subscribed: bool) -> Vec<W> {
        (self.confirmed, self.in_flight) = (subscribed, None);
        if !subscribed {
            return Vec::new();
        }
        self.held |= !self.waiters.is_empty();
        self.take_waiters()
    }

    fn reset(&mut self) -> Vec<W> {
        (self.confirmed, self.in_flight, self.queued) = (false, None, false);
        self.take_waiters()
    }

    fn take_waiters(&mut self) -> Vec<W> {
        std::mem::take(&mut self.waiters).into_iter().map(|(_, waiter)| waiter).collect()
    }
}

#[cfg(test)]
mod tests;
