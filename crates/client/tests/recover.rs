//! How a client goes on where its last connection ended, against nodes that do what each test says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use fanwire_client::{
    Client, Content, Error, Event, Events, HistoryQuery, Options, Outcome, Position, Recovery, Refusal,
};
use scripted::{
    Node,
    address::{Address, closed, disconnected, reconnected, reconnecting, refused, subscribe},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

fn at(epoch: &str, offset: u64) -> Position {
    Position::new(epoch, offset)
}

impl Node {
    /// Hears the subscription to `channel` that asks to recover from there.
    async fn hear_subscribe(&mut self, channel: &str, recover: Option<Position>) -> Value {
        let command = self.hear().await.unwrap();
        assert_eq!((&command["type"], &command["channel"]), (&json!("subscribe"), &json!(channel)));
        assert_eq!(command.get("recover"), recover.map(|place| json!(place)).as_ref());
        command
    }

    async fn ok_at(&mut self, command: &Value, place: &Position, recovered: Option<bool>) {
        let mut ok = json!({"type": "ok", "id": command["id"], "epoch": place.epoch(), "offset": place.offset()});
        if let Some(recovered) = recovered {
            ok["recovered"] = recovered.into();
        }
        self.tell(ok).await;
    }

    async fn ok_recovering(&mut self, command: &Value, place: &Position, newest: u64) {
        self.tell(json!({"type": "ok", "id": command["id"], "epoch": place.epoch(), "offset": place.offset(),
            "recovered": true, "newest": newest}))
            .await;
    }

    /// Publishes these, whose contents are their offsets.
    async fn publish_at(&mut self, channel: &str, offsets: impl IntoIterator<Item = u64>) {
        for offset in offsets {
            self.tell(json!({"type": "message", "channel": channel, "offset": offset, "content": offset})).await;
        }
    }

    async fn broadcast_at(&mut self, offsets: impl IntoIterator<Item = u64>) {
        for offset in offsets {
            self.tell(json!({"type": "broadcast", "offset": offset, "content": offset})).await;
        }
    }
}

/// Subscribes to `channel`, which begins at `place`.
async fn subscribe_at(client: &Client, node: &mut Node, channel: &str, place: &Position) {
    let granting = async {
        let command = node.hear_subscribe(channel, None).await;
        node.ok_at(&command, place, None).await;
    };
    let (subscribed, ()) = tokio::join!(client.subscribe(channel), granting);
    assert_eq!(subscribed, Ok(Some(place.clone())));
}

/// Expects these messages, whose contents are their offsets.
async fn messages(events: &mut Events, channel: &str, epoch: &str, offsets: impl IntoIterator<Item = u64>) {
    for offset in offsets {
        let (channel, content) = (channel.to_owned(), json!(offset).into());
        let message = Event::Message { channel, content, position: Some(at(epoch, offset)) };
        assert_eq!(events.next().await, Ok(message));
    }
}

async fn broadcasts(events: &mut Events, epoch: &str, offsets: impl IntoIterator<Item = u64>) {
    for offset in offsets {
        let broadcast = Event::Broadcast { content: json!(offset).into(), position: Some(at(epoch, offset)) };
        assert_eq!(events.next().await, Ok(broadcast));
    }
}

/// Expects the broadcasts that a recovery brings, and that it is over.
async fn recovered_broadcasts(events: &mut Events, offsets: impl IntoIterator<Item = u64>) {
    broadcasts(events, "a", offsets).await;
    assert_eq!(events.next().await, Ok(Event::Live { channel: None }));
}

/// Expects to be told that the broadcasts between these places follow.
async fn recovering_broadcasts(events: &mut Events, since: u64, newest: u64) {
    assert_eq!(events.next().await, Ok(Event::Recovering { channel: None, since: at("a", since), newest }));
}

fn lost(channel: &str, position: Option<Position>) -> Event {
    Event::Lost { channel: Some(channel.to_owned()), position }
}

/// Recovered, unknown and lost channels.
fn counts(recovery: Recovery) -> (usize, usize, usize) {
    (recovery.recovered, recovery.unknown, recovery.lost)
}

/// A client that is subscribed to `news` at `a.17` and has two messages of it, and its node is lost.
async fn interrupted(address: &mut Address) -> (Client, Events) {
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe_at(&client, &mut node, "news", &at("a", 17)).await;
    node.publish_at("news", [18, 19]).await;
    node.close(1012).await;
    messages(&mut events, "news", "a", [18, 19]).await;
    disconnected(&mut events).await;
    (client, events)
}

#[tokio::test]
async fn what_was_missed_comes_in_order_and_once() {
    let mut address = Address::new().await;
    let (_client, mut events) = interrupted(&mut address).await;
    let mut node = address.node().await;
    let command = node.hear_subscribe("news", Some(at("a", 19))).await;
    node.ok_at(&command, &at("a", 19), Some(true)).await;
    node.publish_at("news", [20, 21, 20, 21, 22]).await;
    let recovery = reconnected(&mut events, 2).await;
    assert!(recovery.all_channels_recovered());
    assert_eq!((counts(recovery), recovery.broadcasts), ((1, 0, 0), Outcome::Unknown));
    messages(&mut events, "news", "a", 20..=22).await;
}

#[tokio::test]
async fn how_much_was_missed_is_told_and_when_all_of_it_has_come() {
    let mut address = Address::new().await;
    let (client, mut events) = interrupted(&mut address).await;
    let mut node = address.node().await;
    let command = node.hear_subscribe("news", Some(at("a", 19))).await;
    node.ok_recovering(&command, &at("a", 19), 22).await;
    let (channel, since) = (Some("news".to_owned()), at("a", 19));
    let recovering = Event::Recovering { channel: channel.clone(), since, newest: 22 };
    assert_eq!(events.next().await, Ok(recovering));
    reconnected(&mut events, 2).await;
    node.publish_at("news", [20]).await;
    messages(&mut events, "news", "a", [20]).await;
    // What is not kept any more counts as settled.
    node.tell(json!({"type": "lost", "channel": "news", "epoch": "a", "offset": 22})).await;
    assert_eq!(events.next().await, Ok(lost("news", Some(at("a", 22)))));
    assert_eq!(events.next().await, Ok(Event::Live { channel: channel.clone() }));
    node.publish_at("news", [23]).await;
    messages(&mut events, "news", "a", [23]).await;

    // Who begins at a place is told as well, unless there is nothing.
    for (asked, newest) in [("sport", 5), ("chess", 3)] {
        let granting = async {
            let command = node.hear_subscribe(asked, Some(at("a", 3))).await;
            node.ok_recovering(&command, &at("a", 3), newest).await;
            node.publish_at(asked, 4..=5).await;
        };
        let (subscribed, ()) = tokio::join!(client.subscribe_from(asked, at("a", 3)), granting);
        assert_eq!(subscribed, Ok(Some(at("a", 3))));
        let channel = Some(asked.to_owned());
        if newest == 5 {
            let recovering = Event::Recovering { channel: channel.clone(), since: at("a", 3), newest };
            assert_eq!(events.next().await, Ok(recovering));
        }
        messages(&mut events, asked, "a", 4..=5).await;
        if newest == 5 {
            assert_eq!(events.next().await, Ok(Event::Live { channel }));
        }
    }
}

#[tokio::test]
async fn it_goes_on_from_the_newest_place_of_each_connection() {
    let mut address = Address::new().await;
    let (_client, mut events) = interrupted(&mut address).await;
    let mut node = address.node().await;
    // The first one is cut before it has sent all.
    for (number, place) in (2..).zip([19, 20, 23]) {
        let command = node.hear_subscribe("news", Some(at("a", place))).await;
        node.ok_at(&command, &at("a", place), Some(true)).await;
        let next = if number == 2 { 20..=20 } else { place + 1..=place + 3 };
        node.publish_at("news", next.clone()).await;
        node.close(1011).await;
        reconnected(&mut events, number).await;
        messages(&mut events, "news", "a", next).await;
        disconnected(&mut events).await;
        node = address.node().await;
    }
}

#[tokio::test]
async fn what_cannot_be_recovered_is_told() {
    for place in [at("zz", 40), at("a", 40)] {
        let mut address = Address::new().await;
        let (_client, mut events) = interrupted(&mut address).await;
        let mut node = address.node().await;
        let command = node.hear_subscribe("news", Some(at("a", 19))).await;
        node.ok_at(&command, &place, Some(false)).await;
        node.publish_at("news", [41]).await;
        assert_eq!(events.next().await, Ok(lost("news", Some(place.clone()))));
        assert_eq!(counts(reconnected(&mut events, 2).await), (0, 0, 1));
        messages(&mut events, "news", place.epoch(), [41]).await;
    }
}

#[tokio::test]
async fn a_loss_of_the_node_is_told_and_gone_on_from() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe_at(&client, &mut node, "news", &at("a", 17)).await;
    for place in [at("a", 17), at("a", 19), at("b", 3)] {
        node.tell(json!({"type": "lost", "channel": "news", "epoch": place.epoch(), "offset": place.offset()})).await;
    }
    node.publish_at("news", [4, 6]).await;
    node.close(1012).await;
    // The first says nothing that matters to this client.
    assert_eq!(events.next().await, Ok(lost("news", Some(at("a", 19)))));
    assert_eq!(events.next().await, Ok(lost("news", Some(at("b", 3)))));
    messages(&mut events, "news", "b", [4]).await;
    // Nobody has told that, and it shows.
    assert_eq!(events.next().await, Ok(lost("news", Some(at("b", 5)))));
    messages(&mut events, "news", "b", [6]).await;
    address.node().await.hear_subscribe("news", Some(at("b", 6))).await;
}

