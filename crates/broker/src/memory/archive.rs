//! What is kept of publications.

use crate::{
    Delivery, MAX_PAGE, Page, Query, Retention,
    api::PLACE_KEPT,
    epoch,
    memory::{
        answers::Answers,
        schedule::{Entry, Schedule},
    },
};
use fanwire_protocol::{Epoch, IdempotencyKey, Position, Publication, Target};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How much is kept.
#[derive(Debug)]
struct Bounds {
    /// How many targets have a place; those that were not published to for the longest are forgotten first.
    targets: usize,
    /// How many bytes of publications are kept; those that would expire first go first.
    bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { targets: 100_000, bytes: 256 * 1024 * 1024 }
    }
}

/// What stands for a time that no clock can count.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a publication takes beside its content, about.
const OVERHEAD: usize = 256;

/// The histories of all targets.
#[derive(Debug, Default)]
pub(super) struct Archive {
    histories: HashMap<Target, History>,
    /// When publications expire.
    expiry: Schedule,
    /// When places are forgotten.
    oblivion: Schedule,
    bytes: usize,
    bounds: Bounds,
    answers: Answers,
}

#[derive(Debug)]
struct History {
    epoch: Epoch,
    offset: u64,
    /// The last of them has the offset `offset`.
    publications: VecDeque<Delivery>,
    expiry: Option<Entry>,
    oblivion: Entry,
}

impl Archive {
    /// Keeps a publication and gives it its place; or, where it was published before with the same key, tells which
    /// place it has, and there is nothing to deliver.
    pub(super) fn append(
        &mut self,
        delivery: &Delivery,
        retention: Retention,
        key: Option<IdempotencyKey>,
        now: Instant,
    ) -> (Position, Option<Delivery>) {
        self.expire(now);
        let key = key.map(|key| (delivery.publication.target.clone(), key));
        if let Some(place) = key.as_ref().and_then(|key| self.answers.get(key, now)) {
            return (place, None);
        }
        let (place, delivery) = self.keep(delivery, retention, now);
        if let Some(key) = key {
            self.answers.remember(key, place.clone(), now);
        }
        self.shrink();
        (place, Some(delivery))
    }

    /// Reads a part of a history.
    pub(super) fn page(&mut self, query: &Query, retention: Retention, now: Instant) -> Page {
        self.expire(now);
        let history = self.history(&query.target, retention, now);
        let newest = history.newest();
        let (first, publications) = history.part(query);
        let complete = query.is_complete(&newest, first);
        self.shrink();
        Page { newest, publications, complete }
    }

    fn keep(&mut self, delivery: &Delivery, retention: Retention, now: Instant) -> (Position, Delivery) {
        let target = &delivery.publication.target;
        let Self { histories, expiry, oblivion, bytes, .. } = self;
        let history = histories.entry(target.clone()).or_insert_with(|| begin(target, retention, now, oblivion));
        oblivion.remove(history.oblivion);
        history.oblivion = oblivion.add(target.clone(), later(now, retention.ttl.saturating_add(PLACE_KEPT)));
        if let Some(entry) = history.expiry.replace(expiry.add(target.clone(), later(now, retention.ttl))) {
            expiry.remove(entry);
        }
        let kept = history.push(delivery);
        *bytes += length(&kept);
        while history.publications.len() > retention.size.max(1) as usize {
            *bytes -= history.publications.pop_front().as_ref().map_or(0, length);
        }
        (history.newest(), kept)
    }

    fn history(&mut self, target: &Target, retention: Retention, now: Instant) -> &mut History {
        let Self { histories, oblivion, .. } = self;
        histories.entry(target.clone()).or_insert_with(|| begin(target, retention, now, oblivion))
    }

    fn expire(&mut self, now: Instant) {
        while let Some(target) = self.expiry.due(now) {
            self.empty(&target);
        }
        while let Some(target) = self.oblivion.due(now) {
            self.forget(&target);
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.bounds.bytes
            && let Some(target) = self.expiry.first()
        {
            self.empty(&target);
        }
        while self.histories.len() > self.bounds.targets
            && let Some(target) = self.oblivion.first()
        {
            self.forget(&target);
        }
    }

    /// Drops what is kept of `target`, whose entry is taken out of the schedule.
    fn empty(&mut self, target: &Target) {
        if let Some(history) = self.histories.get_mut(target) {
            history.expiry = None;
            self.bytes -= history.publications.drain(..).map(|delivery| length(&delivery)).sum::<usize>();
        }
    }

    /// Drops all that is known of `target`, whose entry is taken out of the schedule.
    fn forget(&mut self, target: &Target) {
        self.empty(target);
        if let Some(entry) = self.histories.remove(target).and_then(|history| history.expiry) {
            self.expiry.remove(entry);
        }
    }
}

fn begin(target: &Target, retention: Retention, now: Instant, oblivion: &mut Schedule) -> History {
    History {
        epoch: epoch::random(),
        offset: 0,
        publications: VecDeque::new(),
        expiry: None,
        oblivion: oblivion.add(target.clone(), later(now, retention.ttl.saturating_add(PLACE_KEPT))),
    }
}

fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + FOREVER)
}

fn length(delivery: &Delivery) -> usize {
    delivery.publication.content.parts().1.len() + OVERHEAD
}

impl History {
    fn newest(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    fn push(&mut self, delivery: &Delivery) -> Delivery {
        self.offset += 1;
        let Publication { target, content, .. } = &*delivery.publication;
        let publication = Publication::new(target.clone(), content.clone()).at(self.newest());
        let kept = Delivery { publication: Arc::new(publication), ..delivery.clone() };
        self.publications.push_back(kept.clone());
        kept
    }

    /// What `query` asks for, and the offset with which that would begin without a limit.
    fn part(&self, query: &Query) -> (Option<u64>, Vec<Delivery>) {
        let since = query.since.as_ref().filter(|since| since.epoch == self.epoch).map(|since| since.offset);
        // Offsets have no gaps, so a place is an index.
        let oldest = self.offset - self.publications.len() as u64;
        let index = |offset: u64| usize::try_from(offset.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let limit = query.limit.min(MAX_PAGE) as usize;
        if query.reverse {
            let before = since.map_or(usize::MAX, |since| index(since.saturating_sub(1)));
            page(self.publications.iter().take(before).rev(), limit)
        } else {
            page(self.publications.iter().skip(since.map_or(0, index)), limit)
        }
    }
}

fn page<'a>(found: impl Iterator<Item = &'a Delivery> + Clone, limit: usize) -> (Option<u64>, Vec<Delivery>) {
    let first = found.clone().next().and_then(|delivery| delivery.publication.position.as_ref());
    (first.map(|place| place.offset), found.take(limit).cloned().collect())
}

#[cfg(test)]
mod tests;
