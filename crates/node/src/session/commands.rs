//! What each command does.

use super::{Session, Step, Unanswered, nothing_to_tell, refusals};
use bytes::Bytes;
use fanwire_broker::PublishError;
use fanwire_hub::{Told, outbox::ENTRY_COST};
use fanwire_protocol::{
    ChannelName, Command, Content, Decoded, Delivery, Event, Publication, Refusal, Request, RequestId, Target,
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::io::AsyncRead;

impl<R: AsyncRead + Unpin> Session<R> {
    pub(super) fn take(&mut self, decoded: Decoded) -> Told {
        match decoded {
            Decoded::Request(Request { id, command }) => {
                self.shared.metrics.commanded(Some(&command));
                self.carry_out(id, command)
            }
            Decoded::Refused { id, refusal } => {
                self.shared.metrics.commanded(None);
                self.refuse(id, refusal)
            }
        }
    }

    fn carry_out(&mut self, id: Option<RequestId>, command: Command) -> Told {
        match command {
            Command::Subscribe { channel } => self.subscribe(id, &channel),
            Command::Unsubscribe { channel } => self.unsubscribe(id, channel),
            Command::Publish { channel, content, echo } => {
                let target = refusals::known_namespace(&channel).map(|()| Target::Channel(channel));
                self.publish(id, target, content, echo)
            }
            Command::Broadcast { content, echo } => self.publish(id, Ok(Target::Broadcast), content, echo),
            Command::Ping => self.tell(&Event::Pong { id }),
            Command::Echo { text, json } => self.tell(&Event::Echo { text, json }),
        }
    }

    fn subscribe(&mut self, id: Option<RequestId>, channel: &ChannelName) -> Told {
        if let Err(refusal) = self.may_subscribe(channel) {
            return self.refuse(id, refusal);
        }
        // Counted before the broker is asked: so nobody leaves the channel there meanwhile.
        let subscription = self.shared.hub.interest().subscribe(channel, self.shard_index);
        let confirmed = self.shared.broker.subscribe(channel);
        self.step = Some(Box::pin(async move { Step::Subscribed(id, subscription, confirmed.await) }));
        nothing_to_tell()
    }

    fn may_subscribe(&self, channel: &ChannelName) -> Result<(), Refusal> {
        refusals::known_namespace(channel)?;
        if self.channels.contains(channel) {
            return Err(refusals::already_subscribed(channel));
        }
        let limit = self.shared.channel_limit;
        if self.channels.len() >= limit {
            return Err(refusals::channel_limit(limit));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: Option<RequestId>, channel: ChannelName) -> Told {
        if let Err(refusal) = refusals::known_namespace(&channel) {
            return self.refuse(id, refusal);
        }
        let Some(at) = self.channels.iter().position(|subscribed| *subscribed == channel) else {
            return self.refuse(id, refusals::not_subscribed(&channel));
        };
        self.channels.swap_remove(at);
        self.shard.leave(self.key, channel, self.ok(id))
    }

    fn publish(
        &mut self,
        id: Option<RequestId>,
        target: Result<Target, Refusal>,
        content: Content,
        echo: bool,
    ) -> Told {
        let publication = match target.and_then(|target| self.fitting(Publication::new(target, content))) {
            Ok(publication) => Arc::new(publication),
            Err(refusal) => return self.refuse(id, refusal),
        };
        let except = (!echo).then_some(self.id);
        let taken_in = self.shared.broker.publish(Delivery { publication, except, published_at: unix_micros() });
        self.step = Some(Box::pin(async move { Step::TakenIn(id, taken_in.await) }));
        nothing_to_tell()
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
            Step::Subscribed(id, subscription, Ok(())) => {
                self.channels.push(subscription.channel().clone());
                self.shard.join(self.key, subscription, self.ok(id))
            }
            Step::Subscribed(id, _, Err(error)) => self.refuse(id, refusals::subscribe(&error)),
            Step::TakenIn(id, Ok(accepted)) => {
                self.unanswered.push_back(Unanswered { id, accepted });
                nothing_to_tell()
            }
            Step::TakenIn(id, Err(error)) => self.refuse(id, refusals::publish(&error)),
        }
    }

    pub(super) fn answer_publish(&mut self, id: Option<RequestId>, result: Result<(), PublishError>) -> Told {
        match result {
            Ok(()) => self.ok(id).map_or_else(nothing_to_tell, |frame| self.shard.answer(self.key, frame)),
            Err(error) => self.refuse(id, refusals::publish(&error)),
        }
    }

    fn refuse(&self, id: Option<RequestId>, refusal: Refusal) -> Told {
        self.shared.metrics.refused(&refusal);
        self.tell(&Event::Error { id, code: refusal.code, message: refusal.message })
    }

    /// The answer to a command that succeeded, if it wants one.
    fn ok(&self, id: Option<RequestId>) -> Option<Bytes> {
        self.shared.dialects.encode(self.dialect, &Event::Ok { id: id? })
    }

    fn tell(&self, event: &Event) -> Told {
        let frame = self.shared.dialects.encode(self.dialect, event);
        frame.map_or_else(nothing_to_tell, |frame| self.shard.answer(self.key, frame))
    }
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
