//! All shards of the node.

use crate::{HubMetrics, Interest, Shard, ShardConfig, ShardGone, ShardHandle, shard::Place};
use fanwire_protocol::{CloseReason, ConnectionId, Delivery, Dialects, Event, Position, Target};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// All shards of the node, and the way of a publication to those that have readers for it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shards: Arc<[ShardHandle]>,
    interest: Arc<Interest>,
}

impl Hub {
    /// A hub of `count` shards (at least one), and the shards, which serve while [`Shard::run`] is polled.
    pub fn new(config: &ShardConfig, dialects: &Dialects, metrics: &HubMetrics, count: usize) -> (Self, Vec<Shard>) {
        let interest = Interest::new(count.max(1));
        let make = |_| Shard::new(config, dialects.clone(), metrics.clone(), Arc::clone(&interest));
        let (shards, handles): (Vec<_>, Vec<_>) = (0..count.max(1)).map(make).unzip();
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
                Target::Broadcast => {
                    self.interest.pass_broadcast(&delivery);
                    parts.iter_mut().for_each(|part| part.push(delivery.clone()));
                }
                Target::Channel(name) => {
                    self.interest.pass(name, &delivery, |shard| parts[shard].push(delivery.clone()))
                }
            }
        }
        parts
    }

    /// Says where a target with a history stands: nothing up to `position` will be delivered any more to those who come
    /// now. Who joins a channel before that place is told to read on. For subscribers of now nothing changes.
    ///
    /// Broadcasts have a place from then on: once this has resolved, every welcome tells it.
    pub async fn at(&self, target: &Target, position: &Position) -> Result<(), ShardGone> {
        self.interest.skip_to(target, position);
        if *target == Target::Broadcast {
            for shard in self.shards.iter() {
                shard.stand_at(position.clone()).await?;
            }
        }
        Ok(())
    }

    /// Tells the subscribers of a target with a history, behind all that was delivered before, that what is missing
    /// between that and what follows behind `position` can't be had any more. Whoever has everything up to `position`
    /// is told nothing.
    pub async fn lost(&self, target: &Target, position: &Position) -> Result<(), ShardGone> {
        self.interest.skip_to(target, position);
        for shard in self.readers(target) {
            self.shards[shard].lost(target.clone(), position.clone()).await?;
        }
        Ok(())
    }

    fn readers(&self, target: &Target) -> Vec<usize> {
        match target {
            Target::Broadcast => (0..self.shards.len()).collect(),
            Target::Channel(name) => {
                let mut found = Vec::new();
                self.interest.shards_of(name, |shard| found.push(shard));
                found
            }
        }
    }

    /// Tells every connection whose dialect has a form for it of `event`, behind all that was delivered before.
    pub async fn notify(&self, event: &Event) -> Result<(), ShardGone> {
        for shard in self.shards.iter() {
            shard.notify(event.clone()).await?;
        }
        Ok(())
    }

    /// Closes those of this hub's connections that have these ids.
    pub async fn disconnect(&self, ids: HashSet<ConnectionId>, reason: CloseReason) -> Result<(), ShardGone> {
        let ids = Arc::new(ids);
        for shard in self.shards.iter() {
            shard.disconnect(Arc::clone(&ids), reason).await?;
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
