//! What each command does.

use super::{
    About, Joining, Session, Step, Unanswered,
    history::Asked,
    joining::Opening,
    nothing_to_tell,
    presence::{AboutMembers, roll},
    refusals,
};
use crate::{Namespace, presence::Entry, time::unix_micros};
use bytes::Bytes;
use fanwire_auth::Right;
use fanwire_broker::{PublishError, Publishing, Retention};
use fanwire_hub::{Told, outbox::ENTRY_COST};
use fanwire_protocol::{
    ChannelName, Command, Content, Decoded, Delivery, Encoding, Event, IdempotencyKey, Position, Publication, Refusal,
    Request, RequestId, Target,
};
use futures_util::future::OptionFuture;
use std::sync::Arc;
use tokio::io::AsyncRead;

impl<R: AsyncRead + Unpin> Session<R> {
    pub(super) fn take(&mut self, decoded: Decoded) -> Told {
        match decoded {
            Decoded::Request(Request { id, command }) => {
                self.shared.metrics.commanded(Some(&command));
                self.carry_out_in_pace(id, command)
            }
            Decoded::Refused { id, refusal } => {
                self.shared.metrics.commanded(None);
                self.refuse(id, refusal)
            }
        }
    }

    fn carry_out_in_pace(&mut self, id: Option<RequestId>, command: Command) -> Told {
        let rate = self.shared.command_rate;
        match rate {
            Some(rate) if !self.is_in_pace() => self.refuse(id, refusals::rate_limited(rate)),
            _ => self.carry_out(id, command),
        }
    }

    fn carry_out(&mut self, id: Option<RequestId>, command: Command) -> Told {
        match command {
            Command::Subscribe { channel, recover, info } => self.subscribe(id, &channel, recover, info),
            Command::Unsubscribe { channel } => self.unsubscribe(id, channel),
            Command::Publish { channel, content, echo, idempotency_key } => {
                let namespace = self.may(Right::Publish, &channel).and_then(|()| self.namespace(&channel));
                let target = namespace.map(|_| Target::Channel(channel));
                self.publish(id, target, content, echo, idempotency_key)
            }
            Command::Broadcast { content, echo, idempotency_key } => {
                self.publish(id, self.may_broadcast().map(|()| Target::Broadcast), content, echo, idempotency_key)
            }
            Command::RecoverBroadcast { position } => self.recover_broadcast(id, position),
            Command::History { channel, since, limit, reverse } => {
                self.history(id, Asked { channel, since, limit, reverse })
            }
            Command::Presence { channel, limit, after } => self.ask_members(id, roll(channel, limit, after)),
            Command::PresenceStats { channel } => self.ask_members(id, AboutMembers::Counts(channel)),
            Command::Auth { token } => self.authenticate(id, token),
            Command::Refresh { token } => self.refresh(id, token),
            Command::Ping => self.tell(&Event::Pong { id }),
            Command::Echo(echo) => self.tell(&Event::Echo(echo)),
        }
    }

    fn subscribe(
        &mut self,
        id: Option<RequestId>,
        channel: &ChannelName,
        recover: Option<Position>,
        info: Option<Content>,
    ) -> Told {
        let allowed = self.may_subscribe(channel, recover.is_some());
        let (history, entry) = match allowed.and_then(|history| Ok((history, self.entry(channel, info)?))) {
            Ok(allowed) => allowed,
            Err(refusal) => return self.refuse(id, refusal),
        };
        // Counted before the broker is asked: so nobody leaves the channel there meanwhile.
        let subscription = self.shared.hub.interest().subscribe(channel, self.shard_index);
        let confirmed = self.shared.broker.subscribe(channel);
        self.step = Some(match history {
            Some(retention) => {
                let opening = Opening { subscription, confirmed, recover, retention, entry };
                let opened = opening.open(Arc::clone(&self.shared));
                Box::pin(async move { Step::Opened(id, Box::new(opened.await)) })
            }
            None => Box::pin(async move {
                let outcome = match confirmed.await {
                    Ok(()) => Ok(OptionFuture::from(entry.map(Entry::enter)).await),
                    Err(error) => Err(error),
                };
                Step::Subscribed(id, subscription, outcome)
            }),
        });
        nothing_to_tell()
    }

    /// The history of a channel that may be subscribed to.
    fn may_subscribe(&self, channel: &ChannelName, recover: bool) -> Result<Option<Retention>, Refusal> {
        self.may(Right::Subscribe, channel)?;
        let Namespace { history, recover: may_recover, .. } = *self.namespace(channel)?;
        if recover && (history.is_none() || !may_recover) {
            return Err(refusals::no_recovery(channel, history.is_some()));
        }
        if self.channels.contains(channel) {
            return Err(refusals::already_subscribed(channel));
        }
        let limit = self.shared.channel_limit;
        if self.channels.len() >= limit {
            return Err(refusals::channel_limit(limit));
        }
        Ok(history)
    }

    /// The options of a channel's namespace.
    pub(super) fn namespace(&self, channel: &ChannelName) -> Result<&Namespace, Refusal> {
        let namespaces = &self.shared.namespaces;
        namespaces.of(channel).ok_or_else(|| match self.shared.auth {
            Some(_) => refusals::unknown_namespace_untold(channel),
            None => refusals::unknown_namespace(channel, namespaces),
        })
    }