#[tokio::test]
async fn a_node_that_takes_no_places_is_asked_without() {
    for (code, newest, expected) in [
        ("no_history", None, (0, 0, 1)),
        // An older one.
        ("bad_request", None, (0, 0, 1)),
        ("no_history", Some(at("a", 19)), (1, 0, 0)),
        ("no_history", Some(at("a", 20)), (0, 0, 1)),
    ] {
        let mut address = Address::new().await;
        let (_client, mut events) = interrupted(&mut address).await;
        let mut node = address.node().await;
        let command = node.hear_subscribe("news", Some(at("a", 19))).await;
        node.refuse(&command, code).await;
        let command = node.hear_subscribe("news", None).await;
        match &newest {
            Some(place) => node.ok_at(&command, place, None).await,
            None => node.ok(&command).await,
        }
        if expected == (0, 0, 1) {
            assert_eq!(events.next().await, Ok(lost("news", newest)));
        }
        assert_eq!(counts(reconnected(&mut events, 2).await), expected);
    }
}

#[tokio::test]
async fn a_place_is_not_lost_if_the_user_subscribes_while_it_is_refused() {
    let mut address = Address::new().await;
    let (client, mut events) = interrupted(&mut address).await;
    let mut node = address.node().await;
    let first = node.hear_subscribe("news", Some(at("a", 19))).await;
    let answering = async {
        let second = node.hear_subscribe("news", Some(at("a", 19))).await;
        node.refuse(&first, "broker_unavailable").await;
        node.ok_at(&second, &at("a", 19), Some(true)).await;
        node.publish_at("news", [20]).await;
    };
    let (subscribed, ()) = tokio::join!(client.subscribe("news"), answering);
    assert_eq!(subscribed, Ok(Some(at("a", 19))));
    messages(&mut events, "news", "a", [20]).await;
    let again = node.hear_subscribe("news", Some(at("a", 20))).await;
    node.refuse(&again, "already_subscribed").await;
    assert_eq!(counts(reconnected(&mut events, 2).await), (1, 0, 0));
    node.publish_at("news", [21]).await;
    messages(&mut events, "news", "a", [21]).await;
}

