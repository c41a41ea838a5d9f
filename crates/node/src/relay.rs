//! From the broker's feed to the hub.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `continuity` | whether what arrives of a target continues what was passed on |
//! | `follow` | how sessions ask where a target stands |
//! | `targets` | the targets with a history, and what is read for them |

pub(crate) mod continuity;
mod follow;
mod targets;

pub(crate) use follow::{Follow, Followed, Follower, follower};

use crate::{
    Namespaces, Readiness,
    control::{Heard, Obedient, is_control},
    metrics::Metrics,
    readiness::Need,
};
use continuity::Passed;
use fanwire_broker::{Broker, Delivery, Feed, FeedItem, Gap};
use fanwire_hub::{Hub, ShardGone};
use fanwire_protocol::{ChannelName, Event, Target};
use std::{sync::Arc, time::Duration};
use targets::{Read, Targets};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

/// How many items of the feed are taken at once. What arrived together is fanned out together.
const AT_ONCE: usize = 64;

/// How long a channel stays subscribed at the broker after its last reader left.
const LINGER: Duration = Duration::from_secs(2);

/// What the relay works with.
pub(crate) struct Parts {
    pub(crate) feed: Feed,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) metrics: Metrics,
    /// Hears when the place of the broadcasts is known.
    pub(crate) readiness: Readiness,
    /// Does what nodes tell each other.
    pub(crate) obedient: Obedient,
    /// What sessions ask.
    pub(crate) follows: mpsc::Receiver<Follow>,
}

/// Relays everything that the broker brings, in order, until the feed or the hub ends. It is the feed's one reader:
/// while the hub is behind, or too much is held back, it does not read, and so neither does the broker.
///
/// Of targets with a history nothing is passed on before what is missing before it was read, and nothing twice. While
/// one of them waits for that, the others go on.
pub(crate) async fn relay(parts: Parts) -> Result<(), ShardGone> {
    let Parts { mut feed, hub, broker, namespaces, metrics, readiness, obedient, mut follows } = parts;
    let lag = metrics.relay_lag.clone();
    let targets = Targets::new(Arc::clone(&broker), namespaces, metrics, hub.interest());
    let mut relay = Relay { hub, broker, targets, readiness, obedient, together: Vec::new() };
    let (mut items, mut sweeps) = (Vec::with_capacity(AT_ONCE), interval(LINGER / 2));
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    relay.targets.start();
    loop {
        tokio::select! {
            Some(follow) = follows.recv() => relay.targets.follow(follow),
            Some(read) = relay.targets.next_read() => relay.take_read(read).await?,
            count = feed.recv_many(&mut items, AT_ONCE), if relay.targets.has_room() => {
                if count == 0 {
                    return Ok(());
                }
                relay.take(items.drain(..)).await?;
            }
            due = sweeps.tick() => {
                lag.observe(due.elapsed().as_secs_f64());
                relay.sweep();
            }
        }
    }
}

struct Relay {
    hub: Hub,
    broker: Arc<dyn Broker>,
    targets: Targets,
    readiness: Readiness,
    obedient: Obedient,
    /// What goes to the hub together.
    together: Vec<Delivery>,
}

impl Relay {
    async fn take(&mut self, items: impl Iterator<Item = FeedItem>) -> Result<(), ShardGone> {
        for item in items {
            match item {
                FeedItem::Deliveries(deliveries) => {
                    for delivery in deliveries {
                        if is_control(&delivery) {
                            self.obedient.obey(&delivery, Heard::Live).await?;
                        } else {
                            self.together.extend(self.targets.arrive(delivery));
                        }
                    }
                }
                FeedItem::Gap(gap) => self.tell_gap(gap).await?,
            }
        }
        self.flush().await
    }

    async fn tell_gap(&mut self, gap: Gap) -> Result<(), ShardGone> {
        self.flush().await?;
        self.targets.suspect(&gap);
        if gap.partitions.hold(&Target::Channel(ChannelName::control())) {
            self.obedient.missed.notify_one();
        }
        self.hub.notify(&Event::Gap { seconds: gap.duration.as_secs_f64() }).await
    }

    /// Passes on what a read has found, and what was held back for it.
    async fn take_read(&mut self, read: Read) -> Result<(), ShardGone> {
        let target = read.target.clone();
        let Some(taken) = self.targets.take_read(read) else { return Ok(()) };
        for passed in taken.passed {
            match passed {
                Passed::Delivery(delivery) => self.together.push(delivery),
                Passed::Lost(position) => {
                    self.flush().await?;
                    self.hub.lost(&target, &position).await?;
                }
            }
        }
        self.flush().await?;
        if let Some(begins) = taken.begins {
            self.hub.at(&target, &begins).await?;
            if target == Target::Broadcast {
                self.readiness.has(Need::Broadcasts);
            }
        }
        self.targets.answer(&target);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ShardGone> {
        if self.together.is_empty() { Ok(()) } else { self.hub.deliver(std::mem::take(&mut self.together)).await }
    }

    /// Leaves channels at the broker that have had no reader for a while.
    fn sweep(&mut self) {
        let Self { hub, broker, targets, .. } = self;
        hub.interest().sweep(Instant::now(), LINGER, |channel| {
            broker.unsubscribe(channel);
            targets.forget(channel);
        });
    }
}

#[cfg(test)]
mod tests;
