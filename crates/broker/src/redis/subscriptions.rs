//! Which Redis channels this node should be subscribed to, at which server, and where it is. Pure: no Redis, no clock.

use crate::{
    partition::{COUNT, Partition, Partitions},
    redis::{member::MemberId, names::Name, slot},
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How many changes may wait for their confirmation at a server, so that confirmations never fill its output buffer.
const MAX_IN_FLIGHT: usize = 4_096;

/// What is desired and what is so. `W` is whoever waits for a confirmation; each is handed back exactly once, unless
/// [`cancel`](Self::cancel)led.
///
/// A name is at one server at a time: what moves is subscribed at the new one when the old one has confirmed that it is
/// not subscribed there any more, or its link is lost. So nothing of a channel comes twice, or out of order.
#[derive(Debug)]
pub(super) struct Subscriptions<W> {
    entries: HashMap<Name, Entry<W>>,
    /// Where each partition lives.
    owners: Vec<Owner>,
    sides: BTreeMap<MemberId, Side>,
    next_waiter: u64,
}

/// Where something lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// No server has it.
    Nobody,
    /// It is on its way to another server, or which has it must be found out.
    Unsettled,
    /// This server.
    Member(MemberId),
}

/// One server, as far as subscriptions go.
#[derive(Debug, Default)]
struct Side {
    /// What may differ here from what is desired.
    dirty: VecDeque<Name>,
    in_flight: usize,
    confirmed: usize,
    linked: bool,
    accepting: bool,
    /// Slots of which something was refused.
    refused: BTreeSet<u16>,
    /// How many PINGs were sent, and how many of these are answered.
    pings: u64,
    pongs: u64,
}

#[derive(Debug)]
struct Entry<W> {
    home: Home,
    /// Somebody was told that it is subscribed, and nobody has left since. Such a subscription outlives links.
    held: bool,
    waiters: Vec<(WaiterId, W)>,
    /// Where it is subscribed, as Redis last confirmed.
    at: Option<MemberId>,
    /// What was last sent, and where, until it is confirmed.
    in_flight: Option<(MemberId, bool)>,
    /// The PING that was sent later: when that is answered, what was sent was refused.
    ping: Option<u64>,
    /// In whose list of dirty ones it is.
    queued: Option<MemberId>,
}

/// What decides where a name lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Partition(Partition),
    /// It is about one server, and gone with the link to it.
    Member(MemberId),
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

/// What a confirmation means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Confirmed<W> {
    /// These waited for it.
    Answers(Vec<W>),
    /// The server does not have the name any more.
    Moved,
}

/// What to send to a server next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Goes before the rest: a PING, whose answer comes behind those to all that was sent earlier.
    pub(super) ping: bool,
    pub(super) subscribe: Vec<Name>,
    pub(super) unsubscribe: Vec<Name>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && !self.ping
    }

    fn len(&self) -> usize {
        self.subscribe.len() + self.unsubscribe.len()
    }
}

impl<W> Subscriptions<W> {
    /// Nothing but `always`, which nobody can leave by accident.
    pub(super) fn new(always: impl IntoIterator<Item = (Name, Partition)>) -> Self {
        let held = |(name, partition)| (name, Entry { held: true, ..Entry::new(Home::Partition(partition)) });
        let entries = always.into_iter().map(held).collect();
        Self { entries, owners: vec![Owner::Nobody; COUNT], sides: BTreeMap::new(), next_waiter: 0 }
    }

