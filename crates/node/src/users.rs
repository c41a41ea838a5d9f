//! Who is connected to this node, by users and by tokens.

use fanwire_protocol::{ConnectionId, UserId};
use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections of this node whose user is known, by a token or a trusted proxy, or whose token has a name. Others are
/// not here, and cost nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    by_user: HashMap<UserId, HashSet<ConnectionId>>,
    by_token: HashMap<Box<str>, HashSet<ConnectionId>>,
}

impl Index {
    fn count(&self, user: &UserId) -> usize {
        self.by_user.get(user).map_or(0, HashSet::len)
    }
}

/// Why there is no place for another connection of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// It has as many on this node as it may.
    Here,
    /// It has as many on all nodes as it may.
    Everywhere,
    /// The broker does not say how many it has on all nodes.
    Unknown,
}

impl Users {
    /// Notes a connection of `user` that has come with the token called `token`, for as long as what is returned is kept.
    ///
    /// # Errors
    ///
    /// If its user has `limit` connections already.
    pub(crate) fn note(
        &self,
        connection: ConnectionId,
        user: Option<&UserId>,
        token: Option<&str>,
        limit: usize,
    ) -> Result<Noted, NoPlace> {
        let mut index = self.lock();
        if let Some(user) = user {
            if index.count(user) >= limit {
                return Err(NoPlace::Here);
            }
            index.by_user.entry(user.clone()).or_default().insert(connection);
        }
        if let Some(token) = token {
            index.by_token.entry(token.into()).or_default().insert(connection);
        }
        Ok(Noted { users: self.clone(), connection, user: user.cloned(), token: token.map(Into::into) })
    }

    /// How many connections of `user` there are.
    pub(crate) fn count(&self, user: &UserId) -> usize {
        self.lock().count(user)
    }

    /// The connections of `user`.
    pub(crate) fn of_user(&self, user: &UserId) -> HashSet<ConnectionId> {
        self.lock().by_user.get(user).cloned().unwrap_or_default()
    }

    /// The connections that have come with the token called `id`.
    pub(crate) fn of_token(&self, id: &str) -> HashSet<ConnectionId> {
        self.lock().by_token.get(id).cloned().unwrap_or_default()
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
}

impl Drop for Noted {
    fn drop(&mut self) {
        let mut index = self.users.lock();
        self.user.iter().for_each(|user| forget(&mut index.by_user, user, self.connection));
        self.token.iter().for_each(|token| forget(&mut index.by_token, &**token, self.connection));
    }
}

fn forget<K, Q>(index: &mut HashMap<K, HashSet<ConnectionId>>, key: &Q, connection: ConnectionId)
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    let Some(connections) = index.get_mut(key) else { return };
    connections.remove(&connection);
    if connections.is_empty() {
        index.remove(key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::NodeId;

    #[test]
    fn connections_are_found_until_they_end() {
        let (users, id) = (Users::default(), |number| ConnectionId(NodeId::from_random(1), number));
        let user = UserId::parse("u").unwrap();
        let note = |number, user, token| users.note(id(number), user, token, 2);
        let (one, two) = (note(1, Some(&user), Some("t")), note(2, Some(&user), None));
        let _none = note(3, None, None);
        assert_eq!(note(4, Some(&user), Some("t")).err(), Some(NoPlace::Here));
        assert_eq!((users.of_user(&user), users.count(&user)), ([id(1), id(2)].into(), 2));
        assert_eq!((users.of_token("t"), users.of_token("")), ([id(1)].into(), [].into()));
        drop(one);
        assert_eq!((users.of_user(&user), users.of_token("t")), ([id(2)].into(), [].into()));
        drop(two);
        let index = users.lock();
        assert!(index.by_user.is_empty() && index.by_token.is_empty(), "something stays");
    }
}
