//! Channels with a history: from a place on everything, in order, once.

use crate::support::{
    Client, Fixture, Place, Placed, broadcast, channel, except, placed, placed_of, position, settle, text, to_all,
};
use fanwire_protocol::{Dialect, Event, Target};
use tokio::task::JoinHandle;

/// More than a turn serves.
const MANY: usize = 300;

fn a() -> Target {
    Target::Channel(channel("a"))
}

async fn publish(fixture: &Fixture, name: &str, epoch: u64, offsets: std::ops::RangeInclusive<u64>) {
    fixture.deliver(offsets.map(|offset| placed(name, (epoch, offset)))).await;
}

/// What has come of a channel since it was last asked.
async fn received(client: &mut Client, name: &str) -> Vec<Placed> {
    client.frames().await.iter().filter_map(|frame| placed_of(frame, name)).collect()
}

fn messages(epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Vec<Placed> {
    offsets.map(|offset| Placed::Message((epoch, offset))).collect()
}

/// A client that is live in `a` behind `place`.
async fn live(fixture: &Fixture, place: Place) -> Client {
    let client = fixture.connect(Dialect::Json).await;
    assert!(client.join_at("a", position(place)).await);
    client
}

#[tokio::test(start_paused = true)]
async fn who_joins_behind_gets_the_answer_and_then_what_it_missed() {
    let fixture = Fixture::start();
    let _other = live(&fixture, (1, 0)).await;
    publish(&fixture, "a", 1, 1..=10).await;
    settle().await;
    let mut client = live(&fixture, (1, 4)).await;
    publish(&fixture, "a", 1, 11..=12).await;
    let frames = client.frames().await;
    assert_eq!(frames[0], text("joined a"));
    assert_eq!(frames[1], text(r#"{"type":"message","channel":"a","offset":5,"content":1000005}"#));
    let placed: Vec<_> = frames[1..].iter().filter_map(|frame| placed_of(frame, "a")).collect();
    assert_eq!((placed, frames.len()), (messages(1, 5..=12), 9));
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_middle_of_everything_is_exact() {
    let fixture = Fixture::start();
    let mut clients = Vec::new();
    for _ in 0..MANY {
        clients.push(live(&fixture, (1, 0)).await);
    }
    publish(&fixture, "a", 1, 1..=5).await;
    settle().await;
    fixture.stall(0, true);
    // One part is under way, one waits in the shard, one on the way to it.
    for offsets in [6..=8, 9..=11, 12..=14] {
        publish(&fixture, "a", 1, offsets).await;
        fixture.turn().await;
    }
    publish(&fixture, "a", 1, 15..=16).await;
    let mut joins: Vec<(u64, Client, JoinHandle<bool>)> = Vec::new();
    for place in 0..=20 {
        let mut client = clients.remove(0);
        client.leave("a").await;
        let join = tokio::spawn(client.join_at("a", position((1, place))));
        client.read_some(1 << 20).await;
        joins.push((place, client, join));
    }
    fixture.turn().await;
    fixture.stall(0, false);
    settle().await;
    publish(&fixture, "a", 1, 17..=25).await;
    for (place, mut client, join) in joins {
        assert!(join.await.unwrap());
        let frames = client.frames().await;
        let joined = frames.iter().position(|frame| *frame == text("joined a")).unwrap();
        let placed: Vec<_> = frames[joined..].iter().filter_map(|frame| placed_of(frame, "a")).collect();
        assert_eq!(placed, messages(1, place + 1..=25));
    }
    for client in &mut clients {
        assert_eq!(received(client, "a").await, messages(1, 1..=25));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_what_is_kept_reads_on() {
    let fixture = Fixture::start();
    let _other = live(&fixture, (1, 0)).await;
    for part in 0..30 {
        publish(&fixture, "a", 1, part * 10 + 1..=part * 10 + 10).await;
    }
    settle().await;
    let mut client = fixture.connect(Dialect::Json).await;
    assert!(!client.join_at("a", position((1, 43))).await);
    assert!(!client.join_at("a", position((2, 43))).await);
    assert_eq!(client.frames().await, []);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 1);
    assert!(client.join_at("a", position((1, 44))).await);
    assert_eq!(received(&mut client, "a").await, messages(1, 45..=300));
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_before_anybody_joined_is_not_lost() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    // The session is counted, asks where the history stands, and meanwhile it moves on.
    let subscription = client.interest.subscribe(&channel("a"), 0);
    fixture.hub.at(&a(), &position((1, 3))).await.unwrap();
    publish(&fixture, "a", 1, 4..=5).await;
    settle().await;
    assert!(client.join_at("a", position((1, 3))).await);
    drop(subscription);
    publish(&fixture, "a", 1, 6..=6).await;
    assert_eq!(received(&mut client, "a").await, messages(1, 4..=6));
    let behind = fixture.connect(Dialect::Json).await;
    assert!(!behind.join_at("a", position((1, 2))).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_what_they_have() {
    let fixture = Fixture::start();
    let mut client = live(&fixture, (1, 0)).await;
    let mut ahead = live(&fixture, (1, 7)).await;
    publish(&fixture, "a", 1, 1..=5).await;
    publish(&fixture, "a", 1, 3..=9).await;
    assert_eq!(received(&mut client, "a").await, messages(1, 1..=9));
    assert_eq!(received(&mut ahead, "a").await, messages(1, 8..=9));
    assert!(client.join_at("a", position((1, 2))).await);
    assert_eq!(client.frames().await, [text("joined a")]);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 2);
}

#[tokio::test(start_paused = true)]
async fn lost_stands_between_what_came_before_and_what_follows() {
    let fixture = Fixture::start();
    let mut clients = Vec::new();
    for _ in 0..MANY {
        clients.push(live(&fixture, (1, 0)).await);
    }
    let mut ahead = live(&fixture, (1, 15)).await;
    publish(&fixture, "a", 1, 1..=5).await;
    fixture.hub.lost(&a(), &position((1, 10))).await.unwrap();
    publish(&fixture, "a", 1, 11..=16).await;
    fixture.hub.lost(&a(), &position((1, 16))).await.unwrap();
    fixture.hub.lost(&a(), &position((2, 3))).await.unwrap();
    publish(&fixture, "a", 2, 4..=4).await;
    let end = [Placed::Lost((2, 3)), Placed::Message((2, 4))];
    for client in &mut clients {
        let expected = [messages(1, 1..=5), vec![Placed::Lost((1, 10))], messages(1, 11..=16), end.to_vec()].concat();
        assert_eq!(received(client, "a").await, expected);
    }
    assert_eq!(received(&mut ahead, "a").await, [messages(1, 16..=16), end.to_vec()].concat());
    let client = fixture.connect(Dialect::Json).await;
    for place in [(1, 16), (2, 2)] {
        assert!(!client.join_at("a", position(place)).await);
    }
    assert!(client.join_at("a", position((2, 3))).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_from_epochs_that_have_ended_is_old() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    let _counted = client.interest.subscribe(&channel("a"), 0);
    fixture.hub.at(&a(), &position((1, 0))).await.unwrap();
    fixture.stall(0, true);
    for offsets in [1..=3, 4..=5] {
        publish(&fixture, "a", 1, offsets).await;
    }
    fixture.hub.lost(&a(), &position((2, 3))).await.unwrap();
    publish(&fixture, "a", 2, 4..=5).await;
    let join = tokio::spawn(client.join_at("a", position((2, 4))));
    settle().await;
    fixture.stall(0, false);
    assert!(join.await.unwrap());
    publish(&fixture, "a", 2, 6..=6).await;
    assert_eq!(received(&mut client, "a").await, messages(2, 5..=6));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_behind_what_was_lost_before() {
    let fixture = Fixture::start();
    let mut client = live(&fixture, (1, 0)).await;
    fixture.hub.lost(&a(), &position((1, 10))).await.unwrap();
    fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
    let expected = [
        text("joined a"),
        text(r#"{"type":"lost","channel":"a","epoch":"e1","offset":10}"#),
        text(r#"{"type":"gap","seconds":1.5}"#),
    ];
    assert_eq!(client.frames().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_left_out_of_what_it_missed_too() {
    let fixture = Fixture::start();
    let _other = live(&fixture, (1, 0)).await;
    let mut client = fixture.connect(Dialect::Json).await;
    fixture.deliver([placed("a", (1, 1)), except(client.id, placed("a", (1, 2))), placed("a", (1, 3))]).await;
    settle().await;
    assert!(client.join_at("a", position((1, 0))).await);
    assert_eq!(received(&mut client, "a").await, [Placed::Message((1, 1)), Placed::Message((1, 3))]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_waits_for_nothing() {
    let fixture = Fixture::start();
    let _other = live(&fixture, (1, 0)).await;
    let client = fixture.connect(Dialect::Json).await;
    client.gone().await;
    assert!(client.join_at("a", position((1, 0))).await);
    client.shard.page(client.key, vec![text("page").bytes()]).await.unwrap();
    assert_eq!(client.shard.pause_broadcasts(client.key).await.unwrap(), None);
    assert!(client.shard.resume_broadcasts(client.key, position((1, 0))).await.unwrap());
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 1);
}

#[tokio::test(start_paused = true)]
async fn a_welcome_names_the_place_behind_which_broadcasts_follow() {
    let fixture = Fixture::start();
    fixture.hub.at(&Target::Broadcast, &position((1, 3))).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..MANY {
        clients.push(fixture.connect(Dialect::Json).await);
    }
    fixture.stall(0, true);
    for offset in 4..=5 {
        publish(&fixture, "", 1, offset..=offset).await;
        fixture.turn().await;
    }
    let welcome =
        Event::Welcome { connection: clients[0].id, node: fixture.node, version: "1", heartbeat: 1.0, broadcast: None };
    let ((), mut client) =
        tokio::join!(async { fixture.stall(0, false) }, fixture.connect_to(0, Dialect::Json, 1 << 20, Some(welcome)));
    let frames = client.frames().await;
    let crate::support::Frame::Text(first) = &frames[0] else { panic!("{frames:?}") };
    assert!(first.ends_with(r#""broadcast":{"epoch":"e1","offset":4}}"#), "{first}");
    assert_eq!(client.place, Some(position((1, 4))));
    assert_eq!(frames[1..].iter().filter_map(|frame| placed_of(frame, "")).collect::<Vec<_>>(), messages(1, 5..=5));
}

#[tokio::test(start_paused = true)]
async fn broadcasts_are_held_back_and_resumed_where_they_stopped() {
    let fixture = Fixture::start();
    fixture.hub.at(&Target::Broadcast, &position((1, 0))).await.unwrap();
    let mut client = fixture.connect(Dialect::Json).await;
    publish(&fixture, "", 1, 1..=2).await;
    settle().await;
    assert_eq!(client.shard.pause_broadcasts(client.key).await.unwrap(), Some(position((1, 2))));
    publish(&fixture, "", 1, 3..=4).await;
    fixture.hub.notify(&Event::Gap { seconds: 1.5 }).await.unwrap();
    let frames = client.frames().await;
    assert_eq!(frames.iter().filter_map(|frame| placed_of(frame, "")).collect::<Vec<_>>(), messages(1, 1..=2));
    assert_eq!(frames.last(), Some(&text(r#"{"type":"gap","seconds":1.5}"#)), "notices are not held back");
    assert!(!client.shard.resume_broadcasts(client.key, position((2, 2))).await.unwrap());
    assert!(client.shard.resume_broadcasts(client.key, position((1, 2))).await.unwrap());
    publish(&fixture, "", 1, 5..=5).await;
    assert_eq!(received(&mut client, "").await, messages(1, 3..=5));
}

#[tokio::test(start_paused = true)]
async fn broadcasts_without_a_history_are_not_held_back() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    assert_eq!(client.place, None);
    assert_eq!(client.shard.pause_broadcasts(client.key).await.unwrap(), None);
    fixture.deliver([to_all(1)]).await;
    assert_eq!(client.frames().await, [broadcast(1)]);
}