#[tokio::test]
async fn a_channel_without_history_says_nothing_of_losses() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["plain"]).await;
    subscribe_at(&client, &mut node, "news", &at("a", 0)).await;
    node.close(1012).await;
    let mut node = address.node().await;
    node.grant("subscribe", &["plain"]).await;
    let command = node.hear_subscribe("news", Some(at("a", 0))).await;
    node.ok_at(&command, &at("a", 0), Some(true)).await;
    disconnected(&mut events).await;
    let recovery = reconnected(&mut events, 2).await;
    assert_eq!((counts(recovery), recovery.all_channels_recovered()), ((1, 1, 0), false));
}

#[tokio::test]
async fn a_loss_counts_even_if_the_connection_that_told_it_ends() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe_at(&client, &mut node, "news", &at("a", 17)).await;
    subscribe_at(&client, &mut node, "sport", &at("s", 1)).await;
    node.close(1012).await;
    let mut node = address.node().await;
    let command = node.hear_subscribe("news", Some(at("a", 17))).await;
    node.hear_subscribe("sport", Some(at("s", 1))).await;
    node.ok_at(&command, &at("a", 90), Some(false)).await;
    node.close(1012).await;
    let mut node = address.node().await;
    for (channel, place) in [("news", at("a", 90)), ("sport", at("s", 1))] {
        let command = node.hear_subscribe(channel, Some(place.clone())).await;
        node.ok_at(&command, &place, Some(true)).await;
    }
    disconnected(&mut events).await;
    assert_eq!(events.next().await, Ok(lost("news", Some(at("a", 90)))));
    assert_eq!(counts(reconnected(&mut events, 3).await), (1, 0, 1));
}

