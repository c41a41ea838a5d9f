//! The targets with a history, and what is read for them.

use super::{
    Follow, Followed,
    continuity::{Arrived, Continuity, Passed},
};
use crate::{
    Namespaces,
    metrics::{Fill, Metrics},
};
use fanwire_broker::{Broker, Delivery, Gap, LinkState, MAX_PAGE, Page, Query, ReadError, Retention};
use fanwire_hub::Interest;
use fanwire_protocol::{ChannelName, Position, Target};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};

/// How many reads are under way at once. After the link was away every target wants one.
const READS: usize = 64;

/// What may be held back, in bytes, before nothing more is taken from the feed.
const HELD: usize = 16 << 20;

/// How often a read may fail, while the link is up, before the relay goes on without it.
const ATTEMPTS: u32 = 6;

/// From the first failed read to the next; doubles each time.
const BACKOFF: Duration = Duration::from_millis(100);

/// A read that has ended.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) target: Target,
    /// For which of all targets of this name it was begun.
    tracked: u64,
    outcome: Result<Page, ReadError>,
}

/// What a read has led to.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What goes on to subscribers.
    pub(crate) passed: Vec<Passed>,
    /// The place of a target of which none was known.
    pub(crate) begins: Option<Position>,
}

/// The targets with a history that have readers.
pub(crate) struct Targets {
    broker: Arc<dyn Broker>,
    namespaces: Arc<Namespaces>,
    metrics: Metrics,
    interest: Arc<Interest>,
    tracked: HashMap<Target, Tracked>,
    sequence: u64,
    /// Those whose read has not begun.
    wanted: VecDeque<Target>,
    reads: FuturesUnordered<BoxFuture<'static, Read>>,
    held: usize,
}

struct Tracked {
    sequence: u64,
    retention: Retention,
    continuity: Continuity,
    /// Whether a read is wanted or under way.
    reading: bool,
    failures: u32,
    waiting: Vec<oneshot::Sender<Followed>>,
}

