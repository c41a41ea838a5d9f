#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{
    presence::{Entry, Membership},
    testing::{Asked, Calls, Scripted, namespaces, settle},
};
use fanwire_broker::Change;
use fanwire_protocol::{ChannelName, ConnectionId, Member, NodeId};
use prometheus::Registry;
use tokio::{sync::oneshot, task::JoinHandle};

struct Rig {
    presence: Arc<Presence>,
    broker: Arc<Scripted>,
    calls: Calls,
    metrics: Metrics,
}

type Answer<T> = oneshot::Sender<Result<T, ReadError>>;

impl Rig {
    fn start() -> Self {
        let (broker, calls) = Scripted::new();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let presence = Arc::new(Presence::new(metrics.presence.members.clone()));
        let as_broker: Arc<dyn Broker> = Arc::<Scripted>::clone(&broker);
        let keeper = Keeper::new(Arc::clone(&presence), as_broker, Arc::new(namespaces(0)), metrics.clone());
        tokio::spawn(keeper.run());
        Self { presence, broker, calls, metrics }
    }

    fn enter(&self, sequence: u64) -> JoinHandle<Box<Membership>> {
        let member = Member { connection: id(sequence), user: None, info: None };
        let channel = ChannelName::parse("room:1").unwrap();
        tokio::spawn(Entry { presence: Arc::clone(&self.presence), channel, member }.enter())
    }

    async fn sign(&mut self) -> Answer<Shown> {
        match self.calls.next().await {
            Asked::ShowLife(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The next sign of life, answered.
    async fn shown(&mut self, standing: Standing) {
        self.sign().await.send(Ok(Shown { standing, dead: Vec::new() })).unwrap();
    }

    async fn change(&mut self) -> (Vec<Change>, Answer<Changed>) {
        match self.calls.next().await {
            Asked::Change(changes, answer) => {
                assert!(changes.told);
                (changes.changes, answer)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next change, carried out.
    async fn changed(&mut self) -> Vec<Change> {
        let (changes, answer) = self.change().await;
        answer.send(Ok(Changed { joined: 1, ..Changed::default() })).unwrap();
        changes
    }
}

fn id(sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(7), sequence)
}

fn entered(sequence: u64) -> Change {
    Change::Enter(Arc::new(Member { connection: id(sequence), user: None, info: None }))
}

fn returned(sequence: u64) -> Change {
    Change::Return(Arc::new(Member { connection: id(sequence), user: None, info: None }))
}

#[tokio::test(start_paused = true)]
async fn nobody_enters_before_the_node_was_shown_to_live() {
    let mut rig = Rig::start();
    let entering = rig.enter(1);
    let sign = rig.sign().await;
    settle().await;
    assert!(rig.calls.is_empty());
    sign.send(Ok(Shown { standing: Standing::Kept, dead: Vec::new() })).unwrap();
    assert_eq!(rig.changed().await, [entered(1)]);
    let membership = entering.await.unwrap();
    assert_eq!(rig.metrics.presence.members.get(), 1);
    drop(membership);
    assert_eq!(rig.metrics.presence.members.get(), 0);
    assert_eq!(rig.changed().await, [Change::Leave(id(1))]);
    rig.presence.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_given_up_while_entering_leaves() {
    let mut rig = Rig::start();
    rig.shown(Standing::Kept).await;
    let entering = rig.enter(1);
    let (_, answer) = rig.change().await;
    entering.abort();
    settle().await;
    answer.send(Ok(Changed::default())).unwrap();
    assert_eq!(rig.changed().await, [Change::Leave(id(1))]);
    rig.presence.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_does_not_wait_for_ever() {
    let mut rig = Rig::start();
    rig.shown(Standing::Kept).await;
    let entering = rig.enter(1);
    let (_, answer) = rig.change().await;
    let since = Instant::now();
    let _membership = entering.await.unwrap();
    assert_eq!(since.elapsed(), Duration::from_secs(2));
    // Nobody knows whether it is there: asked again, behind the sign that came in between.
    answer.send(Err(ReadError::Timeout)).unwrap();
    rig.shown(Standing::Kept).await;
    assert_eq!(rig.changed().await, [entered(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_returns_and_what_was_removed_joins() {
    let mut rig = Rig::start();
    rig.shown(Standing::Kept).await;
    let _membership = rig.enter(1);
    rig.changed().await;
    rig.shown(Standing::Lost).await;
    assert_eq!(rig.changed().await, [returned(1)]);
    rig.shown(Standing::Removed).await;
    assert_eq!(rig.changed().await, [entered(1)]);
    rig.shown(Standing::Kept).await;
    settle().await;
    assert!(rig.calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_link_is_shown_life_at_once() {
    let mut rig = Rig::start();
    rig.shown(Standing::Kept).await;
    settle().await;
    rig.broker.set_link(LinkState::Down("cut".to_owned()));
    settle().await;
    let _entering = rig.enter(1);
    settle().await;
    assert!(rig.calls.is_empty(), "nothing is asked of a link that is down");
    let since = Instant::now();
    rig.broker.set_link(LinkState::Up);
    rig.shown(Standing::Lost).await;
    assert!(since.elapsed() < Duration::from_millis(100));
    assert_eq!(rig.changed().await, [entered(1)]);
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_removed_one_after_the_other_and_failures_counted() {
    let mut rig = Rig::start();
    let dead = |name: &str| DeadNode::named(name);
    let both = vec![dead("8.1"), dead("9.1")];
    rig.sign().await.send(Ok(Shown { standing: Standing::Kept, dead: both })).unwrap();
    let Asked::Remove(first, answer) = rig.calls.next().await else { panic!("a removal was expected") };
    assert_eq!(first, dead("8.1"));
    settle().await;
    assert!(rig.calls.is_empty());
    answer.send(Ok(Removed { members: 3, leases: 2 })).unwrap();
    let Asked::Remove(second, answer) = rig.calls.next().await else { panic!("a removal was expected") };
    assert_eq!(second, dead("9.1"));
    answer.send(Err(ReadError::Timeout)).unwrap();
    settle().await;
    assert_eq!(rig.metrics.presence.counted(), [0, 0, 0, 3, 1]);
    assert_eq!(rig.metrics.leases.counted(), [0, 2]);
}