#[tokio::test]
async fn a_subscription_can_begin_at_a_place() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(Options::default()).await;
    for (channel, granted, recovered) in [("kept", at("a", 12), true), ("gone", at("b", 40), false)] {
        let granting = async {
            let command = node.hear_subscribe(channel, Some(at("a", 12))).await;
            node.ok_at(&command, &granted, Some(recovered)).await;
        };
        let (subscribed, ()) = tokio::join!(client.subscribe_from(channel, at("a", 12)), granting);
        assert_eq!(subscribed, Ok(Some(granted.clone())));
        node.publish_at(channel, [granted.offset() + 1]).await;
    }
    messages(&mut events, "kept", "a", [13]).await;
    assert_eq!(events.next().await, Ok(lost("gone", Some(at("b", 40)))));
    messages(&mut events, "gone", "b", [41]).await;
    let refusing = async {
        let command = node.hear_subscribe("plain", Some(at("a", 1))).await;
        node.refuse(&command, "no_history").await;
    };
    let (subscribed, ()) = tokio::join!(client.subscribe_from("plain", at("a", 1)), refusing);
    assert_eq!(subscribed, Err(refused("no_history").into()));
}

#[tokio::test]
async fn a_place_to_begin_at_survives_the_loss_of_the_answer() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(reconnecting()).await;
    let granting = async {
        node.hear_subscribe("news", Some(at("a", 12))).await;
        drop(node);
        let mut node = address.node().await;
        let command = node.hear_subscribe("news", Some(at("a", 12))).await;
        node.ok_at(&command, &at("a", 12), Some(true)).await;
        node
    };
    let (subscribed, _node) = tokio::join!(client.subscribe_from("news", at("a", 12)), granting);
    assert_eq!(subscribed, Ok(Some(at("a", 12))));
}

#[tokio::test]
async fn whoever_subscribes_anew_begins_anew() {
    let mut address = Address::new().await;
    let (client, mut events) = interrupted(&mut address).await;
    client.unsubscribe("news").await.unwrap();
    let granting = async {
        let mut node = address.node().await;
        let command = node.hear_subscribe("news", None).await;
        node.ok_at(&command, &at("a", 30), None).await;
        node
    };
    let (subscribed, _node) = tokio::join!(client.subscribe("news"), granting);
    assert_eq!(subscribed, Ok(Some(at("a", 30))));
    assert_eq!(counts(reconnected(&mut events, 2).await), (0, 0, 0));
}

/// Hears the question for broadcasts since there.
async fn hear_recover(node: &mut Node, place: &Position) -> Value {
    let mut command = node.hear().await.unwrap();
    let id = command["id"].take();
    let expected = json!({"type": "recover_broadcast", "id": null, "epoch": place.epoch(), "offset": place.offset()});
    assert_eq!(command, expected);
    json!({ "id": id })
}

/// A client that has broadcasts up to `a.8`, and its node is lost. The next one is at `a.11`.
async fn without_broadcasts(address: &mut Address) -> (Client, Events, Node) {
    address.broadcasts = Some(json!(at("a", 7)));
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    assert_eq!(client.welcome().broadcast, Some(at("a", 7)));
    node.broadcast_at([8]).await;
    node.close(1012).await;
    broadcasts(&mut events, "a", [8]).await;
    disconnected(&mut events).await;
    address.broadcasts = Some(json!(at("a", 11)));
    let node = address.node().await;
    (client, events, node)
}

