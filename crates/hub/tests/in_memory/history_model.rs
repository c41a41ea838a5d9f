//! Random publications with places, losses and new epochs against subscribers who come from anywhere: everyone gets the
//! run that follows their place, no more and no less.

use crate::support::{
    Client, Fixture, Frame, Place, Placed, channel, has, place, placed, placed_of, position, settle, text,
};
use fanwire_hub::{Hub, Joined};
use fanwire_protocol::{Delivery, Dialect, Target};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use tokio::{sync::mpsc, sync::oneshot, task::JoinHandle};

/// The broadcasts and two channels.
const TARGETS: [&str; 3] = ["", "a", "b"];

/// More than a turn serves, so that fan-outs yield.
const AUDIENCE: usize = 150;

const CLIENTS: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Some are new, and before them some come again.
    Publish {
        target: usize,
        count: u64,
        again: u64,
    },
    Lose {
        target: usize,
        count: u64,
    },
    Epoch {
        target: usize,
        count: u64,
    },
    /// From so far behind the newest place, or from an earlier epoch.
    Join {
        client: usize,
        target: usize,
        behind: u64,
        epochs: u64,
    },
    Leave {
        client: usize,
        target: usize,
    },
    Vanish {
        client: usize,
    },
    Read {
        client: usize,
        bytes: usize,
    },
    Turns(usize),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, target) = (0..CLIENTS, 0..TARGETS.len());
    let behind = prop_oneof![6 => 0..8u64, 3 => 0..60u64, 1 => 0..400u64];
    let epochs = prop_oneof![9 => Just(0), 1 => Just(1u64)];
    prop_oneof![
        12 => (target.clone(), 1..30u64, 0..5u64).prop_map(|(target, count, again)| Step::Publish { target, count, again }),
        1 => (target.clone(), 1..5u64).prop_map(|(target, count)| Step::Lose { target, count }),
        1 => (target.clone(), 0..5u64).prop_map(|(target, count)| Step::Epoch { target, count }),
        12 => (client.clone(), target, behind, epochs)
            .prop_map(|(client, target, behind, epochs)| Step::Join { client, target, behind, epochs }),
        3 => (client.clone(), 1..TARGETS.len()).prop_map(|(client, target)| Step::Leave { client, target }),
        1 => client.clone().prop_map(|client| Step::Vanish { client }),
        6 => (client, 1..4000usize).prop_map(|(client, bytes)| Step::Read { client, bytes }),
        12 => (1..4usize).prop_map(Step::Turns),
        2 => Just(Step::Settle),
    ]
}

fn target(index: usize) -> Target {
    if index == 0 { Target::Broadcast } else { Target::Channel(channel(TARGETS[index])) }
}

/// Everything that the relay was given for a target, in order, and how much of it is surely fanned out.
#[derive(Debug, Clone, Default)]
struct Log {
    items: Vec<Placed>,
    settled: usize,
}

impl Log {
    fn newest(&self) -> Place {
        self.items.last().map_or((0, 0), |item| item.place())
    }

    fn messages_at_the_end(&self) -> u64 {
        let is_message = |item: &&Placed| matches!(item, Placed::Message(_));
        self.items.iter().rev().take_while(is_message).count().try_into().unwrap()
    }

    /// What somebody at `place` is to get, and how much of it is surely fanned out.
    fn behind(&self, place: Place) -> (Vec<Placed>, usize) {
        let had = self.items.iter().rposition(|item| has(place, item.place()));
        let first = had.map(|index| index + 1);
        let first = first.or_else(|| self.items.iter().position(|item| item.place().0 == place.0)).unwrap_or(0);
        (self.items[first..].to_vec(), self.settled.saturating_sub(first))
    }
}

type Logs = Arc<Mutex<[Log; TARGETS.len()]>>;

/// What the relay does, in order.
enum Order {
    Deliver(Vec<Delivery>),
    Lost(usize, Place),
    /// Says where it stands.
    Follow(usize, Place, oneshot::Sender<()>),
}

async fn relay(hub: Hub, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Deliver(deliveries) => hub.deliver(deliveries).await.unwrap(),
            Order::Lost(index, place) => hub.lost(&target(index), &position(place)).await.unwrap(),
            Order::Follow(index, place, done) => {
                hub.at(&target(index), &position(place)).await.unwrap();
                let _ = done.send(());
            }
        }
    }
}

/// One stay of a client at a target: from which place, and how much is promised at its end.
#[derive(Debug)]
struct Stay {
    from: Place,
    /// Of what stands behind `from`, how much surely came before the end; or the place of the end.
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    AtLeast(usize),
    Exactly(Place),
}

