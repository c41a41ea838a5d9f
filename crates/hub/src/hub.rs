//! All shards of the node.

use crate::{HubMetrics, Interest, Shard, ShardConfig, ShardGone, ShardHandle, shard::Place};
use fanwire_protocol::{Delivery, Dialects, Event, Target};
use std::{sync::Arc, time::Duration};

/// All shards of the node, and the way of a publication to those that have readers for it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shards: Arc<[ShardHandle]>,
    interest: Arc<Interest>,
}

impl Hub {
    /// A hub of `count` shards (at least one), and the shards, which serve while [`Shard::run`] is polled.
    pub fn new(config: &ShardConfig, dialects: &Dialects, metrics: &HubMetrics, count: usize) -> (Self, Vec<Shard>) {
        let make = |_| Shard::new(config, dialects.clone(), metrics.clone());
        let (shards, handles): (Vec<_>, Vec<_>) = (0..count.max(1)).map(make).unzip();
        let interest = Interest::new(handles.len());
        (Self { shards: handles.into(), interest }, shards)
    }

    /// The shards, by their index.
    pub fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Which channels have readers here.
    pub fn interest(&self) -> &Arc<Interest> {
        &self.interest
    }

    /// Fans out what the broker brought, in order. Waits while a shard is behind, so that whoever calls this stops
    /// reading.
    pub async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<(), ShardGone> {
        for (shard, deliveries) in self.shards.iter().zip(self.split(deliveries)) {
            if !deliveries.is_empty() {
                shard.deliver(deliveries).await?;
            }
        }
        Ok(())
    }

    /// Each shard's part of the deliveries.
    fn split(&self, deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
        let mut parts = vec![Vec::new(); self.shards.len()];
        for delivery in deliveries {
            match &delivery.publication.target {
                Target::Broadcast => parts.iter_mut().for_each(|part| part.push(delivery.clone())),
                Target::Channel(name) => self.interest.shards_of(name, |shard| parts[shard].push(delivery.clone())),
            }
        }
        parts
    }

    /// Tells every connection whose dialect has a form for it of `event`, behind all that was delivered before.
    pub async fn notify(&self, event: &Event) -> Result<(), ShardGone> {
        for shard in self.shards.iter() {
            shard.notify(event.clone()).await?;
        }
        Ok(())
    }

    /// Closes all connections, spread over `window`.
    pub async fn drain(&self, window: Duration) -> Result<(), ShardGone> {
        let of = self.shards.len() as u64;
        for (index, shard) in (0..).zip(self.shards.iter()) {
            shard.drain(Place { index, of }, window).await?;
        }
        Ok(())
    }
}
