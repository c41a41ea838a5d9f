//! Who is on a channel: what a connection says of itself, and what it asks.

use super::{Session, Step, nothing_to_tell, refusals};
use crate::{
    auth::Identity,
    presence::{Entry, Membership},
};
use fanwire_auth::Right;
use fanwire_broker::{Counts, Members, ReadError, Roll};
use fanwire_hub::{Told, outbox::ENTRY_COST};
use fanwire_protocol::{
    ChangeKind, ChannelName, ConnectionId, Content, Event, Member, MemberChange, Publication, Refusal, RequestId,
};
use std::{future::poll_fn, sync::Arc, task::Poll};
use tokio::io::AsyncRead;

/// Who a connection is, and where it is seen. Most connections have none of it.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) identity: Option<Box<Identity>>,
    memberships: Vec<Membership>,
}

impl Present {
    /// What there is to know of a connection that is nowhere yet.
    pub(super) fn new(identity: Option<Box<Identity>>) -> Option<Box<Self>> {
        identity.map(|identity| Box::new(Self { identity: Some(identity), memberships: Vec::new() }))
    }

    /// The connection belongs to `identity` from now on.
    pub(super) fn become_of(&mut self, identity: Identity) {
        let identity = match self.identity.take() {
            Some(before) => identity.succeeding(*before),
            None => identity,
        };
        self.identity = Some(Box::new(identity));
    }

    /// The end of the connection's token; pending for ever where it has none.
    pub(super) fn end(present: &mut Option<Box<Self>>) -> impl Future<Output = ()> {
        poll_fn(|context| {
            let identity = present.as_mut().and_then(|present| present.identity.as_mut());
            identity.map_or(Poll::Pending, |identity| identity.poll_end(context))
        })
    }
}

/// What a client asked for.
pub(super) enum AboutMembers {
    /// To read who is there.
    Roll(Roll),
    /// To count them.
    Counts(ChannelName),
}

/// What was found.
pub(super) enum Found {
    Members(Members),
    Counts(Counts),
}

impl<R: AsyncRead + Unpin> Session<R> {
    /// How the connection will be seen on a channel, if its namespace has presence.
    pub(super) fn entry(&self, channel: &ChannelName, info: Option<Content>) -> Result<Option<Entry>, Refusal> {
        if !self.namespace(channel)?.presence {
            return if info.is_some() { Err(refusals::no_presence(channel)) } else { Ok(None) };
        }
        let info = self.info(info)?;
        let user = self.identity().and_then(Identity::user).cloned();
        let member = Member { connection: self.key.id(), user, info };
        self.check_frames(channel, &member)?;
        Ok(Some(Entry { presence: Arc::clone(&self.shared.presence), channel: channel.clone(), member }))
    }

    /// What others are told of the connection: what its token says, or else its `own` words. It can't replace the former,
    /// for which whoever made the token vouches.
    fn info(&self, own: Option<Content>) -> Result<Option<Content>, Refusal> {
        let vouched = self.grant().and_then(|grant| grant.info.clone());
        let Some(length) = own.as_ref().map(Content::length) else { return Ok(vouched) };
        let limit = self.shared.info_limit;
        match vouched {
            Some(_) => Err(refusals::vouched_info()),
            None if length > limit => Err(refusals::info_too_large(length, limit)),
            None => Ok(own),
        }
    }

    /// Refuses a member of whom others could not be told.
    fn check_frames(&self, channel: &ChannelName, member: &Member) -> Result<(), Refusal> {
        let change = MemberChange { kind: ChangeKind::Leave, member: member.clone(), with_user: true };
        let told = Publication::of_change(channel.clone(), change);
        let bound = self.shared.outbox_limit.saturating_sub(ENTRY_COST);
        let length = told.longest_frame(&self.shared.dialects, bound);
        if length > bound { Err(refusals::message_too_large(length, bound)) } else { Ok(()) }
    }

    /// The connection is on a channel now.
    pub(super) fn is_on(&mut self, membership: Option<Box<Membership>>) {
        if let Some(membership) = membership {
            self.present.get_or_insert_default().memberships.push(*membership);
        }
    }

    /// It isn't any more.
    pub(super) fn is_off(&mut self, channel: &ChannelName) {
        if let Some(present) = &mut self.present {
            present.memberships.retain(|membership| membership.channel() != channel);
        }
        self.present.take_if(|present| present.identity.is_none() && present.memberships.is_empty());
    }

    pub(super) fn ask_members(&mut self, id: Option<RequestId>, about: AboutMembers) -> Told {
        let (AboutMembers::Roll(Roll { channel, .. }) | AboutMembers::Counts(channel)) = &about;
        if let Err(refusal) = self.may_see(channel) {
            return self.refuse(id, refusal);
        }
        // Nobody would see the answer.
        let Some(id) = id else { return nothing_to_tell() };
        let broker = Arc::clone(&self.shared.broker);
        self.step = Some(Box::pin(async move {
            let found = match about {
                AboutMembers::Roll(roll) => broker.members(roll).await.map(Found::Members),
                AboutMembers::Counts(channel) => broker.count_members(&channel).await.map(Found::Counts),
            };
            Step::Found(id, Box::new(found))
        }));
        nothing_to_tell()
    }

    fn may_see(&self, channel: &ChannelName) -> Result<(), Refusal> {
        self.may(Right::Presence, channel)?;
        if self.namespace(channel)?.presence { Ok(()) } else { Err(refusals::no_presence(channel)) }
    }

    pub(super) fn answer_members(&mut self, id: RequestId, found: Result<Found, ReadError>) -> Told {
        match found {
            Ok(Found::Members(Members { members, more })) => self.answer_long(Event::Members { id, members, more }),
            Ok(Found::Counts(Counts { connections, users })) => {
                self.tell(&Event::PresenceStats { id, connections, users })
            }
            Err(error) => self.refuse(Some(id), refusals::read(&error)),
        }
    }
}

/// What a client asks who wants to know who is on `channel`.
pub(super) fn roll(channel: ChannelName, limit: u32, after: Option<ConnectionId>) -> AboutMembers {
    AboutMembers::Roll(Roll { channel, after, limit })
}
