#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Accepted,
    redis::{
        interest::Interest,
        ticket::{ANSWER_WITHIN, Ticket},
    },
};
use prometheus::Registry;
use tokio::time::Instant;

struct Rig {
    route: Arc<Route>,
    members: Vec<Arc<Member>>,
    metrics: Arc<RedisMetrics>,
}

impl Rig {
    fn new(places: &[Option<&str>]) -> Self {
        let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
        let interest = Arc::new(Interest::new([], Arc::clone(&metrics)));
        let member = |(id, place): (u32, &Option<&str>)| {
            Member::new(MemberId(id), place.map(str::to_owned), "h".into(), &interest, &metrics)
        };
        let members: Vec<_> = (0..).zip(places).map(member).collect();
        let rig = Self { route: Arc::new(Route::new(Arc::clone(&metrics))), members, metrics };
        rig.route.set(|partition, _| Way::To(Arc::clone(&rig.members[partition.index() % rig.members.len()])));
        rig
    }

    fn job(&self, partition: usize) -> (Job, Accepted) {
        let (ticket, accepted) = Ticket::new(Arc::clone(&self.metrics));
        let partition = Partition::every().nth(partition).unwrap();
        (Job { name: "c".into(), partition, payload: vec![1], keep: None, ticket }, accepted)
    }

    fn link(&self, member: usize, state: LinkState) {
        self.members[member].set_link(state);
        self.route.report();
    }
}

fn down(reason: &str) -> LinkState {
    LinkState::Down(reason.to_owned())
}

#[tokio::test]
async fn each_publication_goes_to_its_server_and_nowhere_without_a_link() {
    let rig = Rig::new(&[Some("a"), Some("b")]);
    let mut queue = rig.members[1].gate.open(4);
    assert!(rig.route.take_in(rig.job(0).0).await.is_err());
    rig.route.take_in(rig.job(1).0).await.unwrap();
    assert_eq!(queue.recv().await.unwrap().partition.index(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_partition_on_its_way_waits_and_then_goes_to_the_new_server() {
    let rig = Rig::new(&[Some("a"), Some("b")]);
    let (mut old, mut new) = (rig.members[0].gate.open(4), rig.members[1].gate.open(4));
    rig.route.set(|_, _| Way::Moving(Arc::clone(&rig.members[1])));
    let taking = tokio::spawn({
        let (route, job) = (Arc::clone(&rig.route), rig.job(0).0);
        async move { route.take_in(job).await }
    });
    tokio::task::yield_now().await;
    assert!(!taking.is_finished());
    rig.route.set(|_, _| Way::To(Arc::clone(&rig.members[1])));
    taking.await.unwrap().unwrap();
    assert!(new.recv().await.is_some() && old.try_recv().is_err());

    rig.route.set(|_, _| Way::Moving(Arc::clone(&rig.members[1])));
    let since = Instant::now();
    assert_eq!(rig.route.take_in(rig.job(0).0).await, Err(PublishError::Unavailable(ON_ITS_WAY.to_owned())));
    assert!(since.elapsed() <= ANSWER_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn one_who_waited_for_room_does_not_come_behind_a_move() {
    let rig = Rig::new(&[Some("a"), Some("b")]);
    let (mut old, mut new) = (rig.members[0].gate.open(1), rig.members[1].gate.open(1));
    rig.route.take_in(rig.job(0).0).await.unwrap();
    let taking = tokio::spawn({
        let (route, job) = (Arc::clone(&rig.route), rig.job(0).0);
        async move { route.take_in(job).await }
    });
    tokio::task::yield_now().await;
    rig.route.set(|_, _| Way::To(Arc::clone(&rig.members[1])));
    assert!(old.recv().await.is_some());
    taking.await.unwrap().unwrap();
    assert!(new.recv().await.is_some() && old.try_recv().is_err());
}

#[test]
fn the_whole_is_up_when_all_are_and_says_which_are_not() {
    let rig = Rig::new(&[Some("a"), Some("b")]);
    let link = rig.route.link();
    rig.link(0, LinkState::Up);
    assert!(matches!(&*link.borrow(), LinkState::Starting(reason) if reason.starts_with("b: ")));
    rig.link(1, LinkState::Up);
    assert_eq!(*link.borrow(), LinkState::Up);
    assert_eq!(rig.metrics.link_up.get(), 1);
    rig.link(0, down("reset"));
    assert_eq!(*link.borrow(), down("a: reset"));
    rig.link(1, down("silent"));
    assert_eq!(*link.borrow(), down("a: reset; b: silent"));
    assert_eq!(*rig.route.link_to(Partition::every().nth(1).unwrap()).borrow(), down("silent"));
    // One that has nothing any more does not count.
    rig.link(1, LinkState::Up);
    rig.route.set(|_, _| Way::To(Arc::clone(&rig.members[1])));
    assert_eq!(*link.borrow(), LinkState::Up);
}

#[test]
fn one_server_needs_no_name() {
    let rig = Rig::new(&[None]);
    rig.link(0, LinkState::Up);
    rig.link(0, down("reset"));
    assert_eq!(*rig.route.link().borrow(), down("reset"));
}

#[test]
fn servers_that_nobody_knows_have_a_reason() {
    let route = Route::new(Arc::new(RedisMetrics::register(&Registry::new()).unwrap()));
    route.lost("refused");
    assert_eq!(*route.link().borrow(), LinkState::Starting("refused".to_owned()));
    assert_eq!(route.owner(Partition::BROADCASTS), Owner::Nobody);
}
