//! Channels with a history: places, recovery, and what is refused.

use crate::testing::{Client, Fixture, Frame, Settings, masked, settle};
use fanwire_broker::{Page, ReadError};
use fanwire_protocol::{ErrorCode, Position};
use serde_json::{Value, json};

fn fixture(settings: Settings) -> Fixture {
    Fixture::with(Settings { history: 1000, ..settings })
}

async fn ask(client: &mut Client, command: Value) -> Value {
    client.send(&command.to_string()).await;
    client.event().await
}

async fn publish(client: &mut Client, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let answer = ask(client, json!({ "type": "publish", "id": 0, "channel": "kept:1", "content": number })).await;
        assert_eq!(answer["type"], "ok", "{answer}");
    }
}

fn message(number: u64) -> Value {
    json!({ "type": "message", "channel": "kept:1", "offset": number, "content": number })
}

fn subscribe(recover: Option<(&Value, u64)>) -> Value {
    match recover {
        Some((epoch, offset)) => json!({ "type": "subscribe", "id": 1, "channel": "kept:1",
            "recover": { "epoch": epoch, "offset": offset } }),
        None => json!({ "type": "subscribe", "id": 1, "channel": "kept:1" }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_says_where_it_begins_and_publications_where_they_stand() {
    let fixture = fixture(Settings::default());
    let (mut publisher, mut client) = (fixture.connect().await, fixture.connect().await);
    publish(&mut publisher, 1..=2).await;
    let begun = ask(&mut client, subscribe(None)).await;
    assert_eq!(begun, json!({ "type": "ok", "id": 1, "epoch": begun["epoch"], "offset": 2 }));
    let command = json!({ "type": "publish", "id": 5, "channel": "kept:1", "content": 3 });
    let placed = json!({ "type": "ok", "id": 5, "epoch": begun["epoch"], "offset": 3 });
    assert_eq!(ask(&mut publisher, command).await, placed);
    assert_eq!(client.event().await, message(3));
}

#[tokio::test(start_paused = true)]
async fn who_resumes_gets_what_it_missed_and_then_what_is_live() {
    let fixture = fixture(Settings::default());
    let (mut publisher, mut client) = (fixture.connect().await, fixture.connect().await);
    publish(&mut publisher, 1..=600).await;
    let epoch = ask(&mut publisher, json!({ "type": "history", "id": 2, "channel": "kept:1" })).await["epoch"].clone();
    client.send(&subscribe(Some((&epoch, 100))).to_string()).await;
    publish(&mut publisher, 601..=700).await;
    let begun = client.event().await;
    let newest = begun["newest"].as_u64().unwrap();
    // More was published meanwhile.
    assert!((600..=700).contains(&newest), "{newest}");
    let expected = json!({ "type": "ok", "id": 1, "epoch": epoch, "offset": 100, "recovered": true, "newest": newest });
    assert_eq!(begun, expected);
    for number in 101..=700 {
        assert_eq!(client.event().await, message(number));
    }
    assert_eq!(client.frames().await, []);
    assert_eq!(fixture.metric("fanwire_recoveries_total", "recovered"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_resumes_is_told_how_much_it_missed() {
    let fixture = fixture(Settings::default());
    let mut publisher = fixture.connect().await;
    publish(&mut publisher, 1..=300).await;
    let epoch = ask(&mut publisher, json!({ "type": "history", "id": 2, "channel": "kept:1" })).await["epoch"].clone();
    for place in [0, 100, 299, 300] {
        let mut client = fixture.connect().await;
        let begun = ask(&mut client, subscribe(Some((&epoch, place)))).await;
        let expected =
            json!({ "type": "ok", "id": 1, "epoch": epoch, "offset": place, "recovered": true, "newest": 300 });
        assert_eq!(begun, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_can_not_resume_is_told_and_begins_at_the_newest() {
    let fixture = Fixture::with(Settings { history: 3, ..Settings::default() });
    let (mut publisher, mut client) = (fixture.connect().await, fixture.connect().await);
    publish(&mut publisher, 1..=10).await;
    let epoch = ask(&mut publisher, json!({ "type": "history", "id": 2, "channel": "kept:1" })).await["epoch"].clone();
    let begun = ask(&mut client, subscribe(Some((&epoch, 2)))).await;
    assert_eq!(begun, json!({ "type": "ok", "id": 1, "epoch": epoch, "offset": 10, "recovered": false }));
    publish(&mut publisher, [11]).await;
    assert_eq!(client.event().await, message(11));
    let mut other = fixture.connect().await;
    let begun = ask(&mut other, subscribe(Some((&json!("unheard"), 2)))).await;
    assert_eq!((&begun["recovered"], &begun["offset"]), (&json!(false), &json!(11)));
    assert_eq!(fixture.metric("fanwire_recoveries_total", "incomplete"), 2);
}

/// A publisher of 900 messages, and a client that reads slowly and has asked for all of them.
async fn slow_recovery() -> (Fixture, Client, Client) {
    let fixture = fixture(Settings { outbox_limit: 8192, message_limit: 4096, ..Settings::default() });
    let mut publisher = fixture.connect().await;
    publish(&mut publisher, 1..=900).await;
    let epoch =
        ask(&mut publisher, json!({ "type": "history", "id": 2, "channel": "kept:1", "limit": 1 })).await["epoch"]
            .clone();
    let mut slow = fixture.connect_narrow(512).await;
    slow.send(&subscribe(Some((&epoch, 0))).to_string()).await;
    (fixture, publisher, slow)
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_recovers_without_being_closed_and_its_pings_are_answered() {
    let (fixture, mut publisher, mut slow) = slow_recovery().await;
    settle().await;
    publish(&mut publisher, 901..=950).await;
    slow.send_raw(&masked(9, b"alive")).await;
    let (mut next, mut pongs) = (1, 0);
    assert_eq!(slow.event().await["recovered"], true);
    while next <= 950 || pongs == 0 {
        match slow.frame().await {
            Frame::Event(event) => {
                assert_eq!(event, message(next));
                next += 1;
            }
            Frame::Pong(payload) => {
                assert_eq!(payload, b"alive");
                assert!(next < 900, "the pong came behind the recovery");
                pongs += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    publish(&mut publisher, [951]).await;
    assert_eq!(slow.event().await, message(951));
    slow.vanish().await;
    publisher.vanish().await;
    settle().await;
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_a_recovery_under_way() {
    let (fixture, _publisher, mut slow) = slow_recovery().await;
    settle().await;
    slow.send(r#"{"type":"unsubscribe","id":2,"channel":"kept:1"}"#).await;
    assert_eq!(slow.event().await["recovered"], true);
    let (mut event, mut next) = (slow.event().await, 1);
    while event["type"] == "message" {
        assert_eq!(event, message(next));
        (event, next) = (slow.event().await, next + 1);
    }
    assert_eq!(event, json!({ "type": "ok", "id": 2 }));
    assert!((2..100).contains(&next), "{next}");
    assert_eq!(slow.frames().await, [], "nothing of the page follows the answer");
    assert!(!fixture.has_readers("kept:1"));
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_history_is_refused_where_there_is_none() {
    let fixture = fixture(Settings::default());
    let mut client = fixture.connect().await;
    let place = json!({ "epoch": "a", "offset": 1 });
    for command in [
        json!({ "type": "subscribe", "id": 1, "channel": "news", "recover": place }),
        json!({ "type": "subscribe", "id": 1, "channel": "fixed:1", "recover": place }),
        json!({ "type": "history", "id": 1, "channel": "news" }),
        json!({ "type": "publish", "id": 1, "channel": "news", "content": 1, "idempotency_key": "k" }),
    ] {
        assert_eq!(ask(&mut client, command).await["code"], ErrorCode::NoHistory.as_str());
    }
    let history = ask(&mut client, json!({ "type": "history", "id": 1, "channel": "fixed:1" })).await;
    assert_eq!(history["publications"], json!([]));
    let mut plain = Fixture::start().connect().await;
    let command = json!({ "type": "recover_broadcast", "id": 1, "epoch": "a", "offset": 1 });
    assert_eq!(ask(&mut plain, command).await["code"], ErrorCode::NoHistory.as_str());
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_history_fits_the_outbox() {
    let fixture = fixture(Settings { outbox_limit: 8192, message_limit: 4096, ..Settings::default() });
    let mut client = fixture.connect().await;
    for _ in 0..8 {
        let content = "x".repeat(1000);
        ask(&mut client, json!({ "type": "publish", "id": 0, "channel": "kept:1", "content": content })).await;
    }
    for _ in 0..10 {
        client.send(r#"{"type":"history","id":1,"channel":"kept:1"}"#).await;
    }
    for _ in 0..10 {
        let answer = client.event().await;
        assert_eq!((answer["publications"].as_array().unwrap().len(), &answer["offset"]), (3, &json!(8)));
    }
}

#[tokio::test(start_paused = true)]
async fn broadcasts_are_recovered_between_a_place_and_the_welcome() {
    let fixture = fixture(Settings::default());
    let mut sender = fixture.connect().await;
    let broadcast = |number: u64| json!({ "type": "broadcast", "offset": number, "content": number });
    let mut epoch = Value::Null;
    for number in 1..=200 {
        let answer = ask(&mut sender, json!({ "type": "broadcast", "id": 1, "content": number })).await;
        assert_eq!(answer["offset"], number);
        epoch = answer["epoch"].clone();
    }
    let mut client = fixture.connect_raw(fanwire_protocol::Dialect::Json, 1 << 20, &[]);
    assert_eq!(client.event().await["broadcast"], json!({ "epoch": epoch, "offset": 200 }));
    ask(&mut sender, json!({ "type": "broadcast", "id": 1, "content": 201 })).await;
    assert_eq!(client.event().await, broadcast(201));
    let recover = json!({ "type": "recover_broadcast", "id": 2, "epoch": epoch, "offset": 50 });
    let begun = json!({ "type": "ok", "id": 2, "epoch": epoch, "offset": 50, "recovered": true, "newest": 201 });
    assert_eq!(ask(&mut client, recover).await, begun);
    ask(&mut sender, json!({ "type": "broadcast", "id": 1, "content": 202 })).await;
    for number in (51..=200).chain([202]) {
        assert_eq!(client.event().await, broadcast(number));
    }
    let elsewhere = json!({ "type": "recover_broadcast", "id": 3, "epoch": "unheard", "offset": 50 });
    let begun = json!({ "type": "ok", "id": 3, "epoch": epoch, "offset": 202, "recovered": false });
    assert_eq!(ask(&mut client, elsewhere).await, begun);
    ask(&mut sender, json!({ "type": "broadcast", "id": 1, "content": 203 })).await;
    assert_eq!(client.event().await, broadcast(203));
}

fn page(offset: u64) -> Page {
    let newest = Position { epoch: fanwire_protocol::Epoch::parse("a").unwrap(), offset };
    Page { newest, publications: Vec::new(), complete: true }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_can_not_be_read_refuses_the_subscription() {
    for (error, code) in
        [(ReadError::Unavailable("no link".to_owned()), "broker_unavailable"), (ReadError::Timeout, "broker_timeout")]
    {
        let (fixture, mut calls, _feed) = Fixture::scripted_with_history();
        // The place of the broadcasts.
        calls.history().await.1.send(Ok(page(0))).unwrap();
        let mut client = fixture.connect().await;
        client.send(&subscribe(None).to_string()).await;
        calls.subscribe().await.1.send(Ok(())).unwrap();
        calls.history().await.1.send(Err(error)).unwrap();
        assert_eq!(client.event().await["code"], code);
        assert!(!fixture.has_readers("kept:1"));

        client.send(&subscribe(None).to_string()).await;
        calls.subscribe().await.1.send(Ok(())).unwrap();
        calls.history().await.1.send(Ok(page(7))).unwrap();
        assert_eq!(client.event().await, json!({ "type": "ok", "id": 1, "epoch": "a", "offset": 7 }));
        assert!(fixture.has_readers("kept:1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_subscriber_of_a_channel_costs_no_read() {
    let (fixture, mut calls, _feed) = Fixture::scripted_with_history();
    calls.history().await.1.send(Ok(page(0))).unwrap();
    let (mut first, mut second) = (fixture.connect().await, fixture.connect().await);
    first.send(&subscribe(None).to_string()).await;
    calls.subscribe().await.1.send(Ok(())).unwrap();
    calls.history().await.1.send(Ok(page(7))).unwrap();
    assert_eq!(first.event().await["offset"], 7);
    second.send(&subscribe(None).to_string()).await;
    calls.subscribe().await.1.send(Ok(())).unwrap();
    assert_eq!(second.event().await["offset"], 7);
    assert!(calls.is_empty());
}
