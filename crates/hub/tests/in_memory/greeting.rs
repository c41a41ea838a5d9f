//! What a connection receives first, and from when to when it is a subscriber.

use crate::support::{Fixture, Frame, broadcast, channel, message, settle, text, to, to_all};
use fanwire_hub::Entry;
use fanwire_protocol::{CloseReason, ConnectionId, Dialect, Event, NodeId};

#[tokio::test(start_paused = true)]
async fn the_greeting_stands_before_everything_else() {
    let fixture = Fixture::start();
    fixture.stall(0, true);
    let greeting = Event::Gap { seconds: 1.5 };
    let connect = fixture.connect_to(0, Dialect::Json, 5, Some(greeting));
    let rest = async {
        fixture.deliver([to_all(1)]).await;
        fixture.stall(0, false);
    };
    let (mut client, ()) = tokio::join!(connect, rest);
    assert_eq!(client.frames().await, [text(r#"{"type":"gap","seconds":1.5}"#), broadcast(1)]);
}

#[tokio::test(start_paused = true)]
async fn who_enters_for_later_is_told_nothing_until_welcomed() {
    let fixture = Fixture::start();
    let mut client = fixture.enter(0, Dialect::Json, 1 << 20, Entry::Later).await;
    fixture.deliver([to_all(1)]).await;
    fixture.hub.notify(&Event::Gap { seconds: 0.5 }).await.unwrap();
    settle().await;
    client.answer("alone").await;
    assert_eq!(client.frames().await, [text("alone")]);
    client.shard.welcome(client.key, Event::Gap { seconds: 1.5 }).await.unwrap();
    fixture.deliver([to_all(2)]).await;
    assert_eq!(client.frames().await, [text(r#"{"type":"gap","seconds":1.5}"#), broadcast(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_by_its_id() {
    let fixture = Fixture::start();
    let (mut one, mut other) = (fixture.connect(Dialect::Json).await, fixture.connect(Dialect::Json).await);
    fixture.hub.disconnect([one.id].into(), CloseReason::Disconnected).await.unwrap();
    fixture.deliver([to_all(1)]).await;
    let close = Frame::Close(Some(4403), CloseReason::Disconnected.text().to_owned());
    assert_eq!((one.frames().await, other.frames().await), (vec![close], vec![broadcast(1)]));
    let unknown = ConnectionId(NodeId::from_random(1), 999);
    fixture.hub.disconnect([unknown].into(), CloseReason::Disconnected).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_what_comes_between_its_two_answers() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    // Another subscriber, so that the channel is known before and after.
    let _other = fixture.subscribers(1, "news").await;
    fixture.deliver([to("news", 1)]).await;
    settle().await;
    client.join("news").await;
    settle().await;
    fixture.deliver([to("news", 2), to("other", 3), to("news", 4)]).await;
    settle().await;
    client.leave("news").await;
    settle().await;
    fixture.deliver([to("news", 5)]).await;
    let expected = [text("joined news"), message("news", 2), message("news", 4), text("left news")];
    assert_eq!(client.frames().await, expected);
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_need_no_answer() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    let subscription = client.interest.subscribe(&channel("news"), 0);
    client.shard.join(client.key, subscription, None).await.unwrap();
    settle().await;
    fixture.deliver([to("news", 1)]).await;
    settle().await;
    client.shard.leave(client.key, channel("news"), None).await.unwrap();
    settle().await;
    fixture.deliver([to("news", 2)]).await;
    assert_eq!(client.frames().await, [message("news", 1)]);
}

#[tokio::test(start_paused = true)]
async fn joining_twice_is_joining_once() {
    let fixture = Fixture::start();
    let mut client = fixture.connect(Dialect::Json).await;
    client.join("news").await;
    client.join("news").await;
    fixture.deliver([to("news", 1)]).await;
    assert_eq!(client.frames().await, [text("joined news"), text("joined news"), message("news", 1)]);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 1);
    client.leave("news").await;
    client.leave("news").await;
    assert_eq!(client.frames().await, [text("left news"), text("left news")]);
    assert_eq!(fixture.metric("fanwire_subscriptions", ""), 0);
    assert_eq!(fixture.metric("fanwire_channels", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn each_dialect_gets_its_own_form_of_a_broadcast() {
    let fixture = Fixture::start();
    let mut plain = fixture.connect(Dialect::Plain).await;
    let mut packed = fixture.connect(Dialect::MessagePack).await;
    let mut json = fixture.connect(Dialect::Json).await;
    fixture.deliver([to_all(1)]).await;
    assert_eq!(plain.frames().await, [text("广播消息: 1")]);
    assert_eq!(json.frames().await, [broadcast(1)]);
    let expected = Frame::Binary(b"\x82\xa4type\xa9broadcast\xa7content\x01".to_vec());
    assert_eq!(packed.frames().await, [expected]);
}
