//! Places of connections among those of their user.

use super::Sessions;
use crate::{auth::Identity, presence::HeldLease, time::unix_micros, users::NoPlace};
use fanwire_auth::Grant;
use fanwire_protocol::{ConnectionId, UserId};

impl Sessions {
    /// The user whom a trusted proxy has told, with a place for the connection.
    pub(crate) async fn told(&self, user: UserId, id: ConnectionId) -> Result<Identity, NoPlace> {
        let lease = self.lease(Some(&user), id).await?;
        Ok(Identity::told(user, id, &self.users, self.user_limit)?.with_lease(lease))
    }

    /// The bearer of a token that has just been verified, with a place for the connection.
    pub(crate) async fn bearer(&self, grant: Grant, id: ConnectionId) -> Result<Identity, NoPlace> {
        let lease = self.lease(grant.user.as_ref(), id).await?;
        Ok(Identity::bearer(grant, id, &self.users, self.user_limit, unix_micros())?.with_lease(lease))
    }

    /// A lease for a connection, where it has a user and connections of users are limited on all nodes.
    pub(super) async fn lease(&self, user: Option<&UserId>, id: ConnectionId) -> Result<Option<HeldLease>, NoPlace> {
        let (Some(leases), Some(user)) = (&self.leases, user) else { return Ok(None) };
        let here = self.users.count(user);
        // Looked at again when it is noted; Redis need not be asked for those of whom it is clear.
        if here >= self.user_limit {
            return Err(NoPlace::Here);
        }
        leases.take(user, id, here).await.map(Some)
    }
}