    fn unsubscribe(&mut self, id: Option<RequestId>, channel: ChannelName) -> Told {
        let known = if self.shared.auth.is_some() { Ok(()) } else { self.namespace(&channel).map(drop) };
        if let Err(refusal) = known {
            return self.refuse(id, refusal);
        }
        let Some(at) = self.channels.iter().position(|subscribed| *subscribed == channel) else {
            return self.refuse(id, refusals::not_subscribed(&channel));
        };
        self.channels.swap_remove(at);
        self.is_off(&channel);
        self.give_up(&About::Channel(channel.clone()));
        self.shard().leave(self.key, channel, self.ok(id))
    }

    fn publish(
        &mut self,
        id: Option<RequestId>,
        target: Result<Target, Refusal>,
        content: Content,
        echo: bool,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Told {
        let publication = target
            .and_then(|target| self.keyed(target, idempotency_key.is_some()))
            .and_then(|target| self.fitting(Publication::new(target, content)));
        let publication = match publication {
            Ok(publication) => Arc::new(publication),
            Err(refusal) => return self.refuse(id, refusal),
        };
        let except = (!echo).then_some(self.key.id());
        let retention = self.shared.namespaces.retention(&publication.target);
        let delivery = Delivery { publication, except, published_at: unix_micros() };
        let taken_in = self.shared.broker.publish(Publishing { delivery, retention, idempotency_key });
        self.step = Some(Box::pin(async move { Step::TakenIn(id, taken_in.await) }));
        nothing_to_tell()
    }

    /// The target, unless a publication to it can't have the idempotency key that it has.
    fn keyed(&self, target: Target, has_key: bool) -> Result<Target, Refusal> {
        if has_key && self.shared.namespaces.retention(&target).is_none() {
            return Err(refusals::no_history(&target));
        }
        Ok(target)
    }

    /// The publication, if each of its forms fits an empty outbox.
    fn fitting(&self, publication: Publication) -> Result<Publication, Refusal> {
        let bound = self.shared.outbox_limit.saturating_sub(ENTRY_COST);
        let length = publication.longest_frame(&self.shared.dialects, bound);
        if length > bound {
            return Err(refusals::message_too_large(length, bound));
        }
        Ok(publication)
    }

    pub(super) fn finish(&mut self, step: Step) -> Told {
        self.step = None;
        match step {
            Step::Subscribed(id, subscription, Ok(membership)) => {
                self.is_on(membership);
                self.channels.push(subscription.channel().clone());
                self.shard().join(self.key, subscription, self.ok(id))
            }
            Step::Subscribed(id, _, Err(error)) => self.refuse(id, refusals::subscribe(&error)),
            Step::TakenIn(id, Ok(accepted)) => {
                self.unanswered.push_back(Unanswered { id, accepted });
                nothing_to_tell()
            }
            Step::TakenIn(id, Err(error)) => self.refuse(id, refusals::publish(&error)),
            Step::Opened(id, opened) => self.join(id, *opened),
            Step::Found(id, found) => self.answer_members(id, *found),
            Step::Read(id, page) => self.answer_history(id, *page),
            Step::Behind(behind) => self.begin_recovery(*behind),
            Step::Verified(verified) => self.change_bearer(*verified),
        }
    }

    fn join(&mut self, id: Option<RequestId>, opened: Result<Joining, Refusal>) -> Told {
        let mut joining = match opened {
            Ok(joining) => joining,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let channel = joining.subscription.channel().clone();
        let (position, recovered) = (joining.place.clone(), joining.recovered);
        let answer = id.map(|id| Event::Subscribed { id, position, recovered }).and_then(|event| self.encode(&event));
        self.is_on(joining.membership.take());
        self.channels.push(channel.clone());
        self.begin(About::Channel(channel), |peer| joining.run(peer, answer));
        nothing_to_tell()
    }

    pub(super) fn answer_publish(
        &mut self,
        id: Option<RequestId>,
        result: Result<Option<Position>, PublishError>,
    ) -> Told {
        match result {
            Ok(Some(position)) => id.map_or_else(nothing_to_tell, |id| self.tell(&Event::Published { id, position })),
            Ok(None) => self.ok(id).map_or_else(nothing_to_tell, |frame| self.shard().answer(self.key, frame)),
            Err(error) => self.refuse(id, refusals::publish(&error)),
        }
    }

    pub(super) fn refuse(&self, id: Option<RequestId>, refusal: Refusal) -> Told {
        self.shared.metrics.refused(&refusal);
        self.tell(&Event::Error { id, code: refusal.code, message: refusal.message })
    }

    /// The answer to a command that succeeded, if it wants one.
    fn ok(&self, id: Option<RequestId>) -> Option<Bytes> {
        self.encode(&Event::Ok { id: id? })
    }

    pub(super) fn encode(&self, event: &Event) -> Option<Bytes> {
        self.shared.dialects.encode(Encoding { dialect: self.dialect, compression: self.compression }, event)
    }

    pub(super) fn tell(&self, event: &Event) -> Told {
        let frame = self.encode(event);
        frame.map_or_else(nothing_to_tell, |frame| self.shard().answer(self.key, frame))
    }
}
