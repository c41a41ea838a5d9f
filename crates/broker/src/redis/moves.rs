//! Moves partitions from server to server.

use crate::{
    LinkState,
    partition::{Partition, Partitions},
    redis::{Shared, job::Job, member::Member, publisher::Withdraw, route::Way},
};
use futures_util::future::join_all;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    time::{timeout, timeout_at},
};

/// How long what moves waits for a link to its new server. What is published waits no longer than 2 s altogether.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes every partition be at its `owner`; those without one stay where they were.
///
/// Nothing is taken in for a partition on its way. What its old server did not take goes to the new one first, when
/// nothing of it is under way any more at the old one. Subscriptions follow by themselves.
pub(super) async fn carry_out(shared: &Shared, owner: impl Fn(Partition) -> Option<Arc<Member>>) {
    let route = &shared.route;
    let moving = route.where_way(|partition, way| {
        owner(partition).is_some_and(|owner| matches!(way, Way::To(member) if member.id != owner.id))
    });
    let left = left_by(shared, &moving);
    route.set(|partition, way| match owner(partition) {
        Some(owner) if moving.contains(partition) => Way::Moving(owner),
        Some(owner) => Way::To(owner),
        None => way.clone(),
    });
    settle(shared, &left);
    if moving.is_empty() {
        return;
    }
    let withdrawn = join_all(left.iter().map(|(member, partitions)| withdraw(member, *partitions))).await;
    let new = route.members();
    let arriving = new.iter().filter(|member| moving_to(shared, member));
    join_all(arriving.map(|member| is_up(member))).await;
    for job in withdrawn.into_iter().flatten() {
        forward(shared, job).await;
    }
    route.set(|_, way| match way {
        Way::Moving(member) => Way::To(Arc::clone(member)),
        other => other.clone(),
    });
}

/// The members that lose partitions, and which.
fn left_by(shared: &Shared, moving: &Partitions) -> Vec<(Arc<Member>, Partitions)> {
    let of = |member: Arc<Member>| {
        let partitions = shared.route.where_way(|partition, way| moving.contains(partition) && way.leads_to(member.id));
        (member, partitions)
    };
    let members = shared.route.members().into_iter().map(of);
    members.filter(|(_, partitions)| !partitions.is_empty()).collect()
}

/// Tells members what they have, and what may have been missed of that.
fn settle(shared: &Shared, left: &[(Arc<Member>, Partitions)]) {
    let has = |member: &Arc<Member>| shared.route.where_way(|_, way| way.leads_to(member.id));
    for (member, _) in left {
        member.window.own(has(member));
    }
    let missed = shared.interest.reroute(|partition| shared.route.owner(partition));
    // A server that lives may have let go of something since the last heartbeat; what one that does not has published
    // since is lost.
    let rounds = left.iter().filter_map(|(member, _)| member.window.since());
    let since = rounds.min().unwrap_or_else(Instant::now);
    for member in shared.route.members() {
        let has = has(&member);
        member.window.own(has);
        let missed = missed.and(&has);
        if !missed.is_empty() {
            member.window.arrive(since, missed);
        }
    }
}

/// What a member has taken in for partitions that it does not have any more, and not published.
async fn withdraw(member: &Member, partitions: Partitions) -> Vec<Job> {
    let (answer, answered) = oneshot::channel();
    let Some(queue) = member.withdrawals.queue() else { return Vec::new() };
    if queue.send(Withdraw { partitions, answer }).await.is_err() {
        return Vec::new();
    }
    // The link, by which it is answered, is watched. When that ends everything has its answer.
    answered.await.unwrap_or_default()
}

fn moving_to(shared: &Shared, member: &Member) -> bool {
    !shared.route.where_way(|_, way| matches!(way, Way::Moving(to) if to.id == member.id)).is_empty()
}

async fn is_up(member: &Member) {
    // Without a link what is published is refused.
    let _ = timeout(PATIENCE, member.link.subscribe().wait_for(|state| *state == LinkState::Up)).await;
}

async fn forward(shared: &Shared, job: Job) {
    let Some(queue) = shared.route.member(job.partition).and_then(|member| member.gate.queue()) else {
        // The answer has gone its own way.
        let _ = job.ticket.refuse("the server that has the channel now can't be reached");
        return;
    };
    match timeout_at(job.ticket.deadline(), queue.reserve()).await {
        Ok(Ok(place)) => place.send(job),
        Ok(Err(_)) | Err(_) => drop(job),
    }
}
