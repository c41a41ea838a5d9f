//! Which server has what.

use crate::{
    LinkState, PublishError,
    metrics::RedisMetrics,
    partition::{Partition, Partitions},
    redis::{
        DOWN,
        asking::Asking,
        job::Job,
        member::{Member, MemberId},
        subscriptions::Owner,
    },
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::{
    sync::{mpsc, watch},
    time::timeout_at,
};

/// What publications wait for that are on their way to a partition on its way.
const ON_ITS_WAY: &str = "the server that has the channel is not known yet";

/// Where a partition lives.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// No server has it.
    Nowhere,
    /// It is on its way to this server: what is published waits.
    Moving(Arc<Member>),
    /// This server has it.
    To(Arc<Member>),
}

/// Which server has which partition, as far as is known; shared by those who ask and the one who finds out.
#[derive(Debug)]
pub(super) struct Route {
    ways: RwLock<Vec<Way>>,
    link: watch::Sender<LinkState>,
    /// Changes with the ways.
    changed: watch::Sender<()>,
    metrics: Arc<RedisMetrics>,
}

/// What became of a job.
enum Offered {
    Taken,
    Refused(Job),
    /// The queue has no room.
    Full(Job, mpsc::Sender<Job>),
    Waiting(Job),
}

impl Route {
    /// Nothing is anywhere.
    pub(super) fn new(metrics: Arc<RedisMetrics>) -> Self {
        Self {
            ways: RwLock::new(Partition::every().map(|_| Way::Nowhere).collect()),
            link: watch::Sender::new(LinkState::Starting("not yet connected to Redis".to_owned())),
            changed: watch::Sender::new(()),
            metrics,
        }
    }

    /// Whether all that has something can be used.
    pub(super) fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    /// Whether the server that has `partition` can be used.
    pub(super) fn link_to(&self, partition: Partition) -> watch::Receiver<LinkState> {
        self.member(partition).map_or_else(|| self.link(), |member| member.link.subscribe())
    }

    /// The server that has, or will have, `partition`.
    pub(super) fn member(&self, partition: Partition) -> Option<Arc<Member>> {
        match self.read().get(partition.index()) {
            Some(Way::To(member) | Way::Moving(member)) => Some(Arc::clone(member)),
            Some(Way::Nowhere) | None => None,
        }
    }

    /// Where a question about `partition` goes.
    pub(super) fn questions(&self, partition: Partition) -> Option<mpsc::Sender<Asking>> {
        self.member(partition)?.queries.queue()
    }

    /// Hands a publication to the server that has its partition. Its place in the order there is fixed then.
    pub(super) async fn take_in(&self, job: Job) -> Result<(), PublishError> {
        let deadline = job.ticket.deadline();
        let mut changes: Option<watch::Receiver<()>> = None;
        let mut offered = self.offer(job);
        loop {
            offered = match offered {
                Offered::Taken => return Ok(()),
                Offered::Refused(job) => return Err(job.ticket.refuse(DOWN)),
                Offered::Full(job, queue) => match timeout_at(deadline, queue.reserve()).await {
                    Ok(Ok(place)) => self.fill(job, &queue, place),
                    Ok(Err(_)) => return Err(job.ticket.refuse(DOWN)),
                    Err(_) => return Err(job.ticket.refuse("too many publications are on their way to Redis")),
                },
                Offered::Waiting(job) => match &mut changes {
                    // First listen, then look again.
                    None => {
                        changes = Some(self.changed.subscribe());
                        self.offer(job)
                    }
                    Some(changes) => match timeout_at(deadline, changes.changed()).await {
                        Ok(_) => self.offer(job),
                        Err(_) => return Err(job.ticket.refuse(ON_ITS_WAY)),
                    },
                },
            };
        }
    }

    /// Under the lock: what is taken in here is in the queue before the partition moves.
    fn offer(&self, job: Job) -> Offered {
        let ways = self.read();
        let member = match ways.get(job.partition.index()) {
            Some(Way::To(member)) => member,
            Some(Way::Moving(_)) => return Offered::Waiting(job),
            Some(Way::Nowhere) | None => return Offered::Refused(job),
        };
        let Some(queue) = member.gate.queue() else { return Offered::Refused(job) };
        match queue.try_send(job) {
            Ok(()) => Offered::Taken,
            Err(mpsc::error::TrySendError::Full(job)) => Offered::Full(job, queue),
            Err(mpsc::error::TrySendError::Closed(job)) => Offered::Refused(job),
        }
    }

    /// Uses a place in a queue if that still leads to where the partition lives.
    fn fill(&self, job: Job, queue: &mpsc::Sender<Job>, place: mpsc::Permit<'_, Job>) -> Offered {
        let ways = self.read();
        let leads = |way: &Way| matches!(way, Way::To(member) if member.gate.is(queue));
        if ways.get(job.partition.index()).is_some_and(leads) {
            place.send(job);
            return Offered::Taken;
        }
        drop((ways, place));
        self.offer(job)
    }

    /// Says where each partition is from now on.
    pub(super) fn set(&self, to: impl Fn(Partition, &Way) -> Way) {
        let mut ways = self.write();
        Partition::every().zip(ways.iter_mut()).for_each(|(partition, way)| *way = to(partition, way));
        drop(ways);
        self.changed.send_replace(());
        self.report();
    }

    /// Partitions whose way is as `wanted`.
    pub(super) fn where_way(&self, wanted: impl Fn(Partition, &Way) -> bool) -> Partitions {
        let ways = self.read();
        let found = Partition::every().zip(ways.iter()).filter(|(partition, way)| wanted(*partition, way));
        found.map(|(partition, _)| partition).collect()
    }

    /// Where to subscribe.
    pub(super) fn owner(&self, partition: Partition) -> Owner {
        self.member(partition).map_or(Owner::Nobody, |member| Owner::Member(member.id))
    }

    /// The link of some server has changed: tells what that means for the whole.
    pub(super) fn report(&self) {
        let members = self.members();
        let troubles: Vec<_> = members.iter().filter_map(|member| member.trouble()).collect();
        if members.is_empty() {
            return;
        }
        self.link.send_if_modified(|state| {
            let now = if troubles.is_empty() { LinkState::Up } else { state.ended(troubles.join("; ")) };
            let modified = *state != now;
            *state = now;
            modified
        });
        self.metrics.link_up.set(i64::from(troubles.is_empty()));
    }

    /// Nobody says where anything is.
    pub(super) fn lost(&self, reason: &str) {
        if self.members().is_empty() {
            self.link.send_modify(|state| *state = state.ended(reason.to_owned()));
        }
    }

    /// The broker ends.
    pub(super) fn end(&self) {
        self.link.send_modify(|state| *state = state.ended("the node is stopping".to_owned()));
        self.metrics.link_up.set(0);
    }

    /// All servers that have something, in the order in which they came.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        let mut members: Vec<Arc<Member>> = Vec::new();
        for way in self.read().iter() {
            if let Way::To(member) | Way::Moving(member) = way
                && !members.iter().any(|known| known.id == member.id)
            {
                members.push(Arc::clone(member));
            }
        }
        members.sort_by_key(|member| member.id);
        members
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Way>> {
        self.ways.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Way>> {
        self.ways.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// The server that has it, or to which it is on its way.
    pub(super) fn leads_to(&self, member: MemberId) -> bool {
        matches!(self, Self::To(to) | Self::Moving(to) if to.id == member)
    }
}

#[cfg(test)]
mod tests;