#[tokio::test]
async fn broadcasts_that_were_missed_come_before_those_that_are_live() {
    let mut address = Address::new().await;
    let (_client, mut events, mut node) = without_broadcasts(&mut address).await;
    let command = hear_recover(&mut node, &at("a", 8)).await;
    node.broadcast_at([12, 13]).await;
    node.ok_at(&command, &at("a", 8), Some(true)).await;
    node.broadcast_at([9, 10, 11, 14]).await;
    recovering_broadcasts(&mut events, 8, 11).await;
    assert_eq!(reconnected(&mut events, 2).await.broadcasts, Outcome::Recovered);
    recovered_broadcasts(&mut events, 9..=11).await;
    broadcasts(&mut events, "a", 12..=14).await;
}

#[tokio::test]
async fn broadcasts_that_cannot_be_recovered_are_told() {
    for code in ["no_history", "unknown_command", ""] {
        let mut address = Address::new().await;
        let (_client, mut events, mut node) = without_broadcasts(&mut address).await;
        let command = hear_recover(&mut node, &at("a", 8)).await;
        node.broadcast_at([12]).await;
        match code {
            "" => node.ok_at(&command, &at("a", 12), Some(false)).await,
            _ => node.refuse(&command, code).await,
        }
        node.broadcast_at([13]).await;
        assert_eq!(events.next().await, Ok(Event::Lost { channel: None, position: Some(at("a", 11)) }));
        broadcasts(&mut events, "a", [12]).await;
        assert_eq!(reconnected(&mut events, 2).await.broadcasts, Outcome::Lost);
        broadcasts(&mut events, "a", [13]).await;
    }
}

#[tokio::test]
async fn broadcasts_are_asked_for_again_while_the_node_cannot_tell() {
    let mut address = Address::new().await;
    let (_client, mut events, mut node) = without_broadcasts(&mut address).await;
    let command = hear_recover(&mut node, &at("a", 8)).await;
    node.refuse(&command, "broker_unavailable").await;
    let command = hear_recover(&mut node, &at("a", 8)).await;
    node.ok_at(&command, &at("a", 8), Some(true)).await;
    node.broadcast_at(9..=11).await;
    recovering_broadcasts(&mut events, 8, 11).await;
    assert_eq!(reconnected(&mut events, 2).await.broadcasts, Outcome::Recovered);
    recovered_broadcasts(&mut events, 9..=11).await;
}

#[tokio::test]
async fn broadcasts_can_begin_at_a_place() {
    let mut address = Address::new().await;
    address.broadcasts = Some(json!(at("a", 7)));
    let options = Options { broadcasts_since: Some(at("a", 5)), ..Options::default() };
    let (_client, mut events, mut node) = address.client(options).await;
    let command = hear_recover(&mut node, &at("a", 5)).await;
    node.ok_at(&command, &at("a", 5), Some(true)).await;
    node.broadcast_at(6..=8).await;
    recovering_broadcasts(&mut events, 5, 7).await;
    recovered_broadcasts(&mut events, 6..=7).await;
    broadcasts(&mut events, "a", 8..=8).await;
}

#[tokio::test]
async fn a_node_without_history_of_broadcasts_loses_them() {
    let mut address = Address::new().await;
    address.broadcasts = Some(json!(at("a", 7)));
    let (_client, mut events, node) = address.client(reconnecting()).await;
    node.close(1012).await;
    address.broadcasts = None;
    let _node = address.node().await;
    disconnected(&mut events).await;
    assert_eq!(events.next().await, Ok(Event::Lost { channel: None, position: None }));
    assert_eq!(reconnected(&mut events, 2).await.broadcasts, Outcome::Lost);
}

