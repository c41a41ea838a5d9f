//! The client against a WebSocket server that does what each test says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use fanwire_client::{Client, ClientFiles, Closed, Encoding, Error, Event, Options, Refusal};
use futures_util::SinkExt;
use scripted::Node;
use serde_json::{Value, json};
use std::{future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

/// Runs `script` as a node after its welcome, and returns its URL.
async fn node<F: Future<Output = ()> + Send>(script: impl FnOnce(Node) -> F + Send + 'static) -> String {
    server(|stream: TcpStream| async move {
        let mut node = Node::accept(stream).await;
        node.welcome(5, 20.0).await;
        script(node).await;
    })
    .await
}

async fn server<F: Future<Output = ()> + Send>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { script(listener.accept().await.unwrap().0).await });
    url
}

/// A node that answers every command with `ok`, and tells what is published to everybody.
async fn echo(mut node: Node) {
    while let Some(command) = node.hear().await {
        let id = command["id"].clone();
        match command["type"].as_str().unwrap() {
            "publish" => {
                node.tell(json!({"type": "message", "channel": command["channel"], "content": command["content"]}))
                    .await;
                node.tell(json!({"type": "ok", "id": id})).await;
            }
            "ping" => node.tell(json!({"type": "pong", "id": id})).await,
            _ => node.tell(json!({"type": "ok", "id": id})).await,
        }
    }
}

/// A node that says nothing more.
async fn keep(_node: Node) {
    future::pending().await
}

fn message(content: Value) -> Event {
    Event::Message { channel: "news".to_owned(), content: content.into(), position: None }
}