    /// Somebody wants `name`.
    pub(super) fn subscribe(&mut self, name: &Name, partition: Partition, waiter: W) -> Subscribed<W> {
        let home = Home::Partition(partition);
        let owner = self.owner(home);
        if !self.takes_wishes(owner) {
            return Subscribed::Refused(waiter);
        }
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(home));
        if entry.in_flight.is_none() && entry.at.is_some_and(|at| owner == Owner::Member(at)) {
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

    /// There is a new link to `member`, where Redis knows of nothing. `own` is about that server alone.
    pub(super) fn link_made(&mut self, member: MemberId, own: Name) {
        self.sides.entry(member).or_default().linked = true;
        self.entries.insert(own, Entry { held: true, ..Entry::new(Home::Member(member)) });
        self.check_all(|_, owner| owner == Owner::Member(member));
    }

    /// The link to `member` can be used.
    pub(super) fn accept(&mut self, member: MemberId) {
        self.sides.entry(member).or_default().accepting = true;
    }

    /// The link to `member` is gone; returns who waited for it.
    pub(super) fn link_lost(&mut self, member: MemberId) -> Vec<W> {
        self.sides.insert(member, Side::default());
        self.entries.retain(|_, entry| entry.home != Home::Member(member));
        let mut waiters = Vec::new();
        for entry in self.entries.values_mut() {
            entry.reset(member);
            if owner(&self.owners, entry.home) == Owner::Member(member) {
                waiters.append(&mut entry.take_waiters());
            }
        }
        self.entries.retain(|_, entry| !entry.is_idle());
        // What was on its way from there to another server can go on.
        self.check_all(|_, owner| owner != Owner::Member(member));
        waiters
    }

    /// `member` is not one any more, and has no link.
    pub(super) fn leave(&mut self, member: MemberId) {
        self.sides.remove(&member);
    }

    /// What is about `member` alone is called `new` from now on, since the server does not have `old` any more.
    pub(super) fn rename(&mut self, member: MemberId, old: &Name, new: &Name) {
        if let Some(entry) = self.entries.remove(old) {
            self.side(member, |side| {
                side.in_flight -= usize::from(entry.in_flight.is_some());
                side.confirmed -= usize::from(entry.at.is_some());
            });
            self.entries.insert(new.clone(), Entry { held: true, ..Entry::new(Home::Member(member)) });
            self.check(new);
        }
    }

    /// Whether nothing but what is about `member` alone is subscribed there, or is to be.
    pub(super) fn is_vacant(&self, member: MemberId) -> bool {
        let elsewhere = |entry: &Entry<W>| {
            entry.home == Home::Member(member)
                || (entry.at != Some(member) && entry.in_flight.is_none_or(|(at, _)| at != member))
        };
        self.entries.values().all(elsewhere)
    }

    /// Says where each partition lives from now on. Returns those that moved from somewhere and in which somebody holds
    /// a subscription; and who waited for what turns out to be so.
    pub(super) fn reroute(&mut self, to: impl Fn(Partition) -> Owner) -> (Partitions, Vec<W>) {
        let settled = |partition: &Partition| owner(&self.owners, Home::Partition(*partition)) != Owner::Nobody;
        let changed = |partition: &Partition| owner(&self.owners, Home::Partition(*partition)) != to(*partition);
        let changed: Partitions = Partition::every().filter(changed).collect();
        let moved: Partitions =
            Partition::every().filter(settled).filter(|partition| changed.contains(*partition)).collect();
        Partition::every()
            .filter(|partition| changed.contains(*partition))
            .for_each(|partition| self.set_owner(partition, to(partition)));
        let mut waiters = Vec::new();
        for entry in self.entries.values_mut() {
            waiters.append(&mut entry.found(owner(&self.owners, entry.home)));
        }
        let held = self.entries.values().filter(|entry| entry.held).filter_map(Entry::partition);
        let held = held.filter(|partition| moved.contains(*partition)).collect();
        self.check_all(|partition, _| partition.is_some_and(|partition| changed.contains(partition)));
        (held, waiters)
    }

    /// `member` refused something that was sent of a slot, since it does not have that any more. What else was sent of it
    /// was refused too, unless it is confirmed before the [`pong`](Self::pong).
    pub(super) fn refused(&mut self, member: MemberId, slot: u16) {
        self.side(member, |side| side.refused.extend([slot]));
        for partition in Partition::every().filter(|partition| slot::of(*partition) == slot) {
            if self.owner(Home::Partition(partition)) == Owner::Member(member) {
                self.set_owner(partition, Owner::Unsettled);
            }
        }
    }

    /// `member` has answered all that was sent before a PING.
    pub(super) fn pong(&mut self, member: MemberId) {
        let Self { entries, sides, .. } = self;
        let Some(side) = sides.get_mut(&member) else { return };
        side.pongs += 1;
        let mut refused = Vec::new();
        for (name, entry) in entries.iter_mut() {
            let in_flight = entry.in_flight.take_if(|(at, _)| *at == member && entry.ping == Some(side.pongs));
            if in_flight.is_some() {
                side.in_flight -= 1;
                side.confirmed -= usize::from(entry.at.take_if(|at| *at == member).is_some());
                refused.push(name.clone());
            }
        }
        refused.iter().for_each(|name| self.check(name));
    }

    /// Marks what was sent of refused slots, so that the answer to a PING tells that it was refused; whether there is any.
    fn ping(&mut self, member: MemberId) -> bool {
        let Self { entries, sides, .. } = self;
        let Some(side) = sides.get_mut(&member).filter(|side| !side.refused.is_empty()) else { return false };
        side.pings += 1;
        let slots = std::mem::take(&mut side.refused);
        let of =
            |entry: &&mut Entry<W>| entry.partition().is_some_and(|partition| slots.contains(&slot::of(partition)));
        for entry in entries.values_mut().filter(of) {
            if entry.ping.is_none() && entry.in_flight.is_some_and(|(at, _)| at == member) {
                entry.ping = Some(side.pings);
            }
        }
        true
    }

    /// At most `limit` changes that can be sent to `member` now.
    pub(super) fn next_batch(&mut self, member: MemberId, limit: usize) -> Batch {
        let mut batch = Batch { ping: self.ping(member), ..Batch::default() };
        while batch.len() < limit {
            let Some(name) = self.next_dirty(member) else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            entry.queued = None;
            let change = entry.change(owner(&self.owners, entry.home));
            let Some((_, subscribe)) = change.filter(|(at, _)| *at == member) else {
                // Nothing to do any more, or elsewhere.
                self.check(&name);
                continue;
            };
            (entry.in_flight, entry.ping) = (change, None);
            self.side(member, |side| side.in_flight += 1);
            if subscribe { batch.subscribe.push(name) } else { batch.unsubscribe.push(name) }
        }
        batch
    }

    /// `member` has confirmed that `name` is subscribed there, or is not any more.
    pub(super) fn confirmed(&mut self, member: MemberId, name: &str, subscribed: bool) -> Confirmed<W> {
        let Some((name, entry)) = self.entries.get_key_value(name) else { return Confirmed::Answers(Vec::new()) };
        let (name, awaited) = (name.clone(), entry.in_flight == Some((member, subscribed)));
        let is_news = (entry.at == Some(member)) != subscribed;
        if entry.in_flight.is_some() && !awaited || !is_news {
            return Confirmed::Answers(Vec::new());
        }
        self.side(member, |side| {
            side.in_flight -= usize::from(awaited);
            side.confirmed = if subscribed { side.confirmed + 1 } else { side.confirmed - 1 };
        });
        let moved = !awaited && !subscribed;
        let Some(entry) = self.entries.get_mut(&name) else { return Confirmed::Answers(Vec::new()) };
        // Where that is not known, those who wait will be told of a gap if it turns out to be elsewhere.
        let is_home = matches!(owner(&self.owners, entry.home), Owner::Member(owner) if owner == member)
            || owner(&self.owners, entry.home) == Owner::Unsettled;
        let (partition, waiters) = (entry.partition(), entry.confirm(member, subscribed, is_home));
        if let Some(partition) = partition.filter(|_| moved)
            && self.owner(Home::Partition(partition)) == Owner::Member(member)
        {
            self.set_owner(partition, Owner::Unsettled);
        }
        self.check(&name);
        if moved { Confirmed::Moved } else { Confirmed::Answers(waiters) }
    }

    /// Whether all that is desired of `member` was sent there and confirmed, and nothing else is so.
    pub(super) fn is_settled(&self, member: MemberId) -> bool {
        self.sides.get(&member).is_some_and(|side| side.linked && side.in_flight == 0 && side.dirty.is_empty())
    }

    /// Whether, besides, all that is to be subscribed at `member` has arrived there.
    pub(super) fn has_arrived(&self, member: MemberId) -> bool {
        let there = |entry: &Entry<W>| {
            owner(&self.owners, entry.home) != Owner::Member(member) || !entry.is_desired() || entry.at == Some(member)
        };
        self.is_settled(member) && self.entries.values().all(there)
    }

    /// Whether [`next_batch`](Self::next_batch) may have something.
    pub(super) fn has_work(&self, member: MemberId) -> bool {
        let has_work =
            |side: &Side| !side.refused.is_empty() || (!side.dirty.is_empty() && side.in_flight < MAX_IN_FLIGHT);
        self.sides.get(&member).is_some_and(has_work)
    }

    /// How many subscriptions Redis has confirmed.
    pub(super) fn count(&self) -> usize {
        self.sides.values().map(|side| side.confirmed).sum()
    }

    fn takes_wishes(&self, owner: Owner) -> bool {
        match owner {
            Owner::Nobody => false,
            Owner::Unsettled => true,
            Owner::Member(member) => self.sides.get(&member).is_some_and(|side| side.accepting),
        }
    }

    fn owner(&self, home: Home) -> Owner {
        owner(&self.owners, home)
    }

    fn set_owner(&mut self, partition: Partition, owner: Owner) {
        self.owners.iter_mut().skip(partition.index()).take(1).for_each(|current| *current = owner);
    }

    fn side(&mut self, member: MemberId, change: impl FnOnce(&mut Side)) {
        if let Some(side) = self.sides.get_mut(&member) {
            change(side);
        }
    }

    fn next_dirty(&mut self, member: MemberId) -> Option<Name> {
        self.sides.get_mut(&member).filter(|side| side.in_flight < MAX_IN_FLIGHT)?.dirty.pop_front()
    }

    fn check_all(&mut self, of: impl Fn(Option<Partition>, Owner) -> bool) {
        let wanted = |entry: &Entry<W>| of(entry.partition(), owner(&self.owners, entry.home));
        let names: Vec<_> =
            self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.check(name));
    }