#[tokio::test]
async fn own_broadcasts_do_not_come_back() {
    let mut address = Address::new().await;
    address.broadcasts = Some(json!(at("a", 7)));
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    let granting = async {
        let command = node.hear().await.unwrap();
        assert_eq!(command["type"], "broadcast");
        node.ok_at(&command, &at("a", 9), None).await;
    };
    let (sent, ()) = tokio::join!(client.broadcast("own"), granting);
    assert_eq!(sent, Ok(Some(at("a", 9))));
    node.close(1012).await;
    address.broadcasts = Some(json!(at("a", 10)));
    let mut node = address.node().await;
    let command = hear_recover(&mut node, &at("a", 7)).await;
    node.ok_at(&command, &at("a", 7), Some(true)).await;
    node.broadcast_at(8..=10).await;
    disconnected(&mut events).await;
    recovering_broadcasts(&mut events, 7, 10).await;
    reconnected(&mut events, 2).await;
    recovered_broadcasts(&mut events, [8, 10]).await;
}

#[tokio::test]
async fn a_publication_with_a_key_is_sent_again_when_its_answer_is_lost() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(reconnecting()).await;
    let script = async {
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.push(node.hear().await.unwrap());
        }
        node.close(1012).await;
        let mut node = address.node().await;
        for before in [&sent[0], &sent[2]] {
            let again = node.hear().await.unwrap();
            assert_eq!(again, *before);
            node.ok_at(&again, &at("a", 5), None).await;
        }
        let later = node.hear().await.unwrap();
        assert_eq!((&later["content"], &later["idempotency_key"]), (&json!("later"), &json!("k4")));
        node.ok_at(&later, &at("a", 6), None).await;
        node
    };
    let publishing = async {
        let (first, second, third) = tokio::join!(
            client.publish_once("news", "x", "k1"),
            client.publish("news", "once"),
            client.broadcast_once("y", "k3")
        );
        assert_eq!((first, second, third), (Ok(Some(at("a", 5))), Err(closed(1012)), Ok(Some(at("a", 5)))));
        assert_eq!(client.publish_once("news", "later", "k4").await, Ok(Some(at("a", 6))));
    };
    tokio::join!(publishing, script);
}

#[tokio::test]
async fn a_publication_that_nodes_find_too_long_is_not_sent_again() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(reconnecting()).await;
    let script = async {
        node.hear().await.unwrap();
        node.close(1009).await;
        let mut node = address.node().await;
        assert!(timeout(Duration::from_millis(100), node.hear()).await.is_err());
    };
    let (sent, ()) = tokio::join!(client.publish_once("news", "x", "k1"), script);
    assert_eq!(sent, Err(closed(1009)));
}

#[tokio::test]
async fn without_reconnecting_nothing_is_sent_again() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(Options::default()).await;
    let script = async {
        node.hear().await.unwrap();
        node.close(1012).await;
    };
    let (sent, ()) = tokio::join!(client.publish_once("news", "x", "k1"), script);
    assert_eq!(sent, Err(closed(1012)));
}

#[tokio::test]
async fn a_history_is_read_by_pages_and_survives_the_loss_of_an_answer() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(reconnecting()).await;
    let query = HistoryQuery { since: Some(at("a", 3)), limit: Some(2), reverse: false };
    let script = async {
        node.hear().await.unwrap();
        drop(node);
        let mut node = address.node().await;
        let command = node.hear().await.unwrap();
        let expected = json!({"type": "history", "id": command["id"], "channel": "news",
            "since": {"epoch": "a", "offset": 3}, "limit": 2});
        assert_eq!(command, expected);
        let publications = json!([{"offset": 4, "content": [4]}, {"offset": 5, "content_base64": "AP8="}]);
        let page = json!({"type": "ok", "id": command["id"], "epoch": "a", "offset": 9, "publications": publications});
        node.tell(page).await;
        node
    };
    let (page, mut node) = tokio::join!(client.history("news", query), script);
    let page = page.unwrap();
    assert_eq!(page.newest, at("a", 9));
    let read: Vec<_> = page.publications.into_iter().map(|read| (read.position, read.content)).collect();
    let bytes = Content::Binary(vec![0, 255].into());
    assert_eq!(read, [(at("a", 4), json!([4]).into()), (at("a", 5), bytes)]);
    let refusing = async {
        let command = node.hear().await.unwrap();
        node.refuse(&command, "no_history").await;
    };
    let (page, ()) = tokio::join!(client.history("plain", HistoryQuery::default()), refusing);
    assert_eq!(page, Err(Error::Refused(Refusal { code: "no_history".to_owned(), message: "no".to_owned() })));
}
