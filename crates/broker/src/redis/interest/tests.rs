#![allow(clippy::unwrap_used)]

use super::*;
use prometheus::Registry;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);

#[track_caller]
fn check_subscribes(batch: &Batch, expected: &[&str]) {
    let mut names: Vec<_> = batch.subscribe.iter().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
}

fn linked() -> Arc<Interest> {
    let metrics = Arc::new(RedisMetrics::register(&Registry::new()).unwrap());
    let interest = Arc::new(Interest::new(["always".into()], metrics));
    interest.link_made();
    interest.accept();
    interest
}

fn wish(interest: &Arc<Interest>) -> impl Future<Output = Answer> + Send + 'static + use<> {
    interest.subscribe("c".into(), Instant::now() + LIMIT, || SubscribeError::Unavailable("down".to_owned()))
}

#[tokio::test]
async fn a_wish_counts_from_the_call_and_is_granted_by_the_confirmation() {
    let interest = linked();
    let asked = wish(&interest);
    check_subscribes(&interest.next_batch().await, &["always", "c"]);
    interest.confirmed("always", true);
    interest.confirmed("c", true);
    assert_eq!(asked.await, Ok(()));
    assert_eq!(wish(&interest).await, Ok(()));
    interest.settled().await;
    assert_eq!(interest.metrics.subscriptions.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_who_waited_too_long_leaves_nothing() {
    let interest = linked();
    let since = Instant::now();
    assert_eq!(wish(&interest).await, Err(SubscribeError::Timeout));
    assert_eq!(since.elapsed(), LIMIT);
    drop(wish(&interest));
    check_subscribes(&interest.next_batch().await, &["always"]);
    interest.confirmed("always", true);
    interest.settled().await;
}

#[tokio::test]
async fn a_lost_link_refuses_those_who_wait_and_those_who_come() {
    let interest = linked();
    let asked = wish(&interest);
    interest.link_lost();
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
    interest.next_batch().await;
    let work = tokio::spawn({
        let interest = Arc::clone(&interest);
        async move { interest.next_batch().await }
    });
    tokio::task::yield_now().await;
    let asked = wish(&interest);
    check_subscribes(&work.await.unwrap(), &["c"]);
    drop(asked);
}