impl Targets {
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        namespaces: Arc<Namespaces>,
        metrics: Metrics,
        interest: &Arc<Interest>,
    ) -> Self {
        Self {
            broker,
            namespaces,
            metrics,
            interest: Arc::clone(interest),
            tracked: HashMap::new(),
            sequence: 0,
            wanted: VecDeque::new(),
            reads: FuturesUnordered::new(),
            held: 0,
        }
    }

    /// Begins with the broadcasts, which have readers always.
    pub(crate) fn start(&mut self) {
        if let Some(retention) = self.namespaces.broadcast {
            self.track(Target::Broadcast, retention, Continuity::unknown());
            self.want(&Target::Broadcast);
        }
    }

    /// Whether more may be taken from the feed.
    pub(crate) fn has_room(&self) -> bool {
        self.held < HELD
    }

    /// The publication, if it can be passed on at once.
    pub(crate) fn arrive(&mut self, delivery: Delivery) -> Option<Delivery> {
        let publication = Arc::clone(&delivery.publication);
        let (target, place) = (&publication.target, publication.position.as_ref());
        let Some(retention) = self.namespaces.retention(target) else { return Some(delivery) };
        let Some(place) = place else { return self.arrive_without_place(delivery) };
        let Some(tracked) = self.tracked.get_mut(target) else {
            if self.has_readers(target) {
                self.track(target.clone(), retention, Continuity::at(place.clone()));
            }
            return Some(delivery);
        };
        let held = tracked.continuity.held();
        let arrived = tracked.continuity.arrive(delivery, place);
        self.held += tracked.continuity.held() - held;
        match arrived {
            Arrived::Passed(delivery) => Some(delivery),
            Arrived::Skipped => None,
            Arrived::Held => {
                self.want(target);
                None
            }
        }
    }

    /// What has no place waits only behind what is held back.
    fn arrive_without_place(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(tracked) = self.tracked.get_mut(&delivery.publication.target) else { return Some(delivery) };
        let held = tracked.continuity.held();
        let passed = tracked.continuity.arrive_without_place(delivery);
        self.held += tracked.continuity.held() - held;
        passed
    }

    /// The link, or a part of it, was away: anything that it concerns may be missing.
    pub(crate) fn suspect(&mut self, gap: &Gap) {
        let concerned = |target: &&Target| gap.partitions.hold(target);
        let targets: Vec<_> = self.tracked.keys().filter(concerned).cloned().collect();
        for target in targets {
            if let Some(tracked) = self.tracked.get_mut(&target) {
                tracked.failures = 0;
                tracked.continuity.suspect();
            }
            self.want(&target);
        }
    }

    /// Answers a session, or begins to find out what to answer.
    pub(crate) fn follow(&mut self, follow: Follow) {
        let Follow { target, seen, answer } = follow;
        let Some(retention) = self.namespaces.retention(&target) else { return };
        if !self.tracked.contains_key(&target) {
            self.track(target.clone(), retention, Continuity::unknown());
        }
        let Some(tracked) = self.tracked.get_mut(&target) else { return };
        let last = tracked.continuity.last();
        let elsewhere = |last: &&Position| seen.as_ref().is_some_and(|seen| seen.epoch != last.epoch);
        match last.filter(|last| !elsewhere(last)).cloned() {
            // Whoever asked may have gone.
            Some(last) => drop(answer.send(Ok(last))),
            None => {
                tracked.waiting.push(answer);
                if tracked.continuity.last().is_some() {
                    tracked.continuity.suspect();
                }
                self.want(&target);
            }
        }
    }

    /// The next read that has ended; `None` while there is none.
    pub(crate) async fn next_read(&mut self) -> Option<Read> {
        while self.reads.len() < READS
            && let Some(target) = self.wanted.pop_front()
        {
            self.begin(target);
        }
        self.reads.next().await
    }

    /// Takes what was read; `None` if the target was forgotten meanwhile.
    pub(crate) fn take_read(&mut self, read: Read) -> Option<Taken> {
        let Read { target, tracked: sequence, outcome } = read;
        let tracked = self.tracked.get_mut(&target).filter(|tracked| tracked.sequence == sequence)?;
        let (held, unknown) = (tracked.continuity.held(), tracked.continuity.last().is_none());
        let (passed, result) = tracked.take(&target, outcome);
        self.held -= held - tracked.continuity.held();
        let last = tracked.continuity.last().cloned();
        let wanted = tracked.continuity.is_filling() && (last.is_some() || target == Target::Broadcast);
        if !unknown {
            self.metrics.filled(result);
        }
        self.metrics.lost(passed.iter().filter(|passed| matches!(passed, Passed::Lost(_))).count());
        if wanted {
            self.want(&target);
        } else if last.is_none() {
            self.remove(&target);
        }
        Some(Taken { passed, begins: last.filter(|_| unknown) })
    }

    /// Answers those who wait to know where `target` stands, as soon as nothing is missing before that.
    pub(crate) fn answer(&mut self, target: &Target) {
        let Some(tracked) = self.tracked.get_mut(target) else { return };
        if let Some(last) = tracked.continuity.last().filter(|_| !tracked.reading) {
            tracked.waiting.drain(..).for_each(|answer| drop(answer.send(Ok(last.clone()))));
        }
    }

    /// Forgets a channel that has no reader any more.
    pub(crate) fn forget(&mut self, channel: &ChannelName) {
        self.remove(&Target::Channel(channel.clone()));
    }

    fn remove(&mut self, target: &Target) {
        let held = self.tracked.remove(target).map_or(0, |tracked| tracked.continuity.held());
        self.held -= held;
    }

    fn has_readers(&self, target: &Target) -> bool {
        let mut found = false;
        match target {
            Target::Broadcast => found = true,
            Target::Channel(channel) => self.interest.shards_of(channel, |_| found = true),
        }
        found
    }

    fn track(&mut self, target: Target, retention: Retention, continuity: Continuity) {
        self.sequence += 1;
        let sequence = self.sequence;
        let tracked = Tracked { sequence, retention, continuity, reading: false, failures: 0, waiting: Vec::new() };
        self.tracked.insert(target, tracked);
    }

    /// Puts a target into the queue for reads, unless it is there.
    fn want(&mut self, target: &Target) {
        if let Some(tracked) = self.tracked.get_mut(target)
            && !std::mem::replace(&mut tracked.reading, true)
        {
            self.wanted.push_back(target.clone());
        }
    }

    fn begin(&mut self, target: Target) {
        let Some(tracked) = self.tracked.get_mut(&target) else { return };
        let since = tracked.continuity.begin_read();
        // Who subscribes is refused at once while the link is down. All others have time.
        let patient = since.is_some() || target == Target::Broadcast;
        let limit = if since.is_some() { MAX_PAGE } else { 0 };
        let query = Query { target: target.clone(), since, limit, reverse: false };
        let (sequence, retention, failures) = (tracked.sequence, tracked.retention, tracked.failures);
        let (broker, mut link) = (Arc::clone(&self.broker), self.broker.link_to(&target));
        self.reads.push(Box::pin(async move {
            if patient {
                wait(&mut link, failures).await;
            }
            Read { target, tracked: sequence, outcome: broker.history(query, retention).await }
        }));
    }
}

impl Tracked {
    /// Takes the outcome of a read: what goes on to subscribers, and how it counts.
    fn take(&mut self, target: &Target, outcome: Result<Page, ReadError>) -> (Vec<Passed>, Fill) {
        self.reading = false;
        match outcome {
            Ok(page) => {
                self.failures = 0;
                let passed = self.continuity.filled(page);
                let result = if is_lost(&passed) { Fill::Lost } else { Fill::Filled };
                (passed, result)
            }
            Err(error) => (self.fail(target, &error), Fill::Failed),
        }
    }

    fn fail(&mut self, target: &Target, error: &ReadError) -> Vec<Passed> {
        self.failures += 1;
        for answer in self.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = answer.send(Err(error.clone()));
        }
        if self.continuity.last().is_none() {
            if *target == Target::Broadcast && self.failures == ATTEMPTS {
                tracing::warn!(%error, "no connection is accepted: where the broadcasts stand could not be read");
            }
            return Vec::new();
        }
        if self.failures < ATTEMPTS {
            return Vec::new();
        }
        self.failures = 0;
        tracing::warn!(?target, %error, "messages that may be missing could not be read");
        self.continuity.give_up()
    }
}

/// Waits until the link is up, and longer after failures.
async fn wait(link: &mut watch::Receiver<LinkState>, failures: u32) {
    if failures > 0 {
        sleep(BACKOFF * 2_u32.saturating_pow(failures.min(ATTEMPTS) - 1)).await;
    }
    // Without a broker the read says so.
    let _ = link.wait_for(|state| *state == LinkState::Up).await;
}

fn is_lost(passed: &[Passed]) -> bool {
    passed.iter().any(|passed| matches!(passed, Passed::Lost(_)))
}
