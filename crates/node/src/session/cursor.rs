//! From a place in a history to the live stream, page by page.

use super::peer::Peer;
use fanwire_broker::{Delivery, MAX_PAGE, Page, Query, Retention};
use fanwire_hub::ShardGone;
use fanwire_protocol::{Event, Position, Target};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// How many publications are read at once.
pub(super) const PAGE: u32 = if MAX_PAGE < 100 { MAX_PAGE } else { 100 };

/// From a read that failed, or found nothing where something should be, to the next; doubles up to the longest.
const BACKOFF: Duration = Duration::from_millis(10);

/// The longest time between two reads.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// After so many reads in vain what should be there counts as lost.
const IN_VAIN: u32 = 5;

/// A connection's way through a history.
pub(super) struct Cursor {
    pub(super) peer: Peer,
    pub(super) target: Target,
    pub(super) retention: Retention,
    /// What the client has everything up to.
    pub(super) place: Position,
    in_vain: u32,
}

impl Cursor {
    /// Begins at `place`.
    pub(super) fn new(peer: Peer, target: Target, retention: Retention, place: Position) -> Self {
        Self { peer, target, retention, place, in_vain: 0 }
    }

    /// Sends what a page has behind the place, `until` at most, and tells what is missing before it.
    pub(super) async fn send(&mut self, page: &Page, until: Option<&Position>) -> Result<(), ShardGone> {
        let before = self.place.clone();
        let mut frames = Vec::new();
        if !page.complete {
            self.place = resumed_at(page);
            self.peer.shared.metrics.lost(1);
            frames.extend(self.peer.encode(&self.lost()));
        }
        let within = |position: &Position| until.is_none_or(|until| position.offset <= until.offset);
        for delivery in &page.publications {
            let Some(position) = delivery.publication.position.as_ref().filter(|position| within(position)) else {
                continue;
            };
            // A page that others asked for too may be older than the place.
            if position.epoch == self.place.epoch && position.offset > self.place.offset {
                self.place = position.clone();
                frames.extend(self.frame(delivery));
            }
        }
        if self.place != before {
            self.in_vain = 0;
        }
        self.peer.page(frames).await
    }

    fn frame(&self, delivery: &Delivery) -> Option<bytes::Bytes> {
        let wanted = delivery.except != Some(self.peer.id);
        wanted.then(|| delivery.publication.frame(self.peer.dialect, &self.peer.shared.dialects).cloned()).flatten()
    }

    fn lost(&self) -> Event {
        let channel = match &self.target {
            Target::Broadcast => None,
            Target::Channel(channel) => Some(channel.clone()),
        };
        Event::Lost { channel, position: self.place.clone() }
    }

    /// The next page; `None` if the connection ends before it could be read.
    pub(super) async fn read(&mut self) -> Option<Arc<Page>> {
        while !self.peer.is_ending() {
            let query =
                Query { target: self.target.clone(), since: Some(self.place.clone()), limit: PAGE, reverse: false };
            match self.peer.shared.reads.read(query, self.retention).await {
                Ok(page) => return Some(page),
                Err(error) => tracing::debug!(connection = %self.peer.id, %error, "a recovery waits"),
            }
            self.wait().await;
        }
        None
    }

    /// Whether a read has found everything up to `relayed`, as far as is known; else asks the relay again.
    pub(super) async fn check(&mut self, relayed: &mut Position) -> Result<(), ShardGone> {
        if self.in_vain > 0
            && let Ok(newer) = self.peer.shared.follower.follow(self.target.clone(), Some(self.place.clone())).await
        {
            *relayed = newer;
        }
        if self.in_vain >= IN_VAIN && !has_reached(&self.place, relayed) {
            self.place = relayed.clone();
            self.in_vain = 0;
            self.peer.shared.metrics.lost(1);
            self.peer.tell(&self.lost()).await?;
        }
        if self.in_vain > 0 {
            self.wait().await;
        }
        self.in_vain += 1;
        Ok(())
    }

    async fn wait(&self) {
        sleep(BACKOFF.saturating_mul(1 << self.in_vain.min(10)).min(LONGEST_BACKOFF)).await;
    }
}

/// The place behind which the publications of a page come.
fn resumed_at(page: &Page) -> Position {
    let first = page.publications.first().and_then(|first| first.publication.position.as_ref());
    first.map_or_else(
        || page.newest.clone(),
        |first| Position { epoch: first.epoch.clone(), offset: first.offset.saturating_sub(1) },
    )
}

/// Whether who has everything up to `place` has what was passed on up to `relayed`. What is of another epoch only the
/// shard can compare.
pub(super) fn has_reached(place: &Position, relayed: &Position) -> bool {
    place.epoch != relayed.epoch || place.offset >= relayed.offset
}

/// The highest offset that is known of the epoch of `place`.
pub(super) fn newest<const N: usize>(place: &Position, known: [&Position; N]) -> u64 {
    let same_epoch = known.into_iter().filter(|position| position.epoch == place.epoch);
    same_epoch.fold(place.offset, |newest, position| newest.max(position.offset))
}
