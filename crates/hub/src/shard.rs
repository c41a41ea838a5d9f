//! The owner of connections: one task that takes messages, fans out and keeps time.

use crate::{
    Activity, HubMetrics, Policy, Subscription, Transport,
    activity::Clock,
    channel::{Batch, Channel, size_of},
    connection::{Connection, Membership, Outcome, Phase, Tally, Terms},
    heartbeat::{Beat, Heartbeat, Pace},
    outbox::Kind,
};
use bytes::Bytes;
use fanwire_protocol::{ChannelName, CloseReason, ConnectionId, Delivery, Dialect, Dialects, Event, NodeId, Target};
use futures_util::{
    Stream,
    future::{BoxFuture, Either, Ready, ready},
    stream::FuturesUnordered,
};
use slab::Slab;
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use thiserror::Error;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_util::time::DelayQueue;

/// How many messages from sessions may wait at a shard. Beyond that sessions wait, and so do not read.
const MAILBOX: usize = 1024;

/// How many items from the relay may wait at a shard. Beyond that the relay waits, and so does not read.
const RELAY_QUEUE: usize = 4;

/// How much one turn takes in of each kind of input, and how many connections it serves, before others get theirs.
const TURN: usize = 128;

/// How many publications may wait for their fan-out before the shard takes no more from the relay.
const MAX_BACKLOG: usize = 1024;

/// The same in bytes of content.
const MAX_BACKLOG_BYTES: usize = 4 << 20;

/// The longest that a timer runs, in milliseconds: a year. The timers' wheel ends after two.
const LONGEST_WAIT: u64 = 365 * 24 * 3600 * 1000;

/// The key of the broadcast in the slab of channels: the first that is put there.
const BROADCAST: usize = 0;

/// What a shard needs to know.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// This node.
    pub node: NodeId,
    /// The node's clock.
    pub clock: Clock,
    /// The most that an outbox may cost, in bytes: frames and [`crate::outbox::ENTRY_COST`] for each.
    pub outbox_limit: usize,
    /// What happens at that limit.
    pub outbox_policy: Policy,
    /// From ping to ping.
    pub heartbeat_interval: Duration,
    /// How long nothing at all may arrive after a ping.
    pub heartbeat_timeout: Duration,
    /// How long a close may take before the socket is reset.
    pub close_timeout: Duration,
}

/// The shard has ended, which happens only when the node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the shard has ended")]
pub struct ShardGone;

/// A connection's place in its shard, never another's: what comes for a connection that is gone is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionKey {
    index: usize,
    id: ConnectionId,
}

/// A connection that is about to join a shard.
#[derive(Debug)]
pub struct Admission {
    /// Its id.
    pub id: ConnectionId,
    /// What it speaks.
    pub dialect: Dialect,
    /// Its socket.
    pub transport: Arc<dyn Transport>,
    /// Its signs of life.
    pub activity: Arc<Activity>,
    /// The first frame it gets.
    pub greeting: Option<Bytes>,
}

#[derive(Debug)]
enum Message {
    Connect(Box<Admission>, oneshot::Sender<ConnectionKey>),
    Ask(ConnectionKey, Ask),
    Drain(Duration),
}

/// What a session asks for its connection.
#[derive(Debug)]
enum Ask {
    Join(Subscription, Option<Bytes>),
    Leave(ChannelName, Option<Bytes>),
    Answer(Bytes),
    PeerClosed(Option<u16>),
    Close(CloseReason),
    Gone,
}

/// What the relay hands to a shard.
#[derive(Debug)]
enum RelayItem {
    Deliveries(Vec<Delivery>),
    Notice(Event),
}

/// A message to a shard: told already, unless the shard is behind; then it is told when this has been awaited. Small,
/// because every session has room for one.
pub type Told = Either<Ready<Result<(), ShardGone>>, BoxFuture<'static, Result<(), ShardGone>>>;