    fn check(&mut self, name: &Name) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.queued.is_none()
            && let Some((member, _)) = entry.change(owner(&self.owners, entry.home))
            && let Some(side) = self.sides.get_mut(&member).filter(|side| side.linked)
        {
            entry.queued = Some(member);
            side.dirty.push_back(name.clone());
        }
        if entry.is_idle() {
            self.entries.remove(name);
        }
    }
}

fn owner(owners: &[Owner], home: Home) -> Owner {
    match home {
        Home::Partition(partition) => owners.get(partition.index()).copied().unwrap_or(Owner::Nobody),
        Home::Member(member) => Owner::Member(member),
    }
}

impl<W> Entry<W> {
    fn new(home: Home) -> Self {
        Self { home, held: false, waiters: Vec::new(), at: None, in_flight: None, ping: None, queued: None }
    }

    fn partition(&self) -> Option<Partition> {
        match self.home {
            Home::Partition(partition) => Some(partition),
            Home::Member(_) => None,
        }
    }

    fn is_desired(&self) -> bool {
        self.held || !self.waiters.is_empty()
    }

    /// What to send, and where: one change at a time, so that a confirmation can't be taken for another's.
    fn change(&self, owner: Owner) -> Option<(MemberId, bool)> {
        if self.in_flight.is_some() {
            return None;
        }
        match (self.at, owner) {
            (Some(at), Owner::Member(owner)) if owner != at => Some((at, false)),
            (Some(at), _) if !self.is_desired() => Some((at, false)),
            (None, Owner::Member(owner)) if self.is_desired() => Some((owner, true)),
            _ => None,
        }
    }

