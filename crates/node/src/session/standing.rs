//! Who a connection belongs to, and what it may do.

use super::{Session, Sessions, Step, nothing_to_tell, refusals};
use crate::{
    auth::Identity,
    permissions::{may, may_broadcast},
    presence::HeldLease,
    time::unix_micros,
};
use fanwire_auth::{Grant, Right};
use fanwire_hub::Told;
use fanwire_protocol::{ChannelName, ConnectionId, Event, Refusal, RequestId, Token};
use std::sync::Arc;
use tokio::io::AsyncRead;

/// A token that was sent as a command, verified.
pub(super) struct Verified {
    id: Option<RequestId>,
    outcome: Result<Vouched, Refusal>,
}

/// What a token grants, and the place of a connection that has none yet.
pub(super) struct Vouched {
    pub(super) grant: Grant,
    pub(super) lease: Option<HeldLease>,
}

impl<R: AsyncRead + Unpin> Session<R> {
    /// Who the connection is, where that is known.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.present.as_ref()?.identity.as_deref()
    }

    /// What its token grants, if it has come with one.
    pub(super) fn grant(&self) -> Option<&Grant> {
        self.identity()?.grant()
    }

    /// Whether the connection may do what `right` says at `channel`.
    pub(super) fn may(&self, right: Right, channel: &ChannelName) -> Result<(), Refusal> {
        self.granted(self.grant(), right, channel)
    }

    fn granted(&self, grant: Option<&Grant>, right: Right, channel: &ChannelName) -> Result<(), Refusal> {
        let allows = self.shared.namespaces.of(channel).map(|namespace| &namespace.allow);
        if self.shared.auth.is_none() || may(grant, allows, right, channel) {
            return Ok(());
        }
        Err(refusals::forbidden(right, channel))
    }

    /// Whether the connection may broadcast.
    pub(super) fn may_broadcast(&self) -> Result<(), Refusal> {
        if self.shared.auth.is_none() || may_broadcast(self.grant(), self.shared.namespaces.allow_broadcast) {
            return Ok(());
        }
        Err(refusals::forbidden_broadcast())
    }

    /// A connection that came without a token sends one.
    pub(super) fn authenticate(&mut self, id: Option<RequestId>, token: Token) -> Told {
        if self.grant().is_some() {
            return self.refuse(id, refusals::authenticated());
        }
        self.verify(id, token)
    }

    /// A connection that came with a token sends another one.
    pub(super) fn refresh(&mut self, id: Option<RequestId>, token: Token) -> Told {
        if self.grant().is_none() {
            return self.refuse(id, refusals::authenticate_first());
        }
        self.verify(id, token)
    }

    fn verify(&mut self, id: Option<RequestId>, token: Token) -> Told {
        if self.shared.auth.is_none() {
            return self.refuse(id, refusals::no_tokens());
        }
        let (shared, connection, needs_place) = (Arc::clone(&self.shared), self.key.id(), self.grant().is_none());
        self.step = Some(Box::pin(async move {
            let outcome = shared.vouched(&token, needs_place.then_some(connection)).await;
            Step::Verified(Box::new(Verified { id, outcome }))
        }));
        nothing_to_tell()
    }

    pub(super) fn change_bearer(&mut self, verified: Verified) -> Told {
        let Verified { id, outcome } = verified;
        match outcome.and_then(|vouched| self.acceptable(vouched)) {
            Ok(vouched) => match self.set_bearer(vouched) {
                Ok(()) => id.map_or_else(nothing_to_tell, |id| self.tell(&Event::Ok { id })),
                Err(refusal) => self.refuse(id, refusal),
            },
            Err(refusal) => self.refuse(id, refusal),
        }
    }

    /// The connection belongs to whom the token says. Where it is seen already, it is seen as before.
    pub(super) fn set_bearer(&mut self, vouched: Vouched) -> Result<(), Refusal> {
        let before = self.identity().map(Identity::since);
        let limit = if before.is_some() { usize::MAX } else { self.shared.user_limit };
        let since = before.unwrap_or_else(unix_micros);
        let Vouched { grant, lease } = vouched;
        let bearer =
            Identity::bearer(grant, self.key.id(), &self.shared.users, limit, since).map_err(refusals::no_place)?;
        self.present.get_or_insert_default().become_of(bearer.with_lease(lease));
        Ok(())
    }

    /// What a token grants, unless it is another user's, or would take away what the connection has.
    fn acceptable(&self, vouched: Vouched) -> Result<Vouched, Refusal> {
        let grant = &vouched.grant;
        if self.grant().is_some_and(|before| before.user != grant.user) {
            return Err(refusals::another_user());
        }
        let lost = self.channels.iter().find(|channel| self.granted(Some(grant), Right::Subscribe, channel).is_err());
        match lost {
            Some(channel) => Err(refusals::subscribed(channel)),
            None => Ok(vouched),
        }
    }
}

impl Sessions {
    /// What `token` grants, with a place for the `newcomer` if it is a connection that has none yet.
    pub(super) async fn vouched(&self, token: &Token, newcomer: Option<ConnectionId>) -> Result<Vouched, Refusal> {
        let auth = self.auth.as_ref().ok_or_else(refusals::no_tokens)?;
        let grant = auth.verify(token.expose(), &self.users, &self.metrics).await;
        let grant = grant.map_err(|invalid| refusals::invalid_token(&invalid))?;
        let lease = match newcomer {
            Some(connection) => self.lease(grant.user.as_ref(), connection).await.map_err(refusals::no_place)?,
            None => None,
        };
        Ok(Vouched { grant, lease })
    }
}