/// The way to reach a shard. Messages of one sender keep their order, if each is awaited before the next.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    mailbox: mpsc::Sender<Message>,
    relay: mpsc::Sender<RelayItem>,
}

impl ShardHandle {
    /// Takes a connection in; it gets broadcasts from now on. Whoever calls this owes a [`Self::gone`].
    pub async fn connect(&self, admission: Admission) -> Result<ConnectionKey, ShardGone> {
        let (reply, key) = oneshot::channel();
        self.tell(Message::Connect(Box::new(admission), reply)).await?;
        key.await.map_err(|_| ShardGone)
    }

    /// Makes a connection a subscriber, then sends it `answer`.
    pub fn join(&self, connection: ConnectionKey, subscription: Subscription, answer: Option<Bytes>) -> Told {
        self.ask(connection, Ask::Join(subscription, answer))
    }

    /// Ends a connection's subscription, then sends it `answer`.
    pub fn leave(&self, connection: ConnectionKey, channel: ChannelName, answer: Option<Bytes>) -> Told {
        self.ask(connection, Ask::Leave(channel, answer))
    }

    /// Sends a connection a frame that is never left out.
    pub fn answer(&self, connection: ConnectionKey, frame: Bytes) -> Told {
        self.ask(connection, Ask::Answer(frame))
    }

    /// The peer has sent a Close frame with `code`.
    pub fn peer_closed(&self, connection: ConnectionKey, code: Option<u16>) -> Told {
        self.ask(connection, Ask::PeerClosed(code))
    }

    /// Closes a connection.
    pub fn close(&self, connection: ConnectionKey, reason: CloseReason) -> Told {
        self.ask(connection, Ask::Close(reason))
    }

    /// The session has ended; its key is not valid any more.
    pub fn gone(&self, connection: ConnectionKey) -> Told {
        self.ask(connection, Ask::Gone)
    }

    /// Closes all connections, spread over `window`, and those that still come at once.
    pub(crate) async fn drain(&self, window: Duration) -> Result<(), ShardGone> {
        self.tell(Message::Drain(window)).await
    }

    /// Fans publications out, in their order. Waits while the shard is behind.
    pub(crate) async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<(), ShardGone> {
        self.relay.send(RelayItem::Deliveries(deliveries)).await.map_err(|_| ShardGone)
    }

    /// Tells every connection of `event`, behind all that was delivered before.
    pub(crate) async fn notify(&self, event: Event) -> Result<(), ShardGone> {
        self.relay.send(RelayItem::Notice(event)).await.map_err(|_| ShardGone)
    }

    fn ask(&self, connection: ConnectionKey, ask: Ask) -> Told {
        self.tell(Message::Ask(connection, ask))
    }

    fn tell(&self, message: Message) -> Told {
        match self.mailbox.try_send(message) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(TrySendError::Closed(_)) => Either::Left(ready(Err(ShardGone))),
            Err(TrySendError::Full(message)) => {
                let mailbox = self.mailbox.clone();
                Either::Right(Box::pin(async move { mailbox.send(message).await.map_err(|_| ShardGone) }))
            }
        }
    }
}

/// The owner of a part of the node's connections.
#[derive(Debug)]
pub struct Shard {
    node: NodeId,
    clock: Clock,
    pace: Pace,
    close_timeout: u64,
    terms: Terms,
    metrics: HubMetrics,
    mailbox: mpsc::Receiver<Message>,
    relay: mpsc::Receiver<RelayItem>,
    connections: Slab<Connection>,
    channels: Slab<Channel>,
    by_name: HashMap<ChannelName, usize>,
    /// Channels with work, each at most once; they take turns.
    queue: VecDeque<usize>,
    backlog: Backlog,
    /// An event that waits until all publications before it are fanned out.
    held: Option<Event>,
    dirty: Vec<usize>,
    timers: DelayQueue<usize>,
    /// Connections whose socket takes nothing now, each a future that resolves when it does.
    waiters: FuturesUnordered<BoxFuture<'static, ConnectionKey>>,
    draining: bool,
    tally: Tally,
}