/// What a join came to: where the stay before it ended, if that is known, and from where the client is live.
type Coming = JoinHandle<(Option<Place>, Place)>;

struct Member {
    client: Client,
    frames: Vec<Frame>,
    stays: [Vec<Stay>; TARGETS.len()],
    coming: [Option<Coming>; TARGETS.len()],
}

impl Member {
    async fn new(fixture: &Fixture, capacity: usize) -> Self {
        let client = fixture.connect_narrow(capacity).await;
        let from = place(client.place.as_ref().unwrap());
        let stays = [vec![Stay { from, end: None }], Vec::new(), Vec::new()];
        Self { client, frames: Vec::new(), stays, coming: Default::default() }
    }

    fn is_in(&self, index: usize) -> bool {
        self.stays[index].last().is_some_and(|stay| stay.end.is_none())
    }

    /// Takes notice of joins that have come to an end.
    async fn arrive(&mut self, wait: bool) {
        for (coming, stays) in self.coming.iter_mut().zip(&mut self.stays) {
            if coming.as_ref().is_some_and(|coming| wait || coming.is_finished()) {
                let (end, from) = coming.take().unwrap().await.unwrap();
                if let (Some(end), Some(stay)) = (end, stays.last_mut()) {
                    stay.end = Some(End::Exactly(end));
                }
                stays.push(Stay { from, end: None });
            }
        }
    }

    fn join(&mut self, index: usize, from: Place, logs: &Logs, orders: &mpsc::UnboundedSender<Order>) {
        let (shard, key, logs) = (self.client.shard.clone(), self.client.key, Arc::clone(logs));
        if index == 0 {
            self.coming[0] = Some(tokio::spawn(async move {
                let end = shard.pause_broadcasts(key).await.unwrap().map(|position| place(&position));
                shard.answer(key, text("paused").bytes()).await.unwrap();
                let mut from = from;
                while !shard.resume_broadcasts(key, position(from)).await.unwrap() {
                    from = logs.lock().unwrap()[0].newest();
                }
                (end, from)
            }));
            return;
        }
        let mut subscription = self.client.interest.subscribe(&channel(TARGETS[index]), 0);
        let (done, followed) = oneshot::channel();
        assert!(orders.send(Order::Follow(index, logs.lock().unwrap()[index].newest(), done)).is_ok());
        self.coming[index] = Some(tokio::spawn(async move {
            followed.await.unwrap();
            let (answer, mut from) = (text(&format!("joined {}", TARGETS[index])).bytes(), from);
            while let Joined::Behind(back) =
                shard.join_at(key, subscription, position(from), Some(answer.clone())).await.unwrap()
            {
                subscription = back;
                from = logs.lock().unwrap()[index].newest();
            }
            (None, from)
        }));
    }

    async fn leave(&mut self, index: usize, log: &Log) {
        self.client.leave(TARGETS[index]).await;
        let stay = self.stays[index].last_mut().unwrap();
        stay.end = Some(End::AtLeast(log.behind(stay.from).1));
    }

    /// What was received of a target in each stay.
    fn received(&self, index: usize) -> Vec<Vec<Placed>> {
        let name = TARGETS[index];
        let start = if index == 0 { text("paused") } else { text(&format!("joined {name}")) };
        let mut stays = vec![Vec::new()];
        for frame in &self.frames {
            if *frame == start {
                stays.push(Vec::new());
            }
            stays.last_mut().unwrap().extend(placed_of(frame, name));
        }
        // Before its first answer a channel has no stay.
        if index > 0 {
            assert_eq!(stays.remove(0), []);
        }
        stays
    }

    fn check(&self, index: usize, log: &Log) {
        let received = self.received(index);
        assert_eq!(received.len(), self.stays[index].len());
        for (items, stay) in received.iter().zip(&self.stays[index]) {
            let (expected, _) = log.behind(stay.from);
            let (least, most) = match stay.end {
                None => (expected.len(), expected.len()),
                Some(End::AtLeast(count)) => (count, expected.len()),
                Some(End::Exactly(end)) => {
                    let count = expected.iter().rposition(|item| has(end, item.place())).map_or(0, |index| index + 1);
                    (count, count)
                }
            };
            assert!((least..=most).contains(&items.len()), "{stay:?}: {items:?} of {expected:?}");
            assert_eq!(items[..], expected[..items.len()], "{stay:?}");
        }
    }
}

struct World {
    fixture: Fixture,
    logs: Logs,
    orders: mpsc::UnboundedSender<Order>,
    members: Vec<Option<Member>>,
}

