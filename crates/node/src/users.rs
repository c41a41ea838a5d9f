//! Who is connected to this node, by users and by tokens, and with which tokens nobody is any more.

use crate::{revoked::Revoked, time::unix_micros};
use fanwire_auth::InvalidToken;
use fanwire_protocol::{ConnectionId, UserId};
use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;

/// The connections of this node whose user is known, by a token or a trusted proxy, or whose token has a name. Others are
/// not here, and cost nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    /// Each with the time since which the user has it.
    by_user: HashMap<UserId, HashMap<ConnectionId, u64>>,
    by_token: HashMap<Box<str>, HashSet<ConnectionId>>,
    revoked: Revoked,
    /// Those that were told to end, in order that one which is still about to enter then does.
    doomed: HashSet<ConnectionId>,
}

impl Index {
    fn count(&self, user: &UserId) -> usize {
        self.by_user.get(user).map_or(0, HashMap::len)
    }
}

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoPlace {
    /// Its user has as many on this node as it may.
    #[error("this user has as many connections here as a user may")]
    Here,
    /// Its user has as many on all nodes as it may.
    #[error("this user has as many connections on all nodes together as a user may")]
    Everywhere,
    /// The broker does not say how many its user has on all nodes.
    #[error("nobody can tell how many connections this user has on other nodes")]
    Unknown,
    /// Its token was revoked.
    #[error("the token is refused: {}", InvalidToken::Revoked)]
    Revoked,
}

/// Who a connection is said to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer<'a> {
    pub(crate) user: Option<&'a UserId>,
    /// What its token is called.
    pub(crate) token: Option<&'a str>,
    /// Since when the connection is its user's, in microseconds since the Unix epoch.
    pub(crate) since: u64,
}

impl Users {
    /// Notes a connection of `bearer`, for as long as what is returned is kept.
    ///
    /// # Errors
    ///
    /// If its user has `limit` connections already, or its token was revoked.
    pub(crate) fn note(&self, connection: ConnectionId, bearer: Bearer<'_>, limit: usize) -> Result<Noted, NoPlace> {
        let Bearer { user, token, since } = bearer;
        let mut index = self.lock();
        if token.is_some_and(|token| index.revoked.holds(token, unix_micros())) {
            return Err(NoPlace::Revoked);
        }
        if let Some(user) = user {
            if index.count(user) >= limit {
                return Err(NoPlace::Here);
            }
            index.by_user.entry(user.clone()).or_default().insert(connection, since);
        }
        if let Some(token) = token {
            index.by_token.entry(token.into()).or_default().insert(connection);
        }
        Ok(Noted { users: self.clone(), connection, user: user.cloned(), token: token.map(Into::into), since })
    }

    /// How many connections of `user` there are.
    pub(crate) fn count(&self, user: &UserId) -> usize {
        self.lock().count(user)
    }

    /// The connections that `user` has had at `time` or before, in microseconds since the Unix epoch. They are to end.
    pub(crate) fn dismiss_user(&self, user: &UserId, time: u64) -> HashSet<ConnectionId> {
        let mut index = self.lock();
        let of_user = index.by_user.get(user).into_iter().flatten();
        let found: HashSet<_> =
            of_user.filter(|(_, since)| **since <= time).map(|(connection, _)| *connection).collect();
        index.doomed.extend(&found);
        found
    }

    /// The connections that have come with the token called `id`. They are to end, and until `until` there are no others.
    pub(crate) fn revoke(&self, id: &str, until: u64) -> HashSet<ConnectionId> {
        let mut index = self.lock();
        index.revoked.add(id, until, unix_micros());
        let found = index.by_token.get(id).cloned().unwrap_or_default();
        index.doomed.extend(&found);
        found
    }

    /// Whether the token called `id` was revoked.
    pub(crate) fn is_revoked(&self, id: &str) -> bool {
        self.lock().revoked.holds(id, unix_micros())
    }

    /// How many tokens are kept out.
    pub(crate) fn count_revoked(&self) -> usize {
        self.lock().revoked.count(unix_micros())
    }