/// Publications that were taken from the relay and are not fanned out.
#[derive(Debug, Default)]
struct Backlog {
    publications: usize,
    bytes: usize,
}

impl Backlog {
    fn has_room(&self) -> bool {
        self.publications < MAX_BACKLOG && self.bytes < MAX_BACKLOG_BYTES
    }
}

impl Shard {
    /// A shard without connections, and the way to reach it. It lives as long as [`Self::run`] is polled.
    pub fn new(config: &ShardConfig, dialects: Dialects, metrics: HubMetrics) -> (Self, ShardHandle) {
        let (mailbox_sender, mailbox) = mpsc::channel(MAILBOX);
        let (relay_sender, relay) = mpsc::channel(RELAY_QUEUE);
        let mut channels = Slab::new();
        channels.insert(Channel::default());
        let shard = Self {
            node: config.node,
            clock: config.clock,
            pace: Pace { interval: millis(config.heartbeat_interval), timeout: millis(config.heartbeat_timeout) },
            close_timeout: millis(config.close_timeout),
            terms: Terms { limit: config.outbox_limit, policy: config.outbox_policy, dialects },
            metrics,
            mailbox,
            relay,
            connections: Slab::new(),
            channels,
            by_name: HashMap::new(),
            queue: VecDeque::new(),
            backlog: Backlog::default(),
            held: None,
            dirty: Vec::new(),
            timers: DelayQueue::new(),
            waiters: FuturesUnordered::new(),
            draining: false,
            tally: Tally::default(),
        };
        (shard, ShardHandle { mailbox: mailbox_sender, relay: relay_sender })
    }