async fn exchange(encoding: Encoding) {
    let url = node(echo).await;
    let (client, mut events) = Client::connect(&url, Options { encoding, ..Options::default() }).await.unwrap();
    let welcome = client.welcome();
    assert_eq!((welcome.connection, welcome.node, welcome.version.as_str()), ((5, 1), 5, "9"));
    assert_eq!(welcome.heartbeat, Duration::from_secs(20));
    client.subscribe("news").await.unwrap();
    client.ping().await.unwrap();
    client.publish("news", json!({"a": [1, null]})).await.unwrap();
    client.broadcast("all").await.unwrap();
    client.unsubscribe("news").await.unwrap();
    assert_eq!(events.next().await, Ok(message(json!({"a": [1, null]}))));
    client.close().await;
    let Err(Error::Closed(Closed { code, .. })) = events.next().await else { panic!("not closed") };
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn commands_are_answered_in_json() {
    exchange(Encoding::Json).await;
}

#[tokio::test]
async fn commands_are_answered_in_message_pack() {
    exchange(Encoding::MessagePack).await;
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let url = node(|mut node: Node| async move {
        let (first, second) = (node.hear().await.unwrap(), node.hear().await.unwrap());
        assert_eq!((&first["channel"], &second["channel"]), (&json!("a"), &json!("b")));
        node.tell(json!({"type": "ok", "id": second["id"]})).await;
        node.tell(json!({"type": "error", "id": first["id"], "code": "bad_request", "message": "no a"})).await;
        node.hear().await;
    })
    .await;
    let (client, _events) = Client::connect(&url, Options::default()).await.unwrap();
    let (first, second) = tokio::join!(client.publish("a", "1"), client.publish("b", "2"));
    assert_eq!(first, Err(Refusal { code: "bad_request".to_owned(), message: "no a".to_owned() }.into()));
    assert_eq!(second, Ok(None));
}

#[tokio::test]
async fn a_close_reaches_everybody_who_waits() {
    let url = node(|mut node: Node| async move {
        node.hear().await;
        node.tell(json!({"type": "message", "channel": "news", "content": "last"})).await;
        let frame = CloseFrame { code: 1012.into(), reason: "drain".into() };
        node.socket.close(Some(frame)).await.unwrap();
        // The client answers the Close frame.
        assert_eq!(node.hear().await, None);
    })
    .await;
    let (client, mut events) = Client::connect(&url, Options::default()).await.unwrap();
    let closed = Error::Closed(Closed { code: Some(1012), reason: "drain".to_owned() });
    assert_eq!(client.ping().await, Err(closed.clone()));
    assert_eq!(events.next().await, Ok(message(json!("last"))));
    assert_eq!(events.next().await, Err(closed.clone()));
    assert_eq!(client.ping().await, Err(closed));
}

#[tokio::test]
async fn a_vanished_node_is_a_close_without_code() {
    let url = node(|mut node: Node| async move {
        node.hear().await;
    })
    .await;
    let (client, _events) = Client::connect(&url, Options::default()).await.unwrap();
    assert!(matches!(client.ping().await, Err(Error::Closed(Closed { code: None, .. }))));
}

#[tokio::test]
async fn a_silent_node_is_a_time_out() {
    let url = node(keep).await;
    let options = Options { answer_timeout: Duration::from_millis(20), ..Options::default() };
    let (client, _events) = Client::connect(&url, options).await.unwrap();
    assert_eq!(client.ping().await, Err(Error::TimedOut("an answer")));
}

#[tokio::test]
async fn a_missing_welcome_is_a_time_out() {
    let url = server(|stream: TcpStream| async move {
        let _node = Node::accept(stream).await;
        future::pending().await
    })
    .await;
    let options = Options { connect_timeout: Duration::from_millis(100), ..Options::default() };
    let refused = Client::connect(&url, options).await.map(|_| ());
    assert_eq!(refused, Err(Error::TimedOut("the node's welcome")));
}

#[tokio::test]
async fn an_early_event_is_not_understood() {
    let url = server(|stream: TcpStream| async move {
        let mut node = Node::accept(stream).await;
        node.tell(json!({"type": "ok", "id": 1})).await;
        node.hear().await;
    })
    .await;
    let refused = Client::connect(&url, Options::default()).await.map(|_| ());
    assert!(matches!(refused, Err(Error::NotUnderstood(_))), "{refused:?}");
}

#[tokio::test]
async fn a_message_that_is_no_event_ends_the_connection() {
    let url = node(|mut node: Node| async move {
        node.socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(node.hear().await, None);
    })
    .await;
    let (client, mut events) = Client::connect(&url, Options::default()).await.unwrap();
    assert!(matches!(events.next().await, Err(Error::NotUnderstood(_))));
    assert!(matches!(client.ping().await, Err(Error::NotUnderstood(_))));
}

#[tokio::test]
async fn an_http_refusal_tells_status_and_body() {
    let url = server(|mut stream: TcpStream| async move {
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let response = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ndraining\n";
        stream.write_all(response).await.unwrap();
    })
    .await;
    let refused = Client::connect(&url, Options::default()).await.map(|_| ());
    assert_eq!(refused, Err(Error::Http { status: 503, body: "draining".to_owned(), retry_after: None }));
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let refused = Client::connect(&url, Options::default()).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn urls_are_checked() {
    for url in ["", "127.0.0.1:8765", "http://127.0.0.1:8765", "ws://", "ws://a b"] {
        let refused = Client::connect(url, Options::default()).await.map(|_| ());
        assert!(matches!(refused, Err(Error::Url { .. })), "{url}: {refused:?}");
    }
    for url in ["ws://app:hunter2@127.0.0.1:8765", "app:hunter2@127.0.0.1", "ws://app:hunter2@a b", "wss://hunter2@a"] {
        let refused = Client::connect(url, Options::default()).await.map(|_| ());
        assert!(matches!(refused, Err(Error::Url { .. })), "{url}: {refused:?}");
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
    }
}

#[tokio::test]
async fn certificates_are_checked_before_they_are_used() {
    let absent = || ClientFiles { ca: Some("absent.pem".into()), ..ClientFiles::default() };
    let connect =
        async |url: &str| Client::connect(url, Options { tls: absent(), ..Options::default() }).await.map(drop);
    let refused = connect("ws://127.0.0.1:8765").await;
    assert!(matches!(&refused, Err(Error::Url { reason, .. }) if reason.contains("for wss://")), "{refused:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = connect(&format!("wss://{}", listener.local_addr().unwrap())).await;
    let told = |reason: &str| reason.starts_with("absent.pem: can't be read");
    assert!(matches!(&refused, Err(Error::Unreachable { reason, .. }) if told(reason)), "{refused:?}");
}

#[tokio::test]
async fn events_that_nobody_takes_hold_back_the_socket_but_not_commands() {
    let url = node(|mut node: Node| async move {
        for number in 0..10 {
            node.tell(json!({"type": "message", "channel": "news", "content": number})).await;
        }
        echo(node).await;
    })
    .await;
    let (client, mut events) = Client::connect(&url, Options { event_queue: 1, ..Options::default() }).await.unwrap();
    let numbers = async {
        for number in 0..10 {
            assert_eq!(events.next().await, Ok(message(json!(number))));
        }
    };
    let (answer, ()) = tokio::join!(client.ping(), numbers);
    assert_eq!(answer, Ok(()));
}

#[tokio::test]
async fn without_events_answers_go_on() {
    let url = node(echo).await;
    let (client, events) = Client::connect(&url, Options { event_queue: 1, ..Options::default() }).await.unwrap();
    drop(events);
    for number in 0..10 {
        client.publish("news", json!(number)).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let (gone, left) = oneshot::channel();
    let url = node(|node: Node| async move {
        echo(node).await;
        gone.send(()).unwrap();
    })
    .await;
    let (client, events) = Client::connect(&url, Options::default()).await.unwrap();
    client.ping().await.unwrap();
    drop(client);
    drop(events);
    left.await.unwrap();
}

#[tokio::test]
async fn many_commands_at_once_are_all_answered_in_order() {
    let url = node(echo).await;
    let (client, mut events) = Client::connect(&url, Options { event_queue: 8, ..Options::default() }).await.unwrap();
    let publishing = futures_util::future::join_all((0..3000).map(|number| client.publish("news", json!(number))));
    let reading = async {
        for number in 0..3000 {
            assert_eq!(events.next().await, Ok(message(json!(number))));
        }
    };
    let (answers, ()) = tokio::join!(publishing, reading);
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
}
