//! Who gets messages compressed, and what long ones cost others.

use crate::support::{Fixture, Frame, message, settle, to};

/// A JSON string of `length` characters that compresses well.
fn long(length: usize) -> String {
    format!("{:?}", "abc ".repeat(length / 4))
}

fn compressed(frame: Frame) -> Frame {
    Frame::Compressed(Box::new(frame))
}

#[tokio::test(start_paused = true)]
async fn each_gets_its_own_form_and_all_the_same_order() {
    let fixture = Fixture::start();
    let (mut plain, mut wide) = (fixture.subscribers(1, "a").await, fixture.connect_compressed(15).await);
    wide.join("a").await;
    let contents = [long(200), "1".to_owned(), long(2000)];
    fixture.deliver(contents.iter().map(|content| to("a", content))).await;
    let messages: Vec<_> = contents.iter().map(|content| message("a", content)).collect();
    assert_eq!(plain[0].frames().await[1..], messages);
    let [first, second, third] = messages.try_into().unwrap();
    assert_eq!(wide.frames().await[1..], [compressed(first), second, compressed(third)]);
    assert_eq!(fixture.metric("fanwire_deliveries_total", ""), 6);
    assert_eq!(fixture.metric("fanwire_compressed_deliveries_total", ""), 2);
    let saved = fixture.metric("fanwire_compression_saved_bytes_total", "");
    assert!((2000..2200).contains(&saved), "{saved} bytes were saved");
}

#[tokio::test(start_paused = true)]
async fn a_message_longer_than_the_window_is_not_compressed() {
    let fixture = Fixture::start();
    let mut narrow = fixture.connect_compressed(9).await;
    narrow.join("a").await;
    let contents = [long(400), long(600)];
    fixture.deliver(contents.iter().map(|content| to("a", content))).await;
    let expected = [compressed(message("a", &contents[0])), message("a", &contents[1])];
    assert_eq!(narrow.frames().await[1..], expected);
}

#[tokio::test(start_paused = true)]
async fn a_long_message_is_compressed_while_others_go_on_and_keeps_its_place() {
    let fixture = Fixture::start();
    let mut plain = fixture.subscribers(3, "a").await;
    let (mut wide, mut other) = (fixture.connect_compressed(15).await, fixture.connect_compressed(15).await);
    wide.join("a").await;
    other.join("b").await;
    let contents = ["0".to_owned(), long(200_000), "2".to_owned(), long(100_000), "4".to_owned()];
    for content in &contents {
        fixture.deliver([to("a", content), to("b", 7)]).await;
    }
    let sevens = vec![message("b", 7); 5];
    assert_eq!(other.frames().await[1..], sevens);
    let expected: Vec<_> = contents.iter().map(|content| message("a", content)).collect();
    for client in &mut plain {
        assert_eq!(client.frames().await[1..], expected);
    }
    let mut expected = expected;
    for long in [1, 3] {
        expected[long] = compressed(expected[long].clone());
    }
    assert_eq!(wide.frames().await[1..], expected);
}

#[tokio::test(start_paused = true)]
async fn the_shard_does_not_wait_for_a_long_message() {
    let fixture = Fixture::start();
    let (mut wide, mut other) = (fixture.connect_compressed(15).await, fixture.connect_compressed(15).await);
    wide.join("a").await;
    other.join("b").await;
    assert_eq!((wide.frames().await.len(), other.frames().await.len()), (1, 1));
    fixture.stall(0, true);
    fixture.deliver([to("a", long(200_000)), to("b", 1)]).await;
    fixture.turn().await;
    assert_eq!((wide.frames().await, other.frames().await), (vec![], vec![message("b", 1)]));
    fixture.stall(0, false);
    assert_eq!(wide.frames().await, [compressed(message("a", long(200_000)))]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_may_be_left_while_its_message_is_compressed() {
    let fixture = Fixture::start();
    let wide = fixture.connect_compressed(15).await;
    wide.join("a").await;
    fixture.deliver([to("a", long(200_000))]).await;
    wide.leave("a").await;
    wide.gone().await;
    settle().await;
    let mut next = fixture.connect_compressed(15).await;
    next.join("a").await;
    fixture.deliver([to("a", 1)]).await;
    assert_eq!(next.frames().await[1..], [message("a", 1)]);
    assert_eq!(fixture.metric("fanwire_channels", ""), 1);
}
