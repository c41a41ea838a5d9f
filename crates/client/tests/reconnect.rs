//! How a client comes back, against nodes that do what each test says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use bytes::Bytes;
use fanwire_client::{Client, Closed, Error, Event, Events, Options, Reconnect};
use futures_util::{FutureExt, SinkExt, future::join_all};
use scripted::{
    Node,
    address::{Address, closed, disconnected, reconnected, reconnecting, refused, subscribe},
};
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

fn message(channel: &str, content: &str) -> Event {
    Event::Message { channel: channel.to_owned(), content: content.into(), position: None }
}

#[tokio::test]
async fn a_connection_that_is_closed_is_made_and_subscribed_again() {
    for code in [1001, 1011, 1012] {
        let mut address = Address::new().await;
        let (client, mut events, mut node) = address.client(reconnecting()).await;
        subscribe(&client, &mut node, &["c", "a", "b"]).await;
        node.close(code).await;
        let mut node = address.node().await;
        node.grant("subscribe", &["c", "a", "b"]).await;
        node.publish("a", "later").await;
        assert_eq!(disconnected(&mut events).await, closed(code));
        reconnected(&mut events, 2).await;
        assert_eq!(events.next().await.unwrap(), message("a", "later"));
        assert_eq!(client.welcome().node, 2);
    }
}

#[tokio::test]
async fn so_is_one_that_is_cut_again_and_again() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["news"]).await;
    for number in 2..5 {
        drop(node);
        assert!(matches!(disconnected(&mut events).await, Error::Closed(Closed { code: None, .. })));
        // In the middle of the upgrade, and of subscribing again.
        drop(address.attempt().await);
        let stream = address.attempt().await;
        let mut unhelpful = Node::accept(stream).await;
        unhelpful.welcome(99, 20.0).await;
        unhelpful.hear().await.unwrap();
        drop(unhelpful);
        address.nodes = number - 1;
        node = address.node().await;
        node.grant("subscribe", &["news"]).await;
        reconnected(&mut events, number).await;
    }
}

#[tokio::test]
async fn many_subscriptions_come_back_in_order_and_not_all_at_once() {
    let names: Vec<_> = (0..300).map(|number| format!("channel-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &names).await;
    node.close(1012).await;
    let mut node = address.node().await;
    let mut unanswered = Vec::new();
    while let Ok(command) = timeout(Duration::from_millis(200), node.hear()).await {
        unanswered.push(command.unwrap());
    }
    assert!(unanswered.len() < names.len(), "{}", unanswered.len());
    for (command, name) in unanswered.iter().zip(&names) {
        assert_eq!(command["channel"], *name);
        node.ok(command).await;
    }
    node.grant("subscribe", &names[unanswered.len()..]).await;
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn what_is_asked_meanwhile_holds_for_the_next_connection() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["a", "b", "c"]).await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    disconnected(&mut events).await;
    client.unsubscribe("b").await.unwrap();
    let next = async {
        let mut node = address.welcome(attempt, 20.0).await;
        node.grant("subscribe", &["a", "c"]).await;
        // In any order, since they were asked in none.
        for _ in 0..2 {
            let command = node.hear().await.unwrap();
            assert!(["news", "d"].contains(&command["channel"].as_str().unwrap()), "{command}");
            node.ok(&command).await;
        }
        node
    };
    let (subscribed, published, _node) = tokio::join!(client.subscribe("d"), client.publish("news", "waited"), next);
    assert_eq!((subscribed, published), (Ok(None), Ok(None)));
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn a_publication_whose_answer_is_lost_fails_and_is_not_repeated() {
    let mut address = Address::new().await;
    let (client, _events, mut node) = address.client(reconnecting()).await;
    let script = async {
        assert_eq!(node.hear().await.unwrap()["type"], "publish");
        node.close(1012).await;
        let mut node = address.node().await;
        node.grant("publish", &["second"]).await;
    };
    let publishing = async {
        assert_eq!(client.publish("first", "x").await, Err(closed(1012)));
        client.publish("second", "x").await.unwrap();
    };
    tokio::join!(publishing, script);
}

#[tokio::test]
async fn a_publication_that_nobody_waits_for_any_more_is_not_sent_later() {
    let mut address = Address::new().await;
    let (client, mut events, node) = address.client(reconnecting()).await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    disconnected(&mut events).await;
    assert!(timeout(Duration::from_millis(50), client.publish("first", "x")).await.is_err());
    let next = async {
        let mut node = address.welcome(attempt, 20.0).await;
        node.grant("publish", &["second"]).await;
    };
    let (published, ()) = tokio::join!(client.publish("second", "x"), next);
    assert_eq!(published, Ok(None));
}

#[tokio::test]
async fn without_a_connection_in_time_a_command_times_out() {
    let mut address = Address::new().await;
    let options = Options { answer_timeout: Duration::from_millis(50), ..reconnecting() };
    let (client, mut events, node) = address.client(options).await;
    node.close(1012).await;
    let _attempt = address.attempt().await;
    disconnected(&mut events).await;
    assert_eq!(client.publish("news", "x").await, Err(Error::TimedOut("an answer")));
}

#[tokio::test]
async fn subscribing_and_unsubscribing_survive_the_loss_of_their_answers() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["old"]).await;
    let script = async {
        for _ in 0..2 {
            node.hear().await.unwrap();
        }
        drop(node);
        let mut node = address.node().await;
        node.grant("subscribe", &["new"]).await;
        node
    };
    let (subscribed, unsubscribed, _node) = tokio::join!(client.subscribe("new"), client.unsubscribe("old"), script);
    assert_eq!((subscribed, unsubscribed), (Ok(None), Ok(())));
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn a_subscription_that_is_refused_for_good_is_told_and_asked_for_no_more() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["a", "b"]).await;
    node.close(1012).await;
    let mut node = address.node().await;
    let (first, second) = (node.hear().await.unwrap(), node.hear().await.unwrap());
    node.refuse(&first, "channel_limit").await;
    node.ok(&second).await;
    disconnected(&mut events).await;
    let lost = Event::SubscriptionLost { channel: "a".to_owned(), refusal: refused("channel_limit") };
    assert_eq!(events.next().await.unwrap(), lost);
    reconnected(&mut events, 2).await;
    node.close(1012).await;
    address.node().await.grant("subscribe", &["b"]).await;
    disconnected(&mut events).await;
    reconnected(&mut events, 3).await;
}