impl World {
    async fn new(capacity: usize) -> (Self, Vec<Client>) {
        let fixture = Fixture::with(1, |config| config.outbox_limit = 1 << 30);
        fixture.hub.at(&Target::Broadcast, &position((0, 0))).await.unwrap();
        let mut audience = Vec::new();
        for _ in 0..AUDIENCE {
            let client = fixture.connect(Dialect::Json).await;
            assert!(client.join_at("a", position((0, 0))).await);
            audience.push(client);
        }
        let (orders, receiver) = mpsc::unbounded_channel();
        tokio::spawn(relay(fixture.hub.clone(), receiver));
        let mut members = Vec::new();
        for _ in 0..CLIENTS {
            members.push(Some(Member::new(&fixture, capacity).await));
        }
        fixture.stall(0, true);
        (Self { fixture, logs: Logs::default(), orders, members }, audience)
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok());
    }

    async fn take(&mut self, step: Step) {
        for member in self.members.iter_mut().flatten() {
            member.arrive(false).await;
        }
        match step {
            Step::Publish { target, count, again } => self.publish(target, count, again),
            Step::Lose { target, count } => {
                let (epoch, offset) = self.newest(target);
                self.lose(target, (epoch, offset + count));
            }
            Step::Epoch { target, count } => self.lose(target, (self.newest(target).0 + 1, count)),
            Step::Join { client, target, behind, epochs } => self.join(client, target, behind, epochs),
            Step::Leave { client, target } => self.leave(client, target).await,
            Step::Vanish { client } => {
                if let Some(member) = self.members[client].take() {
                    member.client.gone().await;
                }
            }
            Step::Read { client, bytes } => {
                if let Some(member) = &mut self.members[client] {
                    member.frames.extend(member.client.read_some(bytes).await);
                }
            }
            Step::Turns(count) => {
                for _ in 0..count {
                    self.fixture.turn().await;
                }
            }
            Step::Settle => {
                self.settle().await;
                self.fixture.stall(0, true);
            }
        }
    }

    fn newest(&self, target: usize) -> Place {
        self.logs.lock().unwrap()[target].newest()
    }

    fn publish(&mut self, target: usize, count: u64, again: u64) {
        let (epoch, offset) = self.newest(target);
        let again = again.min(self.logs.lock().unwrap()[target].messages_at_the_end());
        let deliveries = (offset + 1 - again..=offset + count).map(|offset| placed(TARGETS[target], (epoch, offset)));
        self.order(Order::Deliver(deliveries.collect()));
        let items = (offset + 1..=offset + count).map(|offset| Placed::Message((epoch, offset)));
        self.logs.lock().unwrap()[target].items.extend(items);
    }

    fn lose(&mut self, target: usize, place: Place) {
        self.order(Order::Lost(target, place));
        self.logs.lock().unwrap()[target].items.push(Placed::Lost(place));
    }

    fn join(&mut self, client: usize, target: usize, behind: u64, epochs: u64) {
        let (epoch, offset) = self.newest(target);
        let from = (epoch.saturating_sub(epochs), offset.saturating_sub(behind));
        if let Some(member) = &mut self.members[client]
            && member.coming[target].is_none()
            && (target == 0 || !member.is_in(target))
        {
            member.join(target, from, &self.logs, &self.orders);
        }
    }

    async fn leave(&mut self, client: usize, target: usize) {
        let log = self.logs.lock().unwrap()[target].clone();
        if let Some(member) = &mut self.members[client]
            && member.coming[target].is_none()
            && member.is_in(target)
        {
            member.leave(target, &log).await;
        }
    }

    async fn settle(&mut self) {
        self.fixture.stall(0, false);
        settle().await;
        self.logs.lock().unwrap().iter_mut().for_each(|log| log.settled = log.items.len());
    }

    async fn check(mut self, audience: &mut [Client]) {
        self.settle().await;
        let logs = self.logs.lock().unwrap().clone();
        for member in self.members.iter_mut().flatten() {
            member.frames.extend(member.client.frames().await);
            member.arrive(true).await;
            (0..TARGETS.len()).for_each(|index| member.check(index, &logs[index]));
        }
        for client in audience {
            let frames = client.frames().await;
            for index in [0, 1] {
                let items: Vec<_> = frames.iter().filter_map(|frame| placed_of(frame, TARGETS[index])).collect();
                assert_eq!(items, logs[index].items);
            }
        }
        assert_eq!(self.fixture.metric("fanwire_outbox_bytes", ""), 0);
    }
}

async fn check(capacity: usize, steps: Vec<Step>) {
    let (mut world, mut audience) = World::new(capacity).await;
    for step in steps {
        world.take(step).await;
    }
    world.check(&mut audience).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn everyone_gets_exactly_what_follows_their_place(
        capacity in 1..2000usize,
        steps in prop::collection::vec(step(), 1..100),
    ) {
        crate::support::run(check(capacity, steps));
    }
}