    /// Serves until every handle is dropped.
    ///
    /// A turn takes in what has arrived, fans out for a bounded number of connections, writes what has gathered in
    /// outboxes, and lets others run.
    pub async fn run(mut self) {
        let mut messages = Vec::with_capacity(TURN);
        while std::future::poll_fn(|cx| self.poll_inputs(cx, &mut messages)).await {
            self.fan_out();
            self.flush_dirty();
            self.publish_tally();
            if self.has_work() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.held.is_some()
    }

    /// Takes in what has arrived, a bounded part of each kind. Ready with `false` when nobody can reach the shard any
    /// more; pending when there is nothing to do at all.
    fn poll_inputs(&mut self, cx: &mut Context<'_>, messages: &mut Vec<Message>) -> Poll<bool> {
        let mut progress = self.has_work();
        if let Poll::Ready(count) = self.mailbox.poll_recv_many(cx, messages, TURN) {
            if count == 0 {
                return Poll::Ready(false);
            }
            progress = true;
            messages.drain(..).for_each(|message| self.receive(message));
        }
        progress |= self.poll_timers(cx) | self.poll_waiters(cx) | self.poll_relay(cx);
        if progress { Poll::Ready(true) } else { Poll::Pending }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        for served in 0..TURN {
            let Poll::Ready(Some(expired)) = self.timers.poll_expired(cx) else { return served > 0 };
            self.on_timer(expired.into_inner());
        }
        true
    }

    fn poll_waiters(&mut self, cx: &mut Context<'_>) -> bool {
        for served in 0..TURN {
            let Poll::Ready(Some(key)) = Pin::new(&mut self.waiters).poll_next(cx) else { return served > 0 };
            self.on_writable(key);
        }
        true
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> bool {
        let telling = self.channels[BROADCAST].batch.as_ref().is_some_and(|batch| batch.kind == Kind::Answer);
        if self.held.is_some() || telling || !self.backlog.has_room() {
            return false;
        }
        let Poll::Ready(Some(item)) = self.relay.poll_recv(cx) else { return false };
        match item {
            RelayItem::Deliveries(deliveries) => deliveries.into_iter().for_each(|delivery| self.enqueue(delivery)),
            RelayItem::Notice(event) => self.held = Some(event),
        }
        true
    }
}

/// # Messages
impl Shard {
    fn receive(&mut self, message: Message) {
        match message {
            Message::Connect(admission, reply) => self.admit(*admission, reply),
            Message::Ask(key, ask) if self.has(key) => self.grant(key.index, ask),
            Message::Ask(..) => {}
            Message::Drain(window) => self.drain(window),
        }
    }

    /// Whether the key's place is still that connection's.
    fn has(&self, key: ConnectionKey) -> bool {
        self.connections.get(key.index).is_some_and(|connection| connection.id == key.id)
    }

    fn grant(&mut self, key: usize, ask: Ask) {
        match ask {
            Ask::Join(subscription, answer) => self.join(key, subscription, answer),
            Ask::Leave(channel, answer) => self.leave(key, &channel, answer),
            Ask::Answer(frame) => self.answer(key, frame),
            Ask::PeerClosed(code) => self.answer_close(key, code),
            Ask::Close(reason) => self.close(key, reason),
            Ask::Gone => self.remove(key),
        }
    }

    fn admit(&mut self, admission: Admission, reply: oneshot::Sender<ConnectionKey>) {
        let Admission { id, dialect, transport, activity, greeting } = admission;
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let now = self.clock.now();
        activity.arrived(now);
        let heartbeat = Heartbeat::new(self.pace, now, rand::random());
        entry.insert(Connection::new(id, dialect, transport, activity, heartbeat));
        self.schedule(key, heartbeat.next(self.pace));
        self.channels[BROADCAST].roster.join(key);
        self.metrics.connections(dialect).inc();
        if let Some(frame) = greeting {
            self.answer(key, frame);
        }
        if self.draining {
            self.drain_at(key, now);
        }
        if reply.send(ConnectionKey { index: key, id }).is_err() {
            self.remove(key);
        }
    }

    fn join(&mut self, key: usize, subscription: Subscription, answer: Option<Bytes>) {
        let channel = self.channel_for(subscription.channel());
        if self.channels[channel].roster.join(key) {
            self.connections[key].memberships.push(Membership { channel, subscription });
            self.metrics.subscriptions.inc();
        }
        answer.into_iter().for_each(|frame| self.answer(key, frame));
    }

    fn leave(&mut self, key: usize, channel: &ChannelName, answer: Option<Bytes>) {
        let memberships = &mut self.connections[key].memberships;
        if let Some(at) = memberships.iter().position(|membership| membership.subscription.channel() == channel) {
            let membership = memberships.swap_remove(at);
            self.end_membership(key, &membership);
        }
        answer.into_iter().for_each(|frame| self.answer(key, frame));
    }

    fn answer(&mut self, key: usize, frame: Bytes) {
        let outcome = self.connections[key].send(&[frame], Kind::Answer, false, &self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    fn answer_close(&mut self, key: usize, code: Option<u16>) {
        let connection = &mut self.connections[key];
        let first = connection.is_open();
        connection.answer_close(code, &mut self.tally);
        if first {
            self.limit_close(key);
        }
        self.mark_dirty(key);
    }

    fn close(&mut self, key: usize, reason: CloseReason) {
        let connection = &mut self.connections[key];
        if connection.is_open() {
            connection.close(reason, &mut self.tally);
            self.limit_close(key);
            self.mark_dirty(key);
        }
    }

    fn limit_close(&mut self, key: usize) {
        self.schedule(key, self.clock.now() + self.close_timeout);
    }

    fn remove(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        connection.activity.end(CloseReason::PeerVanished);
        if let Some(timer) = connection.timer.take() {
            self.timers.remove(&timer);
        }
        if connection.blocked {
            // Resolves the waiter, which holds the socket.
            connection.transport.abort();
        }
        connection.die(&mut self.tally);
        self.channels[BROADCAST].roster.leave(key);
        std::mem::take(&mut connection.memberships).iter().for_each(|membership| self.end_membership(key, membership));
        self.metrics.connections(connection.dialect).dec();
        self.metrics.disconnected(connection.activity.ended_by().unwrap_or(CloseReason::PeerVanished));
    }

    fn drain(&mut self, window: Duration) {
        self.draining = true;
        let (now, window, count) = (self.clock.now(), millis(window), self.connections.len() as u64);
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        for (index, key) in (0u64..).zip(keys) {
            self.drain_at(key, now + window * index / count);
        }
    }

    fn drain_at(&mut self, key: usize, at: u64) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Open {
            connection.phase = Phase::Draining;
            self.schedule(key, at);
        }
    }

    fn channel_for(&mut self, name: &ChannelName) -> usize {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        let key = self.channels.insert(Channel::new(name.clone()));
        self.by_name.insert(name.clone(), key);
        self.metrics.channels.inc();
        key
    }

    fn end_membership(&mut self, key: usize, membership: &Membership) {
        self.channels[membership.channel].roster.leave(key);
        self.metrics.subscriptions.dec();
        self.retire(membership.channel);
    }

    /// Forgets a channel that nobody listens to, unless its turn is yet to come: then it is asked again.
    fn retire(&mut self, key: usize) {
        let channel = &self.channels[key];
        if channel.queued || !channel.roster.is_empty() {
            return;
        }
        if let Some(name) = &channel.name {
            self.by_name.remove(name);
            self.channels.remove(key);
            self.metrics.channels.dec();
        }
    }
}

/// # Fan-out
impl Shard {
    fn enqueue(&mut self, delivery: Delivery) {
        let key = match &delivery.publication.target {
            Target::Broadcast => Some(BROADCAST),
            Target::Channel(name) => self.by_name.get(name).copied(),
        };
        // Without a key the last subscriber has left meanwhile.
        let Some(key) = key else { return };
        self.backlog.publications += 1;
        self.backlog.bytes += size_of(&delivery);
        self.channels[key].pending.push_back(delivery);
        self.call(key);
    }

    /// Puts a channel into the queue for turns.
    fn call(&mut self, key: usize) {
        if !std::mem::replace(&mut self.channels[key].queued, true) {
            self.queue.push_back(key);
        }
    }

    fn fan_out(&mut self) {
        self.release_held();
        let mut rest = TURN;
        while rest > 0
            && let Some(key) = self.queue.pop_front()
        {
            rest = rest.saturating_sub(self.fan_out_channel(key, rest).max(1));
            self.channels[key].queued = false;
            if self.channels[key].has_work() {
                self.call(key);
            } else {
                self.retire(key);
            }
        }
    }

    /// Events about the link stand behind every publication that came before them.
    fn release_held(&mut self) {
        if self.backlog.publications == 0
            && self.channels[BROADCAST].batch.is_none()
            && let Some(event) = self.held.take()
        {
            self.channels[BROADCAST].begin_notice(&event, &self.terms.dialects);
            self.call(BROADCAST);
        }
    }

    /// Serves at most `limit` subscribers of a channel and returns how many it served.
    fn fan_out_channel(&mut self, key: usize, limit: usize) -> usize {
        // While other channels wait too, a connection may be in several of them: then one write serves them all.
        let at_once = self.queue.is_empty();
        // A batch that just fits an outbox would make a slow consumer of whoever is behind by a single frame.
        self.channels[key].begin_batch(self.node, self.terms.limit / 8);
        let Some(mut batch) = self.channels[key].batch.take() else { return 0 };
        for served in 0..limit {
            let Some(connection) = self.channels[key].roster.walk() else {
                self.finish(&batch);
                return served;
            };
            self.deliver(connection, &mut batch, at_once);
        }
        self.channels[key].batch = Some(batch);
        limit
    }

    fn deliver(&mut self, key: usize, batch: &mut Batch, at_once: bool) {
        let (terms, tally) = (&self.terms, &mut self.tally);
        let connection = &mut self.connections[key];
        let outcome = if batch.leaves_out(connection.id.1) {
            let frames = batch.frames_for(connection.id.1, connection.dialect, &terms.dialects);
            connection.send(&frames, batch.kind, at_once, terms, tally)
        } else {
            let kind = batch.kind;
            connection.send(batch.frames(connection.dialect, &terms.dialects), kind, at_once, terms, tally)
        };
        self.conclude(key, outcome);
    }

    fn finish(&mut self, batch: &Batch) {
        self.backlog.publications -= batch.len();
        self.backlog.bytes -= batch.size();
        self.metrics.fan_out.observe(batch.duration().as_secs_f64());
        batch.ages().for_each(|age| self.metrics.relay_latency.observe(age.as_secs_f64()));
    }
}

/// # Write sides and timers
impl Shard {
    fn conclude(&mut self, key: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Flush => self.mark_dirty(key),
            Outcome::Wait => self.wait(key),
            Outcome::Full => self.close(key, CloseReason::SlowConsumer),
        }
    }

    fn mark_dirty(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if !connection.blocked && !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(key);
        }
    }

    fn wait(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if !std::mem::replace(&mut connection.blocked, true) {
            let writable = Arc::clone(&connection.transport).writable();
            let key = ConnectionKey { index: key, id: connection.id };
            self.waiters.push(Box::pin(async move {
                writable.await;
                key
            }));
        }
    }

    fn on_writable(&mut self, key: ConnectionKey) {
        if self.has(key) {
            self.connections[key.index].blocked = false;
            self.flush(key.index);
        }
    }

    fn flush(&mut self, key: usize) {
        let outcome = self.connections[key].flush(&self.terms, &mut self.tally);
        self.conclude(key, outcome);
    }

    fn flush_dirty(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let dirty = self.connections.get_mut(key).is_some_and(|connection| std::mem::take(&mut connection.dirty));
            if dirty && !self.connections[key].blocked {
                self.flush(key);
            }
        }
    }