#[tokio::test]
async fn a_subscription_that_cannot_be_granted_yet_is_asked_for_again() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["a", "b"]).await;
    node.close(1012).await;
    let mut node = address.node().await;
    for code in ["broker_unavailable", "broker_timeout", "internal"] {
        let command = node.hear().await.unwrap();
        assert_eq!(command["type"], "subscribe");
        node.refuse(&command, code).await;
    }
    for _ in 0..2 {
        let command = node.hear().await.unwrap();
        node.ok(&command).await;
    }
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
    node.publish("a", "after").await;
    assert_eq!(events.next().await.unwrap(), message("a", "after"));
}

#[tokio::test]
async fn nor_is_it_lost_if_the_user_asks_for_it_meanwhile() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["a"]).await;
    node.close(1012).await;
    let mut node = address.node().await;
    let first = node.hear().await.unwrap();
    let refusing = async {
        let second = node.hear().await.unwrap();
        for command in [&first, &second] {
            assert_eq!((&command["type"], &command["channel"]), (&json!("subscribe"), &json!("a")));
            node.refuse(command, "broker_unavailable").await;
        }
    };
    let (subscribed, ()) = tokio::join!(client.subscribe("a"), refusing);
    assert_eq!(subscribed, Err(refused("broker_unavailable").into()));
    disconnected(&mut events).await;
    assert_eq!(events.next().now_or_never(), None);
    node.grant("subscribe", &["a"]).await;
    reconnected(&mut events, 2).await;
    // And so it is once all is in force.
    let (subscribed, ()) = tokio::join!(client.subscribe("a"), async {
        let command = node.hear().await.unwrap();
        node.refuse(&command, "internal").await;
    });
    assert_eq!(subscribed, Err(refused("internal").into()));
    node.grant("subscribe", &["a"]).await;
}

