//! One connection's commands and their answers.

use crate::{
    accept::Seat,
    metrics::Metrics,
    websocket::{ReadEnd, Reader, Received},
};
use bytes::Bytes;
use fanwire_broker::{Accepted, Broker, PublishError, SubscribeError};
use fanwire_hub::{
    Activity, Admission, Clock, ConnectionKey, Hub, ShardGone, ShardHandle, Subscription, Told, Transport,
    outbox::ENTRY_COST,
};
use fanwire_protocol::{
    ChannelName, CloseReason, Command, ConnectionId, Content, Decoded, Delivery, Dialect, Dialects, ErrorCode, Event,
    Incoming, NodeId, Publication, Refusal, Request, RequestId, Target, channel::DEFAULT_NAMESPACE, frame,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, ready},
};
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{io::AsyncRead, time::Instant};

#[cfg(test)]
mod tests;

/// How many publications of one connection may be unanswered. Beyond that its socket is not read.
const MAX_UNANSWERED: usize = 64;

/// What all sessions of a node share.
pub(crate) struct Sessions {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) dialects: Dialects,
    pub(crate) metrics: Metrics,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) message_limit: usize,
    pub(crate) outbox_limit: usize,
    pub(crate) channel_limit: usize,
    pub(crate) sequence: AtomicU64,
}

/// A connection that has been upgraded and has no session yet.
pub(crate) struct Upgraded<R> {
    pub(crate) dialect: Dialect,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) reader: R,
    /// What was read behind the request.
    pub(crate) read: Vec<u8>,
    /// The index of the shard that the connection belongs to.
    pub(crate) shard: usize,
    /// Held to the end of the session.
    pub(crate) seat: Seat,
}

impl Sessions {
    /// Serves a connection to its end.
    pub(crate) fn serve<R>(self: Arc<Self>, upgraded: Upgraded<R>) -> impl Future<Output = ()> + Send + 'static
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        // Boxed, for a session's memory is that of the largest thing that it ever waits for; and made outside, for
        // what is moved into a future keeps its place there.
        let admission = Box::pin(self.admit(upgraded));
        async move {
            let begun = Instant::now();
            let mut admitted = admission.await;
            // By reference: what is moved has two places.
            let Ok(session) = &mut admitted else { return };
            if AssertUnwindSafe(session.run()).catch_unwind().await.is_err() {
                session.fail().await;
            }
            log_end(session, begun.elapsed());
            // Fails only where the shard has ended, and the node with it.
            let _ = session.shard.gone(session.key).await;
        }
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.node, self.sequence.fetch_add(1, Relaxed))
    }

    async fn admit<R: AsyncRead + Unpin>(self: Arc<Self>, upgraded: Upgraded<R>) -> Result<Session<R>, ShardGone> {
        let Upgraded { dialect, transport, reader, read, shard: shard_index, seat } = upgraded;
        let id = self.next_id();
        let (activity, shard) = (Arc::new(Activity::default()), self.hub.shards()[shard_index].clone());
        let received_bytes = self.metrics.received_bytes.clone();
        let reader = Reader::new(reader, &read, self.message_limit, Arc::clone(&activity), self.clock, received_bytes);
        let greeting = self.dialects.encode(dialect, &self.welcome(id));
        let admission = Admission { id, dialect, transport, activity: Arc::clone(&activity), greeting };
        let key = shard.connect(admission).await?;
        Ok(Session {
            shared: self,
            reader,
            shard,
            shard_index,
            key,
            id,
            dialect,
            activity,
            channels: Vec::new(),
            inbox: VecDeque::new(),
            unanswered: VecDeque::new(),
            step: None,
            _seat: seat,
        })
    }

    fn welcome(&self, connection: ConnectionId) -> Event {
        Event::Welcome {
            connection,
            node: self.node,
            version: env!("CARGO_PKG_VERSION"),
            heartbeat: self.heartbeat_interval.as_secs_f64(),
        }
    }
}

