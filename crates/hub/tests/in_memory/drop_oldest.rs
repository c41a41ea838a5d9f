//! A connection that reads too slowly, under the policy `drop_oldest`.

use crate::support::{Client, Fixture, Frame, Placed, placed, placed_of, position, settle, text, to, to_all};
use fanwire_hub::Policy;
use fanwire_protocol::{CloseReason, Dialect};
use proptest::prelude::*;

const LIMIT: usize = 2000;

const MANY: u64 = 100;

fn fixture() -> Fixture {
    Fixture::with(1, |config| {
        config.outbox_limit = LIMIT;
        config.outbox_policy = Policy::DropOldest;
    })
}

async fn stalled(fixture: &Fixture, capacity: usize) -> Client {
    let mut client = fixture.connect_narrow(capacity).await;
    client.join("a").await;
    assert_eq!(client.frame().await, text("joined a"));
    client
}

/// Checks that messages are numbered from 0, each missing one told of before the next, and returns how many were
/// received and how many told of.
#[track_caller]
fn check(frames: &[Frame]) -> (u64, u64) {
    let (mut received, mut dropped) = (0, 0);
    for frame in frames {
        if let Some(number) = frame.number() {
            assert_eq!(number, received + dropped, "{frames:?}");
            received += 1;
        }
        dropped += frame.dropped().unwrap_or_default();
    }
    (received, dropped)
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_what_it_missed_before_the_next_message() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for number in 0..MANY {
        fixture.deliver([to("a", number)]).await;
        settle().await;
        assert!(usize::try_from(fixture.metric("fanwire_outbox_bytes", "")).unwrap() <= LIMIT);
    }
    let frames = client.frames().await;
    // 100 bytes hold two messages and the start of a third.
    assert!(frames[3].dropped().is_some(), "{frames:?}");
    assert_eq!(frames.iter().filter(|frame| frame.dropped().is_some()).count(), 1);
    let (received, dropped) = check(&frames);
    assert_eq!(received + dropped, MANY);
    assert_eq!(fixture.metric("fanwire_deliveries_dropped_total", "drop_oldest"), i64::try_from(dropped).unwrap());
    assert_eq!(fixture.metric("fanwire_outbox_bytes", ""), 0);

    fixture.deliver([to("a", MANY)]).await;
    assert_eq!(client.frames().await.iter().filter_map(Frame::number).collect::<Vec<_>>(), [MANY]);
}

#[tokio::test(start_paused = true)]
async fn batches_make_room_too() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for round in 0..5 {
        fixture.deliver((0..MANY).map(|number| to("a", round * MANY + number))).await;
    }
    let (received, dropped) = check(&client.frames().await);
    assert_eq!(received + dropped, 5 * MANY);
}

#[tokio::test(start_paused = true)]
async fn answers_are_never_left_out() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for number in 0..MANY {
        fixture.deliver([to("a", number)]).await;
        settle().await;
        if number % 10 == 0 {
            client.answer("answer").await;
        }
    }
    let frames = client.frames().await;
    assert_eq!(frames.iter().filter(|frame| **frame == text("answer")).count(), 10);
    let (received, dropped) = check(&frames);
    assert_eq!(received + dropped, MANY);
}

