//! Who is on the channels of this node.

use crate::{Change, Changed, Changes, Counts, Delivery, Lease, MAX_PAGE, Members, Roll};
use fanwire_protocol::{ChangeKind, ChannelName, ConnectionId, Member, MemberChange, Publication, UserId};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

/// The members of all channels. As many as the node has, which bounds its connections and their channels.
#[derive(Debug, Default)]
pub(super) struct Roster {
    channels: HashMap<ChannelName, Present>,
}

#[derive(Debug, Default)]
struct Present {
    members: BTreeMap<ConnectionId, Arc<Member>>,
    users: HashMap<UserId, u64>,
}

impl Roster {
    /// Carries out `changes`: what has changed, and what is told of it.
    pub(super) fn change(&mut self, changes: Changes) -> (Changed, Vec<Delivery>) {
        let Changes { channel, changes, told, at } = changes;
        let present = self.channels.entry(channel.clone()).or_default();
        let (mut changed, mut deliveries) = (Changed::default(), Vec::new());
        for change in changes {
            let silent = matches!(change, Change::Return(_) | Change::Vanish(_));
            let Some(done) = present.carry_out(change) else { continue };
            changed.count(done.kind, silent);
            if told && !silent {
                deliveries.push(delivery(&channel, done, at));
            }
        }
        if present.members.is_empty() {
            self.channels.remove(&channel);
        }
        (changed, deliveries)
    }

    /// Gives a connection a place among those of its user, if one is left; whether it has one.
    pub(super) fn lease(&mut self, lease: &Lease) -> bool {
        let present = self.channels.entry(lease.channel()).or_default();
        let there = present.members.contains_key(&lease.connection) || present.members.len() < lease.limit;
        if there {
            present.enter(&lease.member());
        }
        if present.members.is_empty() {
            self.channels.remove(&lease.channel());
        }
        there
    }

    /// The members that are wanted.
    pub(super) fn members(&self, roll: &Roll) -> Members {
        let Some(present) = self.channels.get(&roll.channel) else {
            return Members { members: Vec::new(), more: false };
        };
        let from = roll.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = present.members.range((from, Bound::Unbounded)).map(|(_, member)| Member::clone(member));
        let limit = roll.limit.min(MAX_PAGE) as usize;
        let members = behind.by_ref().take(limit).collect();
        Members { members, more: behind.next().is_some() }
    }

    /// How many there are.
    pub(super) fn counts(&self, channel: &ChannelName) -> Counts {
        self.channels.get(channel).map_or_else(Counts::default, |present| Counts {
            connections: present.members.len() as u64,
            users: present.users.len() as u64,
        })
    }
}

impl Present {
    /// What came of a change, if anything.
    fn carry_out(&mut self, change: Change) -> Option<MemberChange> {
        match change {
            Change::Enter(member) | Change::Return(member) => self.enter(&member),
            Change::Leave(connection) | Change::Vanish(connection) => self.leave(connection),
        }
    }

    fn enter(&mut self, member: &Arc<Member>) -> Option<MemberChange> {
        if self.members.get(&member.connection).is_some_and(|before| before == member) {
            return None;
        }
        let is_new = self.leave(member.connection).is_none();
        self.members.insert(member.connection, Arc::clone(member));
        let with_user = member.user.clone().is_some_and(|user| {
            let connections = self.users.entry(user).or_default();
            *connections += 1;
            *connections == 1
        });
        is_new.then(|| MemberChange { kind: ChangeKind::Join, member: Member::clone(member), with_user })
    }

    fn leave(&mut self, connection: ConnectionId) -> Option<MemberChange> {
        let member = Arc::unwrap_or_clone(self.members.remove(&connection)?);
        let with_user = member.user.as_ref().is_some_and(|user| self.drop_connection(user));
        Some(MemberChange { kind: ChangeKind::Leave, member, with_user })
    }

    /// Whether it was the user's last one.
    fn drop_connection(&mut self, user: &UserId) -> bool {
        let Some(connections) = self.users.get_mut(user) else { return true };
        *connections -= 1;
        *connections == 0 && self.users.remove(user).is_some()
    }
}

impl Changed {
    fn count(&mut self, kind: ChangeKind, silent: bool) {
        match (kind, silent) {
            (ChangeKind::Join, false) => self.joined += 1,
            (ChangeKind::Join, true) => self.returned += 1,
            (ChangeKind::Leave, _) => self.left += 1,
        }
    }
}

