//! The servers of a Redis Cluster: finds out which there are, has a link to each that has a partition, and follows what
//! moves.

use crate::{
    FeedItem,
    partition::Partition,
    redis::{
        Shared,
        access::Access,
        backoff::Backoff,
        doubt::Doubt,
        endpoint::Endpoint,
        link::Link,
        member::{Member, MemberId},
        moves,
        names::{heartbeat_tag, tag},
        refusal,
        scout::Scout,
        several::Several,
        slot::{self, SLOTS},
        topology::{Address, Topology},
    },
};
use fanwire_protocol::NodeId;
use std::{collections::BTreeMap, panic, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

/// How often it is asked who has what, though nothing makes that doubtful.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two questions, whatever is doubtful.
const FLOOR: Duration = Duration::from_millis(50);

/// How many hash tags are tried for one in a slot of a certain server: one is found unless it has no slot but a few.
const TAGS: u32 = 300_000;

/// What follows a cluster.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    access: Access,
    feed: mpsc::Sender<FeedItem>,
    links: JoinSet<()>,
    members: BTreeMap<Address, Linked>,
    next: u32,
    told: String,
}

/// A member, and its link.
struct Linked {
    member: Arc<Member>,
    link: AbortHandle,
    /// Whether it had nothing any more when it was last looked at.
    idle: bool,
}

impl Cluster {
    pub(super) fn new(shared: Arc<Shared>, access: Access, feed: mpsc::Sender<FeedItem>) -> Self {
        let (links, members) = (JoinSet::new(), BTreeMap::new());
        Self { shared, access, feed, links, members, next: 0, told: String::new() }
    }

    /// Keeps links to all servers that have something until nobody takes from the feed any more.
    pub(super) async fn keep(mut self, seeds: Several) {
        let seed = seeds.first.clone();
        let mut scout = Scout::new(self.access.clone(), seeds);
        let (mut backoff, doubt) = (Backoff::default(), Arc::clone(&self.shared.doubt));
        loop {
            let known: Vec<_> = self.members.keys().cloned().collect();
            let asked = tokio::select! {
                biased;
                () = self.ended() => return,
                asked = scout.ask(doubt.take_hint(), &known) => asked,
            };
            let pause = match asked {
                Ok(topology) => {
                    self.follow(&topology, &seed).await;
                    backoff = Backoff::default();
                    None
                }
                Err(reason) => {
                    self.unknown(&reason);
                    Some(backoff.after(Duration::ZERO, rand::random()))
                }
            };
            tokio::select! {
                biased;
                () = self.ended() => return,
                () = rest(&doubt, pause) => {}
            }
        }
    }

    /// Waits until there is no use for links any more.
    async fn ended(&mut self) {
        loop {
            let ended = tokio::select! {
                () = self.feed.closed() => return,
                Some(ended) = self.links.join_next() => ended,
            };
            match ended {
                Ok(()) => return,
                Err(failure) if failure.is_cancelled() => {}
                Err(failure) => panic::resume_unwind(failure.into_panic()),
            }
        }
    }

    /// Makes links and partitions be where the topology says.
    async fn follow(&mut self, topology: &Topology, seed: &Endpoint) {
        self.note(topology);
        let owners: Vec<_> = Partition::every()
            .map(|partition| topology.owner(partition).map(|owner| self.member(owner, topology, seed)))
            .collect();
        self.rename_heartbeats(topology);
        moves::carry_out(&self.shared, |partition| owners.get(partition.index()).cloned().flatten()).await;
        self.retire();
    }

    /// The member at an address, which is made one if it is none.
    fn member(&mut self, address: &Address, topology: &Topology, seed: &Endpoint) -> Arc<Member> {
        if let Some(linked) = self.members.get(address) {
            return Arc::clone(&linked.member);
        }
        let endpoint = seed.at(address.host.clone(), address.port);
        let (id, shared) = (MemberId(self.next), Arc::clone(&self.shared));
        self.next += 1;
        let heartbeat = shared.names.heartbeat(shared.node, variant(shared.node, topology, address));
        let member = Member::new(id, Some(endpoint.to_string()), heartbeat, &shared.interest, &shared.metrics);
        info!(redis = %endpoint, "a server of the cluster has channels");
        let link =
            Link { shared, member: Arc::clone(&member), access: self.access.to(endpoint), feed: self.feed.clone() };
        let leaves = Leaves(Arc::clone(&member));
        let link = self.links.spawn(async move {
            // Dropped last: the link is down before its server is forgotten.
            let _leaves = leaves;
            link.keep().await;
        });
        self.members.insert(address.clone(), Linked { member: Arc::clone(&member), link, idle: false });
        member
    }

    /// Where a server has lost the slot of this node's heartbeats they go to another one.
    fn rename_heartbeats(&self, topology: &Topology) {
        let Shared { names, node, .. } = &*self.shared;
        for (address, Linked { member, .. }) in &self.members {
            let old = member.heartbeat();
            let is_there =
                |name: &str| tag(name).is_some_and(|tag| topology.primary(slot::of_tag(tag)) == Some(address));
            if !is_there(&old) && topology.primaries().contains(address) {
                let new = names.heartbeat(*node, variant(*node, topology, address));
                member.rename_heartbeat(new.clone());
                member.interest.rename(member.id, &old, &new);
            }
        }
    }

    /// Ends links to servers that have had nothing for a while, neither partitions nor subscriptions.
    fn retire(&mut self) {
        let kept: Vec<_> = self.shared.route.members().iter().map(|member| member.id).collect();
        for linked in self.members.values_mut() {
            let Linked { member, link, idle } = linked;
            let has_nothing = !kept.contains(&member.id) && (!member.is_up() || member.interest.is_vacant(member.id));
            if has_nothing && *idle {
                link.abort();
            }
            *idle = has_nothing;
        }
        self.members.retain(|_, linked| !linked.link.is_finished());
    }

    fn note(&mut self, topology: &Topology) {
        let missing = topology.missing();
        let told =
            if missing == 0 { String::new() } else { format!("{missing} of {SLOTS} slots are served by no server") };
        if told != self.told && missing > 0 {
            warn!(missing, "slots of the Redis Cluster are served by no server");
        }
        self.told = told;
    }

    /// Nobody says who has what.
    fn unknown(&mut self, reason: &str) {
        let reason = refusal::explained(&self.access.scrub(reason));
        if reason == self.told {
            debug!(reason, "the servers of the Redis Cluster are still unknown");
        } else {
            warn!(reason, "the servers of the Redis Cluster are unknown");
        }
        self.shared.route.lost(&reason);
        self.told = reason;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.route.end();
    }
}

/// Forgets a server when its link is gone.
struct Leaves(Arc<Member>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Waits until it is to be asked again: for `pause`, or until something is doubtful.
async fn rest(doubt: &Doubt, pause: Option<Duration>) {
    sleep(pause.unwrap_or(FLOOR)).await;
    if pause.is_none() {
        // Nodes don't ask all at once.
        let longest = INTERVAL.mul_f64(0.75 + rand::random::<f64>() / 2.0);
        // That nothing is doubtful is as good.
        let _ = timeout(longest, doubt.raised()).await;
    }
}

/// Which of the names of a node's heartbeats is in a slot of the server at `address`.
pub(super) fn variant(node: NodeId, topology: &Topology, address: &Address) -> u32 {
    let is_there = |variant: &u32| topology.primary(slot::of_tag(&heartbeat_tag(node, *variant))) == Some(address);
    (0..TAGS).find(is_there).unwrap_or_default()
}