    /// An entry in the list of dirty ones stays, or wishes that come and go would fill that list.
    fn is_idle(&self) -> bool {
        !self.is_desired() && self.at.is_none() && self.in_flight.is_none() && self.queued.is_none()
    }

    /// Those who wait are answered where it lives.
    fn confirm(&mut self, member: MemberId, subscribed: bool, is_home: bool) -> Vec<W> {
        (self.at, self.in_flight) = (subscribed.then_some(member), None);
        if !subscribed || !is_home {
            return Vec::new();
        }
        self.held |= !self.waiters.is_empty();
        self.take_waiters()
    }

    /// Those who wait for what is so already, since it lives where it is subscribed.
    fn found(&mut self, owner: Owner) -> Vec<W> {
        let is_found = self.in_flight.is_none() && self.at.is_some_and(|at| owner == Owner::Member(at));
        if !is_found {
            return Vec::new();
        }
        self.held |= !self.waiters.is_empty();
        self.take_waiters()
    }

    /// The link to `member` is gone.
    fn reset(&mut self, member: MemberId) {
        self.at.take_if(|at| *at == member);
        self.in_flight.take_if(|(at, _)| *at == member);
        self.queued.take_if(|at| *at == member);
    }

    fn take_waiters(&mut self) -> Vec<W> {
        std::mem::take(&mut self.waiters).into_iter().map(|(_, waiter)| waiter).collect()
    }
}

#[cfg(test)]
mod tests;