fn delivery(channel: &ChannelName, change: MemberChange, published_at: u64) -> Delivery {
    let except = Some(change.member.connection);
    Delivery { publication: Arc::new(Publication::of_change(channel.clone(), change)), except, published_at }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::{Content, NodeId};

    fn id(sequence: u64) -> ConnectionId {
        ConnectionId(NodeId::from_random(7), sequence)
    }

    fn member(sequence: u64, user: &str, info: &str) -> Arc<Member> {
        let (user, info) = (UserId::parse(user).ok(), Some(Content::string(info)));
        Arc::new(Member { connection: id(sequence), user, info })
    }

    fn room() -> ChannelName {
        ChannelName::parse("room").unwrap()
    }

    /// What `change` changes and tells: who did what, `!` where its user did too.
    #[track_caller]
    fn check(roster: &mut Roster, change: Change, expected: (u64, u64, u64), told: &str) {
        let changes = Changes { channel: room(), changes: vec![change], told: true, at: 1 };
        let (changed, deliveries) = roster.change(changes);
        assert_eq!((changed.joined, changed.left, changed.returned), expected);
        let text = |delivery: &Delivery| {
            let change = delivery.publication.change.as_ref().unwrap();
            assert_eq!(delivery.except, Some(change.member.connection));
            format!("{:?} {}{}", change.kind, change.member.connection.1, if change.with_user { "!" } else { "" })
        };
        assert_eq!(deliveries.iter().map(text).collect::<String>(), told);
    }

    #[test]
    fn everything_happens_once() {
        let mut roster = Roster::default();
        check(&mut roster, Change::Enter(member(1, "zoe", "a")), (1, 0, 0), "Join 1!");
        check(&mut roster, Change::Enter(member(1, "zoe", "a")), (0, 0, 0), "");
        check(&mut roster, Change::Enter(member(2, "zoe", "a")), (1, 0, 0), "Join 2");
        check(&mut roster, Change::Return(member(3, "", "a")), (0, 0, 1), "");
        check(&mut roster, Change::Enter(member(1, "zoe", "b")), (0, 0, 0), "");
        assert_eq!(roster.counts(&room()), Counts { connections: 3, users: 1 });
        check(&mut roster, Change::Leave(id(1)), (0, 1, 0), "Leave 1");
        check(&mut roster, Change::Leave(id(1)), (0, 0, 0), "");
        check(&mut roster, Change::Leave(id(2)), (0, 1, 0), "Leave 2!");
        check(&mut roster, Change::Vanish(id(3)), (0, 1, 0), "");
        assert_eq!(roster.counts(&room()), Counts::default());
        assert!(roster.channels.is_empty());
    }

    #[test]
    fn a_user_has_so_many_places() {
        let (mut roster, user) = (Roster::default(), UserId::parse("zoe").unwrap());
        let lease = |sequence, limit| Lease { user: user.clone(), connection: id(sequence), limit };
        assert!(!roster.lease(&lease(1, 0)) && roster.channels.is_empty());
        assert_eq!([1, 2, 3, 1].map(|n| roster.lease(&lease(n, 2))), [true, true, false, true]);
        let change = |change| Changes { channel: lease(1, 2).channel(), changes: vec![change], told: false, at: 1 };
        assert_eq!(roster.change(change(Change::Enter(lease(1, 2).member()))).0, Changed::default());
        assert_eq!(roster.change(change(Change::Leave(id(1)))).0.left, 1);
        assert_eq!([3, 4].map(|n| roster.lease(&lease(n, 2))), [true, false]);
        // What was lost is put back, whatever the limit is.
        assert_eq!(roster.change(change(Change::Return(lease(9, 2).member()))).0.returned, 1);
        [2, 3, 9].into_iter().for_each(|n| drop(roster.change(change(Change::Vanish(id(n))))));
        assert!(roster.channels.is_empty());
    }

    #[test]
    fn members_come_in_pages() {
        let mut roster = Roster::default();
        let changes = [3, 1, 2].map(|n| Change::Enter(member(n, "", "x"))).to_vec();
        let (_, deliveries) = roster.change(Changes { channel: room(), changes, told: false, at: 1 });
        assert!(deliveries.is_empty());
        for (after, limit, expected, more) in [
            (None, 2, &[1, 2][..], true),
            (Some(id(2)), 2, &[3], false),
            (Some(id(0)), 3, &[1, 2, 3], false),
            (Some(id(9)), 3, &[], false),
        ] {
            let page = roster.members(&Roll { channel: room(), after, limit });
            let sequences: Vec<_> = page.members.iter().map(|member| member.connection.1).collect();
            assert_eq!((&sequences[..], page.more), (expected, more));
        }
    }
}
