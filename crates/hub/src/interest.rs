//! Which channels this node has readers for, and on which shards.

use crate::recent::{Recent, Since, before};
use fanwire_protocol::{ChannelName, Delivery, Position, Target};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Counts the readers of each channel by shard. A channel stays known for a while after its last reader left, so that
/// readers who come and go do not make the node come and go at its broker.
///
/// Where a channel has a history, it is known here too what was passed on last to those who are counted. A reader is
/// counted before it asks the broker where the history stands; so whatever comes behind the answer is either found here
/// or passed on later, however many shards are how far behind.
#[derive(Debug)]
pub struct Interest {
    shards: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    channels: HashMap<ChannelName, Readers>,
    /// What was passed on of the broadcasts, whose readers are all connections.
    broadcasts: Option<Box<Recent>>,
}

#[derive(Debug)]
struct Readers {
    by_shard: Box<[u32]>,
    idle_since: Option<Instant>,
    /// What was passed on, where the channel has a history.
    recent: Option<Box<Recent>>,
}

impl Interest {
    /// No readers yet, on `shards` shards.
    pub fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self { shards, known: Mutex::default() })
    }

    /// Counts a reader of `channel` on `shard` for as long as the subscription is held.
    pub fn subscribe(self: &Arc<Self>, channel: &ChannelName, shard: usize) -> Subscription {
        let mut known = self.lock();
        let entry = known.channels.entry(channel.clone());
        // One name in memory for all readers.
        let channel = entry.key().clone();
        let readers = entry.or_insert_with(|| Readers::none(self.shards));
        readers.by_shard[shard] += 1;
        readers.idle_since = None;
        Subscription { interest: Arc::clone(self), channel, shard }
    }

    /// Calls `found` for each shard that has readers of `channel`.
    pub fn shards_of(&self, channel: &ChannelName, mut found: impl FnMut(usize)) {
        if let Some(readers) = self.lock().channels.get(channel) {
            readers.shards().for_each(&mut found);
        }
    }

    /// Calls `found` for each shard that has readers of `channel`, to which `delivery` is passed on.
    pub(crate) fn pass(&self, channel: &ChannelName, delivery: &Delivery, mut found: impl FnMut(usize)) {
        if let Some(readers) = self.lock().channels.get_mut(channel) {
            note(&mut readers.recent, delivery);
            readers.shards().for_each(&mut found);
        }
    }

    /// Notes that a broadcast is passed on to all shards.
    pub(crate) fn pass_broadcast(&self, delivery: &Delivery) {
        if delivery.publication.position.is_some() {
            note(&mut self.lock().broadcasts, delivery);
        }
    }

    /// Nothing up to `position` will be passed on any more to readers of `target`.
    pub(crate) fn skip_to(&self, target: &Target, position: &Position) {
        let mut known = self.lock();
        if let Some(recent) = known.recent_of(channel_of(target)) {
            match recent {
                Some(recent) => recent.skip_to(position),
                None => *recent = Some(Box::new(Recent::at(position.clone()))),
            }
        }
    }

    /// What was passed on behind `place`, up to `until` or up to now; `None` where that isn't kept. Where nothing was
    /// passed on, nobody is behind.
    pub(crate) fn since(
        &self,
        channel: Option<&ChannelName>,
        place: &Position,
        until: Option<&Position>,
    ) -> Option<Since> {
        match self.lock().recent_of(channel) {
            Some(Some(recent)) => recent.since(place, until),
            _ => until.is_none().then(Since::default),
        }
    }

    /// Forgets the channels without readers for longer than `linger` and calls `forget` for each.
    ///
    /// A reader that comes at the same time is counted either before, and the channel stays, or after `forget` has
    /// returned. So `forget` may leave the channel at the broker, if the subscriber joins it there afterwards.
    pub fn sweep(&self, now: Instant, linger: Duration, mut forget: impl FnMut(&ChannelName)) {
        let channels = &mut self.lock().channels;
        channels.retain(|channel, readers| {
            let expired = readers.idle_since.is_some_and(|since| now.duration_since(since) > linger);
            if expired {
                forget(channel);
            }
            !expired
        });
        if channels.len() < channels.capacity() / 4 {
            channels.shrink_to_fit();
        }
    }

    fn release(&self, channel: &ChannelName, shard: usize) {
        if let Some(readers) = self.lock().channels.get_mut(channel) {
            readers.by_shard[shard] -= 1;
            if readers.by_shard.iter().all(|count| *count == 0) {
                readers.idle_since = Some(Instant::now());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // The counts are whole between any two statements that could panic, so poison means nothing here.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What was passed on of a channel, or of the broadcasts; outer `None` where the channel isn't known.
    fn recent_of(&mut self, channel: Option<&ChannelName>) -> Option<&mut Option<Box<Recent>>> {
        match channel {
            None => Some(&mut self.broadcasts),
            Some(name) => self.channels.get_mut(name).map(|readers| &mut readers.recent),
        }
    }
}

impl Readers {
    fn none(shards: usize) -> Self {
        Self { by_shard: vec![0; shards].into(), idle_since: None, recent: None }
    }

    fn shards(&self) -> impl Iterator<Item = usize> {
        self.by_shard.iter().enumerate().filter(|(_, count)| **count > 0).map(|(shard, _)| shard)
    }
}

fn note(recent: &mut Option<Box<Recent>>, delivery: &Delivery) {
    if let Some(position) = &delivery.publication.position {
        recent.get_or_insert_with(|| Box::new(Recent::at(before(position)))).pass(delivery, position);
    }
}

fn channel_of(target: &Target) -> Option<&ChannelName> {
    match target {
        Target::Broadcast => None,
        Target::Channel(name) => Some(name),
    }
}

/// One reader's share of a channel, counted until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    interest: Arc<Interest>,
    channel: ChannelName,
    shard: usize,
}

impl Subscription {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.interest.release(&self.channel, self.shard);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn swept(interest: &Interest, linger: Duration) -> Vec<String> {
        let mut names = Vec::new();
        interest.sweep(Instant::now(), linger, |channel| names.push(channel.to_string()));
        names
    }

    fn shards(interest: &Interest, channel: &ChannelName) -> Vec<usize> {
        let mut shards = Vec::new();
        interest.shards_of(channel, |shard| shards.push(shard));
        shards
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_lingers_after_its_last_reader() {
        let (interest, news) = (Interest::new(2), ChannelName::parse("news").unwrap());
        let linger = Duration::from_secs(2);
        let (first, second) = (interest.subscribe(&news, 1), interest.subscribe(&news, 1));
        drop(first);
        tokio::time::advance(linger * 2).await;
        assert_eq!(shards(&interest, &news), [1]);
        assert!(swept(&interest, linger).is_empty());

        drop(second);
        assert!(shards(&interest, &news).is_empty());
        tokio::time::advance(linger).await;
        assert!(swept(&interest, linger).is_empty());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(swept(&interest, linger), ["news"]);
        assert!(swept(&interest, linger).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_comes_back_in_time_keeps_the_channel() {
        let (interest, news) = (Interest::new(2), ChannelName::parse("news").unwrap());
        drop(interest.subscribe(&news, 0));
        let back = interest.subscribe(&news, 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(swept(&interest, Duration::from_secs(2)).is_empty());
        assert_eq!(shards(&interest, back.channel()), [1]);
    }
}