#[tokio::test(start_paused = true)]
async fn answers_alone_can_fill_an_outbox() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for _ in 0..LIMIT / 64 + 20 {
        client.answer("answer").await;
    }
    assert_eq!(client.frames().await.last().and_then(Frame::code), Some(1013));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_told_before_what_is_left_at_a_close() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for number in 0..MANY {
        fixture.deliver([to("a", number)]).await;
        settle().await;
    }
    client.close(CloseReason::Draining).await;
    let frames = client.frames().await;
    let (received, dropped) = check(&frames);
    assert_eq!(received + dropped, MANY);
    assert_eq!(frames.last().and_then(Frame::code), Some(1012));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_is_told_of_no_losses() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    for number in 0..MANY {
        fixture.deliver([to("a", number)]).await;
        settle().await;
    }
    client.peer_closed(Some(1000)).await;
    // 100 bytes hold two messages and the start of a third.
    let frames = client.frames().await;
    assert_eq!(frames.iter().map(Frame::number).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None]);
    assert_eq!(frames[3].code(), Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_dialect_that_cannot_tell_is_disconnected() {
    let fixture = fixture();
    let mut client = fixture.connect_to(0, Dialect::Plain, 100, None).await;
    for number in 0..MANY {
        fixture.deliver([to_all(number)]).await;
        settle().await;
    }
    let mut frames = client.frames().await;
    assert_eq!(frames.pop().and_then(|frame| frame.code()), Some(1013));
    let expected: Vec<_> = (0..frames.len()).map(|number| text(&format!("广播消息: {number}"))).collect();
    assert_eq!(frames, expected);
    assert_eq!(fixture.metric("fanwire_deliveries_dropped_total", "drop_oldest"), 0);
}

/// Publishes numbers and reads bits of a socket in turn; `steps` are how many of which.
async fn read_slowly(capacity: usize, steps: Vec<(u64, usize)>) {
    let fixture = fixture();
    let mut client = stalled(&fixture, capacity).await;
    let (mut frames, mut next) = (Vec::new(), 0);
    for (publications, bytes) in steps {
        for number in next..next + publications {
            fixture.deliver([to("a", number)]).await;
        }
        next += publications;
        settle().await;
        frames.extend(client.read_some(bytes).await);
    }
    frames.extend(client.frames().await);
    let (received, dropped) = check(&frames);
    assert_eq!(received + dropped, next);
    assert_eq!(fixture.metric("fanwire_deliveries_dropped_total", "drop_oldest"), i64::try_from(dropped).unwrap());
    assert_eq!(client.partial(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_gap_is_told_however_slowly_it_is_read(
        capacity in 1..300usize,
        steps in prop::collection::vec((0..40u64, 1..400usize), 1..60),
    ) {
        crate::support::run(read_slowly(capacity, steps));
    }
}

/// Two channels with a history and one without, published to in turn, each item as one number, while the client reads
/// slowly. Of the first two it is told where they go on, each time before the next message; of the last how many are
/// missing.
async fn read_histories(capacity: usize, steps: Vec<(u64, usize)>) {
    const NAMES: [&str; 2] = ["h", "i"];
    let fixture = fixture();
    let mut client = stalled(&fixture, capacity).await;
    for name in NAMES {
        assert!(client.join_at(name, position((1, 0))).await);
    }
    let (mut frames, mut next) = (client.frames().await, 0);
    for (publications, bytes) in steps {
        for number in next..next + publications {
            fixture.deliver([placed("h", (1, number + 1)), to("a", number), placed("i", (1, number + 1))]).await;
        }
        next += publications;
        settle().await;
        frames.extend(client.read_some(bytes).await);
    }
    frames.extend(client.frames().await);
    let mut lost = 0;
    for name in NAMES {
        let mut at = 0;
        for item in frames.iter().filter_map(|frame| placed_of(frame, name)) {
            let offset = item.place().1;
            match item {
                Placed::Message(_) => assert_eq!(offset, at + 1, "{frames:?}"),
                Placed::Lost(_) => {
                    assert!(offset > at, "{frames:?}");
                    lost += offset - at;
                }
            }
            at = offset;
        }
        assert_eq!(at, next, "{frames:?}");
    }
    let of_plain = |frame: &&Frame| NAMES.iter().all(|name| placed_of(frame, name).is_none());
    let plain: Vec<_> = frames.iter().filter(of_plain).cloned().collect();
    let (received, dropped) = check(&plain);
    assert_eq!(received + dropped, next);
    assert_eq!(
        fixture.metric("fanwire_deliveries_dropped_total", "drop_oldest"),
        i64::try_from(dropped + lost).unwrap()
    );
    assert_eq!((client.partial(), fixture.metric("fanwire_outbox_bytes", "")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_where_a_history_goes_on() {
    let fixture = fixture();
    let mut client = stalled(&fixture, 100).await;
    assert!(client.join_at("h", position((1, 0))).await);
    assert_eq!(client.frame().await, text("joined h"));
    for offset in 1..=MANY {
        fixture.deliver([placed("h", (1, offset))]).await;
        settle().await;
    }
    let items: Vec<_> = client.frames().await.iter().filter_map(|frame| placed_of(frame, "h")).collect();
    let lost: Vec<_> = items.iter().filter(|item| matches!(item, Placed::Lost(_))).collect();
    assert_eq!(lost.len(), 1, "{items:?}");
    assert_eq!(items.last(), Some(&Placed::Message((1, MANY))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_hole_in_a_history_is_told_in_its_place(
        capacity in 100..400usize,
        steps in prop::collection::vec((0..40u64, 1..600usize), 1..40),
    ) {
        crate::support::run(read_histories(capacity, steps));
    }
}