    /// Whether a connection that is noted was told to end.
    pub(crate) fn is_doomed(&self, connection: ConnectionId) -> bool {
        self.lock().doomed.contains(&connection)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing in there panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is noted among [`Users`].
#[derive(Debug)]
pub(crate) struct Noted {
    users: Users,
    connection: ConnectionId,
    user: Option<UserId>,
    token: Option<Box<str>>,
    since: u64,
}

impl Noted {
    /// Takes the place of `before`, of the same connection: what both have noted stays.
    pub(crate) fn supersede(&self, mut before: Self) {
        before.user.take_if(|user| self.user.as_ref() == Some(user));
        before.token.take_if(|token| self.token.as_ref() == Some(token));
    }

    /// Since when the connection is its user's, in microseconds since the Unix epoch.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let mut index = self.users.lock();
        let Index { by_user, by_token, doomed, .. } = &mut *index;
        if let Some(user) = &self.user {
            forget(by_user, user, |connections| {
                connections.remove(&self.connection);
                connections.is_empty()
            });
        }
        if let Some(token) = &self.token {
            forget(by_token, &**token, |connections| {
                connections.remove(&self.connection);
                connections.is_empty()
            });
        }
        doomed.remove(&self.connection);
    }
}

/// Changes what is at `key`, which goes when `change` says that nothing is left.
fn forget<K, Q, V>(index: &mut HashMap<K, V>, key: &Q, change: impl FnOnce(&mut V) -> bool)
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    if index.get_mut(key).is_some_and(change) {
        index.remove(key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::NodeId;

    fn id(number: u64) -> ConnectionId {
        ConnectionId(NodeId::from_random(1), number)
    }

    #[test]
    fn connections_are_found_until_they_end() {
        let users = Users::default();
        let user = UserId::parse("u").unwrap();
        let note = |number, user, token, since| users.note(id(number), Bearer { user, token, since }, 2);
        let (one, two) = (note(1, Some(&user), Some("t"), 10), note(2, Some(&user), None, 20));
        let _none = note(3, None, None, 30);
        assert_eq!(note(4, Some(&user), Some("t"), 40).err(), Some(NoPlace::Here));
        assert_eq!(users.dismiss_user(&user, 19), [id(1)].into());
        assert_eq!(users.dismiss_user(&user, 20), [id(1), id(2)].into());
        assert!(users.is_doomed(id(2)) && !users.is_doomed(id(3)));
        assert_eq!((users.revoke("t", 0), users.revoke("", 0)), ([id(1)].into(), [].into()));
        drop(one);
        assert_eq!((users.dismiss_user(&user, 20), users.revoke("t", 0)), ([id(2)].into(), [].into()));
        drop(two);
        let index = users.lock();
        assert!(index.by_user.is_empty() && index.by_token.is_empty() && index.doomed.is_empty(), "something stays");
    }

    #[test]
    fn a_connection_that_is_noted_anew_stays() {
        let (users, user) = (Users::default(), UserId::parse("u").unwrap());
        let note = |token, limit| users.note(id(1), Bearer { user: Some(&user), token: Some(token), since: 7 }, limit);
        let first = note("a", 1).unwrap();
        let second = note("b", usize::MAX).unwrap();
        second.supersede(first);
        assert_eq!((second.since(), users.dismiss_user(&user, 7)), (7, [id(1)].into()));
        assert_eq!((users.revoke("a", 0), users.revoke("b", 0)), ([].into(), [id(1)].into()));
        drop(second);
        assert!(users.lock().by_user.is_empty() && users.lock().by_token.is_empty());
    }

    #[test]
    fn nobody_comes_with_a_token_that_was_revoked() {
        let users = Users::default();
        let note = |token| users.note(id(1), Bearer { user: None, token: Some(token), since: 0 }, 1).err();
        users.revoke("t", u64::MAX);
        assert_eq!((note("t"), note("other")), (Some(NoPlace::Revoked), None));
        assert!(users.is_revoked("t") && !users.is_revoked("other"));
        assert_eq!(users.count_revoked(), 1);
    }
}