/// One connection.
struct Session<R> {
    shared: Arc<Sessions>,
    reader: Reader<R>,
    shard: ShardHandle,
    shard_index: usize,
    key: ConnectionKey,
    id: ConnectionId,
    dialect: Dialect,
    activity: Arc<Activity>,
    channels: Vec<ChannelName>,
    /// What has arrived and waits for its turn.
    inbox: VecDeque<Decoded>,
    /// Publications that the broker has taken in, in order.
    unanswered: VecDeque<Unanswered>,
    /// The command under way; the next begins when its place in the order is sure.
    step: Option<BoxFuture<'static, Step>>,
    _seat: Seat,
}

struct Unanswered {
    id: Option<RequestId>,
    accepted: Accepted,
}

/// What became of the command under way.
enum Step {
    Subscribed(Option<RequestId>, Subscription, Result<(), SubscribeError>),
    TakenIn(Option<RequestId>, Result<Accepted, PublishError>),
}

/// Why a session ends before its socket does.
enum Stop {
    Read(ReadEnd),
    PeerClosed(Option<u16>),
    ShardGone,
}

impl From<ShardGone> for Stop {
    fn from(_: ShardGone) -> Self {
        Self::ShardGone
    }
}

impl<R: AsyncRead + Unpin> Session<R> {
    /// Serves the connection until its socket ends.
    async fn run(&mut self) {
        let stop = loop {
            if let Err(stop) = self.turn().await {
                break stop;
            }
        };
        match stop {
            Stop::Read(ReadEnd::Broken(reason)) => self.give_up(reason).await,
            Stop::PeerClosed(code) => self.end(self.shard.peer_closed(self.key, code)).await,
            Stop::Read(ReadEnd::Vanished) | Stop::ShardGone => {}
        }
    }

    /// Gives up after a failure of our own.
    async fn fail(&mut self) {
        self.shared.metrics.session_panics.inc();
        self.give_up(CloseReason::Internal).await;
    }

    async fn give_up(&mut self, reason: CloseReason) {
        self.end(self.shard.close(self.key, reason)).await;
    }

    /// Leaves the rest to the shard, until it or the peer ends the socket.
    async fn end(&mut self, told: Told) {
        if told.await.is_ok() {
            self.reader.discard_rest().await;
        }
    }

    /// Does whatever comes first: an answer of the broker, the command under way, the next message.
    async fn turn(&mut self) -> Result<(), Stop> {
        while self.takes_commands()
            && let Some(decoded) = self.inbox.pop_front()
        {
            self.take(decoded).await?;
        }
        let takes_commands = self.takes_commands();
        let told = tokio::select! {
            biased;
            (id, result) = first_answer(&mut self.unanswered) => self.answer_publish(id, result),
            step = under_way(&mut self.step) => self.finish(step),
            received = self.reader.next(), if takes_commands => self.receive(received.map_err(Stop::Read)?)?,
        };
        Ok(told.await?)
    }

    fn takes_commands(&self) -> bool {
        self.step.is_none() && self.unanswered.len() < MAX_UNANSWERED
    }

    fn receive(&mut self, received: Received) -> Result<Told, Stop> {
        Ok(match received {
            Received::Close(code) => return Err(Stop::PeerClosed(code)),
            // What arrives behind our own Close frame is read, but not carried out.
            _ if self.activity.ended_by().is_some() => nothing_to_tell(),
            Received::Text(text) => self.decode(Incoming::Text(&text)),
            Received::Binary(bytes) => self.decode(Incoming::Binary(&bytes)),
            Received::Ping(payload) => self.shard.answer(self.key, frame::frame(frame::Opcode::Pong, &payload)),
            Received::Pong => nothing_to_tell(),
        })
    }

    fn decode(&mut self, message: Incoming<'_>) -> Told {
        self.inbox.extend(self.shared.dialects.decode(self.dialect, message));
        nothing_to_tell()
    }

