#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{
    metrics::Metrics,
    presence::Keeper,
    testing::{Asked, Calls, Scripted, namespaces, settle},
};
use fanwire_broker::{Change, Changed, Shown, Standing};
use fanwire_protocol::NodeId;
use prometheus::Registry;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

struct Rig {
    leases: Arc<Leases>,
    broker: Arc<Scripted>,
    calls: Calls,
    metrics: Metrics,
}

type Taking = JoinHandle<Result<HeldLease, NoPlace>>;

fn id(sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(7), sequence)
}

impl Rig {
    fn start(when_unknown: WhenUnknown) -> Self {
        let (broker, calls) = Scripted::new();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let presence = Arc::new(Presence::new(metrics.presence.members.clone()));
        let as_broker: Arc<dyn Broker> = Arc::<Scripted>::clone(&broker);
        let keeper =
            Keeper::new(Arc::clone(&presence), Arc::clone(&as_broker), Arc::new(namespaces(0)), metrics.clone());
        tokio::spawn(keeper.run());
        let everywhere = Everywhere { limit: 3, when_unknown };
        let leases = Arc::new(Leases::new(presence, as_broker, everywhere, metrics.leases.clone()));
        Self { leases, broker, calls, metrics }
    }

    /// A node that was shown to live.
    async fn shown(when_unknown: WhenUnknown) -> Self {
        let mut rig = Self::start(when_unknown);
        rig.show(Standing::Kept).await;
        settle().await;
        rig
    }

    async fn show(&mut self, standing: Standing) {
        let Asked::ShowLife(answer) = self.calls.next().await else { panic!("a sign was expected") };
        answer.send(Ok(Shown { standing, dead: Vec::new() })).unwrap();
    }

    fn take(&self, here: usize) -> Taking {
        let leases = Arc::clone(&self.leases);
        tokio::spawn(async move { leases.take(&UserId::parse("zoe").unwrap(), id(1), here).await })
    }

    async fn asked(&mut self) -> oneshot::Sender<Result<bool, ReadError>> {
        let Asked::Lease(lease, answer) = self.calls.next().await else { panic!("a lease was expected") };
        assert_eq!((lease.user.as_str(), lease.connection, lease.limit), ("zoe", id(1), 3));
        answer
    }

    /// The next change of leases, carried out.
    async fn changed(&mut self) -> Vec<Change> {
        loop {
            match self.calls.next().await {
                Asked::Change(changes, answer) => {
                    assert!(changes.channel.is_of_leases() && !changes.told);
                    answer.send(Ok(Changed { joined: 1, ..Changed::default() })).unwrap();
                    return changes.changes;
                }
                Asked::ShowLife(answer) => {
                    answer.send(Ok(Shown { standing: Standing::Kept, dead: Vec::new() })).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn emptied(&self) {
        self.leases.presence.emptied().await;
        assert_eq!(self.metrics.leases.held.get(), 0);
    }
}

fn member() -> Arc<fanwire_protocol::Member> {
    Lease { user: UserId::parse("zoe").unwrap(), connection: id(1), limit: 3 }.member()
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_is_held_and_given_back() {
    let mut rig = Rig::shown(WhenUnknown::Allow).await;
    let taking = rig.take(2);
    rig.asked().await.send(Ok(true)).unwrap();
    let lease = taking.await.unwrap().unwrap();
    settle().await;
    assert!(rig.calls.is_empty(), "what is there is not put there again");
    assert_eq!(rig.metrics.leases.held.get(), 1);
    drop(lease);
    assert_eq!(rig.changed().await, [Change::Leave(id(1))]);
    rig.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_leaves_nothing_behind() {
    let mut rig = Rig::shown(WhenUnknown::Allow).await;
    let taking = rig.take(0);
    rig.asked().await.send(Ok(false)).unwrap();
    assert_eq!(taking.await.unwrap().err(), Some(NoPlace::Everywhere));
    assert_eq!(rig.take(3).await.unwrap().err(), Some(NoPlace::Everywhere));
    settle().await;
    assert!(rig.calls.is_empty(), "a node that knows of as many itself asks nobody");
    rig.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_is_waited_for_500_ms() {
    for (when_unknown, expected) in [
        (WhenUnknown::Allow, Change::Enter(member())),
        // It may have been granted, or may yet be.
        (WhenUnknown::Refuse, Change::Leave(id(1))),
    ] {
        let mut rig = Rig::shown(when_unknown).await;
        let (taking, since) = (rig.take(0), Instant::now());
        let _answer = rig.asked().await;
        let outcome = taking.await.unwrap();
        assert_eq!(since.elapsed(), WITHIN);
        assert_eq!(outcome.is_ok(), when_unknown == WhenUnknown::Allow);
        assert!(!matches!(outcome, Err(NoPlace::Everywhere | NoPlace::Here)));
        assert_eq!(rig.changed().await, [expected]);
        settle().await;
        assert!(rig.calls.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_not_shown_to_live_waits_for_that_and_no_longer() {
    let mut rig = Rig::start(WhenUnknown::Refuse);
    let taking = rig.take(0);
    sleep(Duration::from_millis(100)).await;
    rig.show(Standing::Kept).await;
    rig.asked().await.send(Ok(true)).unwrap();
    assert!(taking.await.unwrap().is_ok());

    let rig = Rig::start(WhenUnknown::Refuse);
    let (taking, since) = (rig.take(0), Instant::now());
    assert_eq!(taking.await.unwrap().err(), Some(NoPlace::Unknown));
    assert_eq!(since.elapsed(), WITHIN);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_link_that_is_down_and_leases_are_made_up_for() {
    let mut rig = Rig::shown(WhenUnknown::Allow).await;
    rig.broker.set_link(LinkState::Down("cut".to_owned()));
    settle().await;
    let (taking, since) = (rig.take(0), Instant::now());
    let lease = taking.await.unwrap().unwrap();
    assert_eq!(since.elapsed(), Duration::ZERO);
    settle().await;
    assert!(rig.calls.is_empty());
    rig.broker.set_link(LinkState::Up);
    assert_eq!(rig.changed().await, [Change::Enter(member())]);
    settle().await;
    assert_eq!(rig.metrics.leases.counted(), [1, 0]);
    drop(lease);
    assert_eq!(rig.changed().await, [Change::Leave(id(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_it_waits_gives_its_place_back() {
    let mut rig = Rig::shown(WhenUnknown::Allow).await;
    let taking = rig.take(0);
    let answer = rig.asked().await;
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    drop(answer);
    assert_eq!(rig.changed().await, [Change::Leave(id(1))]);
    rig.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_or_removed_is_put_back() {
    let mut rig = Rig::shown(WhenUnknown::Allow).await;
    let taking = rig.take(0);
    rig.asked().await.send(Ok(true)).unwrap();
    let _lease = taking.await.unwrap().unwrap();
    rig.show(Standing::Lost).await;
    assert_eq!(rig.changed().await, [Change::Return(member())]);
    rig.show(Standing::Removed).await;
    assert_eq!(rig.changed().await, [Change::Enter(member())]);
    settle().await;
    assert_eq!(rig.metrics.leases.counted(), [2, 0]);
    assert_eq!(rig.metrics.presence.counted(), [0; 5]);
}
