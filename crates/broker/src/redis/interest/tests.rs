#![allow(clippy::unwrap_used)]

use super::*;
use prometheus::Registry;
use std::time::Duration;

const ONE: MemberId = MemberId(1);

const LIMIT: Duration = Duration::from_secs(2);

#[track_caller]
fn check_subscribes(batch: &Batch, expected: &[&str]) {
    let mut names: Vec<_> = batch.subscribe.iter().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}

fn linked() -> Arc<Interest> {
    let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
    let interest = Arc::new(Interest::new([("always".into(), Partition::BROADCASTS)], metrics));
    interest.reroute(|_| Owner::Member(ONE));
    interest.link_made(ONE, "own".into());
    interest.accept(ONE);
    interest
}

fn wish(interest: &Arc<Interest>) -> impl Future<Output = Answer> + Send + 'static + use<> {
    interest.subscribe("c".into(), Partition::BROADCASTS, Instant::now() + LIMIT, || {
        SubscribeError::Unavailable("down".to_owned())
    })
}

#[tokio::test]
async fn a_wish_counts_from_the_call_and_is_granted_by_the_confirmation() {
    let interest = linked();
    let asked = wish(&interest);
    check_subscribes(&interest.next_batch(ONE).await, &["always", "c", "own"]);
    interest.confirmed(ONE, "always", true);
    interest.confirmed(ONE, "own", true);
    interest.confirmed(ONE, "c", true);
    assert_eq!(asked.await, Ok(()));
    assert_eq!(wish(&interest).await, Ok(()));
    interest.settled(ONE).await;
    assert_eq!(interest.metrics.subscriptions.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_who_waited_too_long_leaves_nothing() {
    let interest = linked();
    let since = Instant::now();
    assert_eq!(wish(&interest).await, Err(SubscribeError::Timeout));
    assert_eq!(since.elapsed(), LIMIT);
    drop(wish(&interest));
    check_subscribes(&interest.next_batch(ONE).await, &["always", "own"]);
    interest.confirmed(ONE, "always", true);
    interest.confirmed(ONE, "own", true);
    interest.settled(ONE).await;
}

#[tokio::test]
async fn a_lost_link_refuses_those_who_wait_and_those_who_come() {
    let interest = linked();
    let asked = wish(&interest);
    interest.link_lost(ONE);
    assert!(matches!(asked.await, Err(SubscribeError::Unavailable(_))));
    assert!(matches!(wish(&interest).await, Err(SubscribeError::Unavailable(_))));
}

#[tokio::test]
async fn one_who_leaves_while_waiting_is_told() {
    let interest = linked();
    let asked = wish(&interest);
    interest.unsubscribe(&"c".into());
    assert!(matches!(asked.await, Err(SubscribeError::Unavailable(_))));
}

#[tokio::test]
async fn who_waits_for_work_is_woken() {
    let interest = linked();
    interest.next_batch(ONE).await;
    let work = tokio::spawn({
        let interest = Arc::clone(&interest);
        async move { interest.next_batch(ONE).await }
    });
    tokio::task::yield_now().await;
    let asked = wish(&interest);
    check_subscribes(&work.await.unwrap(), &["c"]);
    drop(asked);
}

#[tokio::test]
async fn a_wish_follows_its_partition_to_another_server() {
    let (interest, two) = (linked(), MemberId(2));
    interest.link_made(two, "own2".into());
    interest.accept(two);
    interest.next_batch(two).await;
    let asked = wish(&interest);
    interest.next_batch(ONE).await;
    interest.refused(ONE, crate::redis::slot::of(Partition::BROADCASTS));
    assert!(interest.next_batch(ONE).await.ping);
    interest.pong(ONE);
    let moved = interest.reroute(|_| Owner::Member(two));
    assert!(moved.contains(Partition::BROADCASTS));
    check_subscribes(&interest.next_batch(two).await, &["always", "c"]);
    interest.confirmed(two, "c", true);
    assert_eq!(asked.await, Ok(()));
    assert!(!interest.is_vacant(two) && interest.is_vacant(ONE));
    interest.link_lost(ONE);
    interest.leave(ONE);
}
