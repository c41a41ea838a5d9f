//! Pages go out at the pace at which they are read, and make nobody slow.

use crate::support::{Client, Fixture, Frame, message, placed, placed_of, position, settle, text, to};
use fanwire_hub::{Policy, outbox::ENTRY_COST};
use fanwire_protocol::{CloseReason, Dialect};
use tokio::task::JoinHandle;

const LIMIT: usize = 4096;

fn fixture(policy: Policy) -> Fixture {
    Fixture::with(1, |config| {
        config.outbox_limit = LIMIT;
        config.outbox_policy = policy;
    })
}

/// Sends `count` frames of 100 bytes as one page.
fn page(client: &Client, count: usize) -> JoinHandle<()> {
    let frames = (0..count).map(|number| text(&format!("page {number:93}")).bytes()).collect();
    let page = client.shard.page(client.key, frames);
    tokio::spawn(async { page.await.unwrap() })
}

fn pages(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| matches!(frame, Frame::Text(text) if text.starts_with("page"))).count()
}

fn waiting(fixture: &Fixture) -> usize {
    usize::try_from(fixture.metric("fanwire_outbox_bytes", "")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_long_page_goes_out_as_it_is_read() {
    for policy in [Policy::Disconnect, Policy::DropOldest] {
        let fixture = fixture(policy);
        let mut client = fixture.connect_narrow(100).await;
        let page = page(&client, 200);
        let mut frames = Vec::new();
        while pages(&frames) < 200 {
            settle().await;
            assert!(waiting(&fixture) <= LIMIT / 4 + 102 + ENTRY_COST);
            assert!(waiting(&fixture) <= LIMIT / 4 || !page.is_finished());
            frames.extend(client.read_some(150).await);
        }
        page.await.unwrap();
        assert_eq!((frames.len(), client.activity.ended_by()), (200, None));
        assert_eq!(fixture.metric("fanwire_deliveries_total", ""), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_publish_meanwhile_makes_nobody_slow_because_of_a_page() {
    let fixture = fixture(Policy::Disconnect);
    let mut client = fixture.connect_narrow(100).await;
    client.join("live").await;
    let page = page(&client, 100);
    settle().await;
    // As much as an outbox holds, beside what of the page is there.
    let cost = message("live", 10).bytes().len() + ENTRY_COST;
    let count = u64::try_from(LIMIT / cost).unwrap();
    fixture.deliver((0..count).map(|number| to("live", number))).await;
    let frames = client.frames().await;
    assert_eq!(client.activity.ended_by(), None);
    assert_eq!(frames.iter().filter_map(Frame::number).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    assert_eq!(pages(&frames), 100);
    let live = frames.iter().rposition(|frame| frame.number().is_some()).unwrap();
    assert!(pages(&frames[..live]) < 50, "what is live is not behind all of the page");
    page.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_slow_with_a_page_too() {
    let fixture = fixture(Policy::Disconnect);
    let mut client = fixture.connect_narrow(100).await;
    client.join("live").await;
    let page = page(&client, 100);
    settle().await;
    for number in 0..200 {
        fixture.deliver([to("live", number)]).await;
        settle().await;
    }
    assert_eq!(client.activity.ended_by(), Some(CloseReason::SlowConsumer));
    page.await.unwrap();
    assert_eq!(client.frames().await.last().and_then(Frame::code), Some(1013));
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_with_its_connection() {
    for ending in 0..3 {
        let fixture = fixture(Policy::Disconnect);
        let mut client = fixture.connect_narrow(100).await;
        let page = page(&client, 100);
        settle().await;
        assert!(!page.is_finished());
        match ending {
            0 => client.close(CloseReason::Draining).await,
            1 => client.gone().await,
            _ => {
                client.transport.break_writes();
                client.read_some(100).await;
            }
        }
        page.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_of_a_page_does_not_follow() {
    let fixture = fixture(Policy::Disconnect);
    let mut client = fixture.connect_narrow(100).await;
    let given_up = page(&client, 100);
    settle().await;
    given_up.abort();
    settle().await;
    client.shard.answer(client.key, text("left").bytes()).await.unwrap();
    let next = page(&client, 20);
    let frames = client.frames().await;
    next.await.unwrap();
    let left = frames.iter().position(|frame| *frame == text("left")).unwrap();
    assert!(pages(&frames[..left]) < 20, "only what was in the outbox");
    assert_eq!(pages(&frames[left..]), 20, "and what comes next in its place");
}

#[tokio::test(start_paused = true)]
async fn a_page_lets_others_have_their_turn() {
    let fixture = Fixture::with(1, |config| config.outbox_limit = 1 << 20);
    let client = fixture.connect(Dialect::Json).await;
    let mut other = fixture.connect(Dialect::Json).await;
    other.join("live").await;
    other.frames().await;
    fixture.stall(0, true);
    let page = page(&client, 1000);
    settle().await;
    fixture.deliver([to("live", 1)]).await;
    fixture.turn().await;
    assert_eq!(other.read_some(1 << 16).await.len(), 1);
    assert!(!page.is_finished());
    fixture.stall(0, false);
    page.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_waits_until_there_is_room_for_what_is_missing() {
    let fixture = fixture(Policy::Disconnect);
    let other = fixture.connect(Dialect::Json).await;
    assert!(other.join_at("a", position((1, 0))).await);
    for offset in 1..=200 {
        fixture.deliver([placed("a", (1, offset))]).await;
    }
    settle().await;
    let mut client = fixture.connect_narrow(100).await;
    let page = page(&client, 20);
    let join = tokio::spawn(client.join_at("a", position((1, 100))));
    settle().await;
    assert!(!join.is_finished());
    fixture.deliver([placed("a", (1, 201))]).await;
    let frames = client.frames().await;
    assert!(join.await.unwrap());
    page.await.unwrap();
    let joined = frames.iter().position(|frame| *frame == text("joined a")).unwrap();
    assert_eq!(pages(&frames[..joined]), 20);
    let offsets = frames.iter().filter_map(|frame| placed_of(frame, "a")).map(|item| item.place().1);
    assert_eq!(offsets.collect::<Vec<_>>(), (101..=201).collect::<Vec<_>>());
    assert_eq!(client.activity.ended_by(), None);
}

#[tokio::test(start_paused = true)]
async fn a_join_that_nobody_waits_for_any_more_is_none() {
    let fixture = fixture(Policy::Disconnect);
    let other = fixture.connect(Dialect::Json).await;
    assert!(other.join_at("a", position((1, 0))).await);
    fixture.deliver([placed("a", (1, 1))]).await;
    settle().await;
    let mut client = fixture.connect_narrow(100).await;
    let _page = page(&client, 20);
    let join = tokio::spawn(client.join_at("a", position((1, 0))));
    settle().await;
    join.abort();
    let frames = client.frames().await;
    assert_eq!(pages(&frames), frames.len());
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 1);
}