#[tokio::test]
async fn what_is_subscribed_again_can_be_unsubscribed_before_it_is() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    subscribe(&client, &mut node, &["a"]).await;
    node.close(1012).await;
    let mut node = address.node().await;
    let first = node.hear().await.unwrap();
    node.refuse(&first, "broker_unavailable").await;
    let refusing = async {
        // It may have asked again in between.
        while let Some(command) = node.hear().await {
            if command["type"] == "unsubscribe" {
                return node.refuse(&command, "not_subscribed").await;
            }
            node.refuse(&command, "broker_unavailable").await;
        }
    };
    let (unsubscribed, ()) = tokio::join!(client.unsubscribe("a"), refusing);
    assert_eq!(unsubscribed, Ok(()));
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
    // It is known no longer, so this is a mistake.
    let (unsubscribed, ()) = tokio::join!(client.unsubscribe("a"), async {
        let command = node.hear().await.unwrap();
        node.refuse(&command, "not_subscribed").await;
    });
    assert_eq!(unsubscribed, Err(refused("not_subscribed").into()));
}

#[tokio::test]
async fn what_is_unsubscribed_and_subscribed_anew_is_refused_if_the_user_is_told_so() {
    let mut address = Address::new().await;
    let (first, most) = (Duration::from_millis(100), Duration::from_millis(200));
    let options = Options { reconnect: Some(Reconnect { first, most, give_up_after: None }), ..Options::default() };
    let (client, mut events, mut node) = address.client(options).await;
    subscribe(&client, &mut node, &["a", "b"]).await;
    node.close(1012).await;
    let mut node = address.node().await;
    for _ in 0..2 {
        let command = node.hear().await.unwrap();
        node.refuse(&command, "broker_unavailable").await;
    }
    let anew = async {
        // Behind which it knows of the refusals.
        client.ping().await.unwrap();
        client.unsubscribe("a").await.unwrap();
        client.subscribe("a").await
    };
    let refusing = async {
        // Both may be asked for again before the user unsubscribes.
        let mut unsubscribed = false;
        let anew = loop {
            let command = node.hear().await.unwrap();
            match command["type"].as_str() {
                Some("ping") => node.ok(&command).await,
                Some("unsubscribe") => {
                    unsubscribed = true;
                    node.refuse(&command, "not_subscribed").await;
                }
                _ if unsubscribed && command["channel"] == "a" => break command,
                _ => node.refuse(&command, "broker_unavailable").await,
            }
        };
        // `a` came before `b`, so it would be asked for again before that.
        let postponed = node.hear().await.unwrap();
        assert_eq!(postponed["channel"], "b");
        node.refuse(&anew, "broker_unavailable").await;
        node.ok(&postponed).await;
    };
    let (subscribed, ()) = tokio::join!(anew, refusing);
    assert_eq!(subscribed, Err(refused("broker_unavailable").into()));
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn a_refused_subscription_is_not_wanted_of_the_next_connection() {
    let mut address = Address::new().await;
    let (client, mut events, mut node) = address.client(reconnecting()).await;
    let refusing = async {
        let command = node.hear().await.unwrap();
        node.refuse(&command, "broker_unavailable").await;
        node
    };
    let (subscribed, node) = tokio::join!(client.subscribe("news"), refusing);
    assert_eq!(subscribed, Err(refused("broker_unavailable").into()));
    node.close(1012).await;
    let mut node = address.node().await;
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
    let (pinged, ()) = tokio::join!(client.ping(), async {
        let command = node.hear().await.unwrap();
        assert_eq!(command["type"], "ping");
        node.ok(&command).await;
    });
    assert_eq!(pinged, Ok(()));
}

#[tokio::test]
async fn where_another_attempt_is_useless_none_is_made() {
    for code in [1000, 1002, 1008] {
        let mut address = Address::new().await;
        let (client, mut events, node) = address.client(reconnecting()).await;
        node.close(code).await;
        assert_eq!(events.next().await, Err(closed(code)));
        assert_eq!(client.ping().await, Err(closed(code)));
    }
}

async fn answer(mut stream: TcpStream, response: &str) {
    let mut request = [0; 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    stream.write_all(response.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn refused_upgrades_are_tried_again_unless_that_is_useless() {
    let mut address = Address::new().await;
    let (client, mut events, node) = address.client(reconnecting()).await;
    drop(node);
    for status in ["503 Service Unavailable\r\nRetry-After: 0", "500 Internal Server Error", "429 Too Many Requests"] {
        answer(address.attempt().await, &format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
    }
    disconnected(&mut events).await;
    let node = address.node().await;
    reconnected(&mut events, 2).await;
    drop(node);
    answer(address.attempt().await, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    disconnected(&mut events).await;
    let refused = Error::Http { status: 403, body: "no".to_owned(), retry_after: None };
    assert_eq!(events.next().await, Err(refused.clone()));
    assert_eq!(client.ping().await, Err(refused));
}

#[tokio::test]
async fn whoever_waits_learns_of_the_end_even_if_events_are_not_taken() {
    let mut address = Address::new().await;
    let options = Options { event_queue: 1, ..reconnecting() };
    let (client, mut events, mut node) = address.client(options).await;
    node.publish("news", "1").await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    let refusing = async {
        // Answered without a connection, after the subscription was taken up.
        client.unsubscribe("sport").await.unwrap();
        answer(attempt, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    };
    let (subscribed, ()) = tokio::join!(client.subscribe("news"), refusing);
    let refused = Error::Http { status: 403, body: "no".to_owned(), retry_after: None };
    assert_eq!(subscribed, Err(refused.clone()));
    assert_eq!(events.next().await.unwrap(), message("news", "1"));
    assert_eq!(disconnected(&mut events).await, closed(1012));
    assert_eq!(events.next().await, Err(refused));
}

#[tokio::test]
async fn it_gives_up_when_told_to() {
    let mut address = Address::new().await;
    let mut options = reconnecting();
    let after = Duration::from_millis(100);
    options.reconnect.as_mut().unwrap().give_up_after = Some(after);
    let (client, mut events, node) = address.client(options).await;
    node.close(1012).await;
    drop(address);
    disconnected(&mut events).await;
    let waiting = client.publish("news", "x");
    let (published, ended) = tokio::join!(waiting, events.next());
    let Err(Error::GaveUp { after: told, last }) = ended else { panic!("{ended:?}") };
    assert_eq!(told, after);
    assert!(matches!(*last, Error::Unreachable { .. }), "{last:?}");
    assert_eq!(published, Err(Error::GaveUp { after, last }));
}

#[tokio::test]
async fn an_attempt_takes_no_longer_than_the_first_may() {
    let mut address = Address::new().await;
    let options = Options { connect_timeout: Duration::from_millis(300), ..reconnecting() };
    let (_client, mut events, node) = address.client(options).await;
    node.close(1012).await;
    let _silent = address.attempt().await;
    let _node = address.node().await;
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn a_silent_node_is_taken_for_dead() {
    let mut address = Address::new().await;
    let (_client, mut events, node) = address.client(reconnecting()).await;
    node.close(1012).await;
    disconnected(&mut events).await;
    let stream = address.attempt().await;
    let silent = address.welcome(stream, 0.05).await;
    reconnected(&mut events, 2).await;
    let Error::Closed(Closed { code: None, reason }) = disconnected(&mut events).await else { panic!("a code") };
    assert!(reason.contains("nothing came"), "{reason}");
    let _node = address.node().await;
    reconnected(&mut events, 3).await;
    drop(silent);
}

#[tokio::test]
async fn a_node_that_only_pings_is_alive() {
    let mut address = Address::new().await;
    let (client, mut events, node) = address.client(reconnecting()).await;
    drop(node);
    let stream = address.attempt().await;
    let mut node = address.welcome(stream, 0.5).await;
    // For longer than twice its heartbeat.
    for _ in 0..30 {
        node.socket.send(Message::Ping(Bytes::new())).await.unwrap();
        assert!(timeout(Duration::from_millis(50), address.attempt()).await.is_err());
    }
    disconnected(&mut events).await;
    reconnected(&mut events, 2).await;
    assert_eq!(client.welcome().node, 2);
}

#[tokio::test]
async fn what_the_user_does_not_let_it_read_is_no_silence() {
    let mut address = Address::new().await;
    let options = Options { event_queue: 1, ..reconnecting() };
    let (_client, mut events, node) = address.client(options).await;
    drop(node);
    let stream = address.attempt().await;
    disconnected(&mut events).await;
    let mut node = address.welcome(stream, 0.3).await;
    reconnected(&mut events, 2).await;
    for content in ["1", "2", "3"] {
        node.publish("news", content).await;
    }
    // One is in the queue, one is held, and nothing is read: several times the silence that would be death.
    assert!(timeout(Duration::from_millis(1500), address.attempt()).await.is_err());
    for content in ["1", "2", "3"] {
        assert_eq!(events.next().await.unwrap(), message("news", content));
    }
}

#[tokio::test]
async fn events_that_nobody_takes_are_all_there_in_the_end() {
    let mut address = Address::new().await;
    let options = Options { event_queue: 1, ..reconnecting() };
    let (client, mut events, mut node) = address.client(options).await;
    subscribe(&client, &mut node, &["news"]).await;
    node.publish("news", "1").await;
    node.close(1012).await;
    let mut node = address.node().await;
    // The client asks again, but takes no answer as long as its events are not taken.
    node.grant("subscribe", &["news"]).await;
    node.publish("news", "2").await;
    let taking = async {
        assert_eq!(events.next().await.unwrap(), message("news", "1"));
        assert_eq!(disconnected(&mut events).await, closed(1012));
        reconnected(&mut events, 2).await;
        assert_eq!(events.next().await.unwrap(), message("news", "2"));
        assert_eq!(events.next().await, Err(closed(1000)));
    };
    tokio::join!(node.close(1000), taking);
}

#[tokio::test]
async fn whoever_leaves_meanwhile_is_not_connected_again() {
    let mut address = Address::new().await;
    let (client, mut events, node) = address.client(reconnecting()).await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    disconnected(&mut events).await;
    let (published, ()) = tokio::join!(client.publish("news", "x"), client.clone().close());
    assert!(matches!(published, Err(Error::Closed(Closed { code: None, .. }))), "{published:?}");
    assert!(matches!(events.next().await, Err(Error::Closed(Closed { code: None, .. }))));
    gone(attempt).await;
}

#[tokio::test]
async fn so_is_whoever_drops_everything() {
    let mut address = Address::new().await;
    let (client, mut events, node) = address.client(reconnecting()).await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    disconnected(&mut events).await;
    drop(client);
    drop(events);
    gone(attempt).await;
}

/// More than any queue of a client has room for.
const MANY: usize = 3000;

/// A client in the middle of an attempt at its second connection, which lasts for as long as the test wants.
async fn attempting(address: &mut Address) -> (Client, Events, TcpStream) {
    let options = Options { connect_timeout: Duration::from_secs(3600), ..reconnecting() };
    let (client, mut events, node) = address.client(options).await;
    node.close(1012).await;
    let attempt = address.attempt().await;
    disconnected(&mut events).await;
    (client, events, attempt)
}

/// Gives `client` many commands that nobody waits for.
async fn give_up_many(client: &Client) {
    for number in 0..MANY {
        assert_eq!(client.publish("given up", "x").now_or_never(), None);
        assert_eq!(client.subscribe("news").now_or_never(), None);
        // It takes them up meanwhile.
        assert_eq!(client.unsubscribe("news").await, Ok(()), "{number}");
    }
}

#[tokio::test]
async fn however_many_commands_were_given_up_the_next_are_taken() {
    let mut address = Address::new().await;
    let (client, mut events, attempt) = attempting(&mut address).await;
    give_up_many(&client).await;
    let next = async {
        let mut node = address.welcome(attempt, 20.0).await;
        node.grant("publish", &["second"]).await;
    };
    let (published, ()) = tokio::join!(client.publish("second", "x"), next);
    assert_eq!(published, Ok(None));
    reconnected(&mut events, 2).await;
}

#[tokio::test]
async fn however_many_commands_wait_closing_ends_them() {
    let mut address = Address::new().await;
    let (client, mut events, attempt) = attempting(&mut address).await;
    let publishing = join_all((0..MANY).map(|_| client.publish("news", "x")));
    let (published, ()) = tokio::join!(publishing, client.clone().close());
    assert!(published.iter().all(|answer| matches!(answer, Err(Error::Closed(_)))), "{:?}", published.first());
    assert!(matches!(events.next().await, Err(Error::Closed(Closed { code: None, .. }))));
    gone(attempt).await;
}

#[tokio::test]
async fn however_many_commands_were_given_up_dropping_everything_ends_them() {
    let mut address = Address::new().await;
    let (client, events, attempt) = attempting(&mut address).await;
    for _ in 0..MANY {
        assert_eq!(client.publish("given up", "x").now_or_never(), None);
        task::yield_now().await;
    }
    drop(client);
    drop(events);
    gone(attempt).await;
}

/// Waits until the client has given up `attempt`.
async fn gone(mut attempt: TcpStream) {
    // The request for the upgrade, and the end.
    attempt.read_to_end(&mut Vec::new()).await.unwrap();
}
