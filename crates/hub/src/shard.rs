//! The owner of connections: one task that takes messages, fans out and keeps time.

mod compress;
mod fan_out;
mod handle;
mod mailbox;
mod recover;
mod write_side;

pub(crate) use compress::AT_ONCE;
pub(crate) use handle::Place;
pub use handle::{Admission, ConnectionKey, Entry, Largest, ShardGone, ShardHandle, Told, Waiting};

use crate::{
    HubMetrics, Interest, Policy,
    activity::Clock,
    channel::Channel,
    connection::{Connection, Tally, Terms},
    heartbeat::Pace,
    outbox::Kind,
};
use compress::Compressed;
use fanwire_protocol::{ChannelName, Dialects, Event, NodeId};
use futures_util::{Stream, future::BoxFuture, stream::FuturesUnordered};
use handle::{Message, RelayItem};
use slab::Slab;
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};
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
    /// Connections that recover and whose outbox rests, each at most once; they take turns.
    recovering: VecDeque<usize>,
    interest: Arc<Interest>,
    timers: DelayQueue<usize>,
    /// Connections whose socket takes nothing now, each a future that resolves when it does.
    waiters: FuturesUnordered<BoxFuture<'static, ConnectionKey>>,
    /// Channels whose batch is compressed elsewhere, each a future that resolves when it is.
    compressing: FuturesUnordered<BoxFuture<'static, Compressed>>,
    compressor: Arc<Semaphore>,
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
    pub(crate) fn new(
        config: &ShardConfig,
        dialects: Dialects,
        metrics: HubMetrics,
        interest: Arc<Interest>,
    ) -> (Self, ShardHandle) {
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
            recovering: VecDeque::new(),
            interest,
            timers: DelayQueue::new(),
            waiters: FuturesUnordered::new(),
            compressing: FuturesUnordered::new(),
            compressor: Arc::new(Semaphore::new(1)),
            draining: false,
            tally: Tally::default(),
        };
        (shard, ShardHandle { mailbox: mailbox_sender, relay: relay_sender })
    }

    /// Serves until every handle is dropped.
    ///
    /// A turn takes in what has arrived, goes on with recoveries and fans out, each for a bounded number of connections,
    /// writes what has gathered in outboxes, and lets others run.
    pub async fn run(mut self) {
        let mut messages = Vec::with_capacity(TURN);
        while std::future::poll_fn(|cx| self.poll_inputs(cx, &mut messages)).await {
            self.recover();
            self.fan_out();
            self.flush_dirty();
            self.publish_tally();
            if self.has_work() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.held.is_some() || !self.recovering.is_empty()
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
        progress |= self.poll_timers(cx) | self.poll_waiters(cx) | self.poll_compressing(cx) | self.poll_relay(cx);
        if progress { Poll::Ready(true) } else { Poll::Pending }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        for served in 0..TURN {
            let Poll::Ready(Some(expired)) = self.timers.poll_expired(cx) else { return served > 0 };
            self.metrics.lag.observe(expired.deadline().elapsed().as_secs_f64());
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
            RelayItem::StandAt(position, taken_in) => {
                self.channels[BROADCAST].stand_at(position, VecDeque::new());
                // Whoever doesn't wait any more needs no answer.
                let _ = taken_in.send(());
            }
            RelayItem::Lost(target, position) => self.enqueue_lost(&target, position),
        }
        true
    }
}

/// A setting in milliseconds, at most [`LONGEST_WAIT`].
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(LONGEST_WAIT)
}
