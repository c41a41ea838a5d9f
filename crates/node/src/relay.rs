//! From the broker's feed to the hub.

use fanwire_broker::{Broker, Feed, FeedItem};
use fanwire_hub::{Hub, ShardGone};
use fanwire_protocol::Event;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How many items of the feed are taken at once. What arrived together is fanned out together.
const AT_ONCE: usize = 64;

/// How long a channel stays subscribed at the broker after its last reader left.
const LINGER: Duration = Duration::from_secs(2);

/// Relays everything that the broker brings, in order, until the feed or the hub ends. It is the feed's one reader:
/// while the hub is behind it does not read, and so neither does the broker.
pub(crate) async fn relay(mut feed: Feed, hub: Hub) -> Result<(), ShardGone> {
    let mut items = Vec::with_capacity(AT_ONCE);
    while feed.recv_many(&mut items, AT_ONCE).await > 0 {
        let mut together = Vec::new();
        for item in items.drain(..) {
            match item {
                FeedItem::Deliveries(deliveries) => together.extend(deliveries),
                FeedItem::Gap(gap) => {
                    hub.deliver(std::mem::take(&mut together)).await?;
                    hub.notify(&Event::Gap { seconds: gap.duration.as_secs_f64() }).await?;
                }
            }
        }
        hub.deliver(together).await?;
    }
    Ok(())
}

/// Leaves channels at the broker that have had no reader for a while; never ends.
pub(crate) async fn sweep(hub: Hub, broker: Arc<dyn Broker>) {
    let mut ticks = interval(LINGER / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.interest().sweep(Instant::now(), LINGER, |channel| broker.unsubscribe(channel));
    }
}

#[cfg(test)]
mod tests;