    fn schedule(&mut self, key: usize, at: u64) {
        let connection = &mut self.connections[key];
        if let Some(timer) = connection.timer.take() {
            self.timers.remove(&timer);
        }
        connection.timer = Some(self.timers.insert_at(key, self.clock.at(at)));
    }

    fn on_timer(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        connection.timer = None;
        match connection.phase {
            Phase::Open => self.beat(key),
            Phase::Draining => self.close(key, CloseReason::Draining),
            Phase::Closing { .. } => {
                connection.abort(&mut self.tally);
                self.metrics.close_timeouts.inc();
            }
            Phase::Dead => {}
        }
    }

    fn beat(&mut self, key: usize) {
        let (now, pace) = (self.clock.now(), self.pace);
        let connection = &mut self.connections[key];
        let beat = connection.heartbeat.beat(pace, now, connection.activity.last_arrival());
        let (frame, next) = (connection.dialect.heartbeat_frame(), connection.heartbeat.next(pace));
        match beat {
            Beat::Dead => return self.close(key, CloseReason::HeartbeatTimeout),
            Beat::Ping => self.answer(key, frame),
            Beat::Wait => {}
        }
        if self.connections[key].phase == Phase::Open {
            self.schedule(key, next);
        }
    }

    fn publish_tally(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        self.metrics.deliveries.inc_by(tally.deliveries);
        self.metrics.sent_bytes.inc_by(tally.sent_bytes);
        self.metrics.outbox_bytes.add(tally.outbox_bytes);
        self.metrics.dropped_full.inc_by(tally.dropped_full);
        self.metrics.dropped_closed.inc_by(tally.dropped_closed);
    }
}

/// A setting in milliseconds, at most [`LONGEST_WAIT`].
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(LONGEST_WAIT)
}