    fn take(&mut self, decoded: Decoded) -> Told {
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
                let target = known_namespace(&channel).map(|()| Target::Channel(channel));
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
        known_namespace(channel)?;
        if self.channels.contains(channel) {
            let message = format!("already subscribed to \"{channel}\"");
            return Err(Refusal::new(ErrorCode::AlreadySubscribed, message));
        }
        let limit = self.shared.channel_limit;
        if self.channels.len() >= limit {
            let message = format!("a connection may subscribe to {limit} channels: unsubscribe from one first");
            return Err(Refusal::new(ErrorCode::ChannelLimit, message));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: Option<RequestId>, channel: ChannelName) -> Told {
        let Some(at) = self.channels.iter().position(|subscribed| *subscribed == channel) else {
            let message = format!("not subscribed to \"{channel}\"");
            return self.refuse(id, Refusal::new(ErrorCode::NotSubscribed, message));
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
            let message = format!("a form of the message would have {length} bytes, at most {bound} can be delivered");
            return Err(Refusal::new(ErrorCode::MessageTooLarge, message));
        }
        Ok(publication)
    }

    fn finish(&mut self, step: Step) -> Told {
        self.step = None;
        match step {
            Step::Subscribed(id, subscription, Ok(())) => {
                self.channels.push(subscription.channel().clone());
                self.shard.join(self.key, subscription, self.ok(id))
            }
            Step::Subscribed(id, _, Err(error)) => self.refuse(id, subscribe_refusal(&error)),
            Step::TakenIn(id, Ok(accepted)) => {
                self.unanswered.push_back(Unanswered { id, accepted });
                nothing_to_tell()
            }
            Step::TakenIn(id, Err(error)) => self.refuse(id, publish_refusal(&error)),
        }
    }

    fn answer_publish(&mut self, id: Option<RequestId>, result: Result<(), PublishError>) -> Told {
        match result {
            Ok(()) => self.ok(id).map_or_else(nothing_to_tell, |frame| self.shard.answer(self.key, frame)),
            Err(error) => self.refuse(id, publish_refusal(&error)),
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

fn nothing_to_tell() -> Told {
    Either::Left(ready(Ok(())))
}

/// The outcome of the oldest unanswered publication; pending for ever where there is none.
async fn first_answer(unanswered: &mut VecDeque<Unanswered>) -> (Option<RequestId>, Result<(), PublishError>) {
    let Some(first) = unanswered.front_mut() else { return std::future::pending().await };
    let result = (&mut first.accepted).await.unwrap_or(Err(PublishError::Timeout));
    let id = unanswered.pop_front().and_then(|first| first.id);
    (id, result)
}

/// The command under way; pending for ever where there is none.
async fn under_way(step: &mut Option<BoxFuture<'static, Step>>) -> Step {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}

/// Until namespaces can be configured there is one.
fn known_namespace(channel: &ChannelName) -> Result<(), Refusal> {
    let namespace = channel.namespace();
    if namespace == DEFAULT_NAMESPACE {
        return Ok(());
    }
    let message = format!(
        "unknown namespace {namespace:?} in \"{channel}\": known is \"{DEFAULT_NAMESPACE}\", which is also that of names without ':'"
    );
    Err(Refusal::new(ErrorCode::UnknownNamespace, message))
}

fn subscribe_refusal(error: &SubscribeError) -> Refusal {
    let code = match error {
        SubscribeError::Unavailable(_) => ErrorCode::BrokerUnavailable,
        SubscribeError::Timeout => ErrorCode::BrokerTimeout,
    };
    Refusal::new(code, error.to_string())
}

fn publish_refusal(error: &PublishError) -> Refusal {
    let code = match error {
        PublishError::Unavailable(_) => ErrorCode::BrokerUnavailable,
        PublishError::Timeout => ErrorCode::BrokerTimeout,
    };
    Refusal::new(code, error.to_string())
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Ends that an operator may want to look into are told at level info, ordinary ones at debug.
fn log_end<R>(session: &Session<R>, lasted: Duration) {
    let reason = session.activity.ended_by().unwrap_or(CloseReason::PeerVanished);
    let (connection, dialect, label) = (session.id, session.dialect.label(), reason.label());
    match reason {
        CloseReason::PeerClosed | CloseReason::PeerVanished | CloseReason::Draining => {
            tracing::debug!(%connection, dialect, reason = label, ?lasted, "connection ended");
        }
        _ => tracing::info!(%connection, dialect, reason = label, ?lasted, "connection ended"),
    }
}
