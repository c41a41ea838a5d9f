//! Who is on a channel, as the client asks and is told, against a WebSocket server that does what each test says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use fanwire_client::{Client, Content, Encoding, Error, Event, Events, MembersQuery, Options, Reconnect};
use scripted::Node;
use serde_json::json;
use tokio::net::TcpListener;

/// A listener for nodes, and its URL.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn accept(listener: &TcpListener) -> Node {
    let mut node = Node::accept(listener.accept().await.unwrap().0).await;
    node.welcome(5, 20.0).await;
    node
}

async fn connected(listener: &TcpListener, url: &str, options: Options) -> (Node, Client, Events) {
    let (node, client) = tokio::join!(accept(listener), Client::connect(url, options));
    let (client, events) = client.unwrap();
    (node, client, events)
}

#[tokio::test]
async fn members_are_read_and_counted() {
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let (listener, url) = listen().await;
        let (mut node, client, _events) = connected(&listener, &url, Options { encoding, ..Options::default() }).await;
        let script = async {
            let asked = node.hear().await.unwrap();
            let expected = json!({"type": "presence", "id": asked["id"], "channel": "a", "limit": 2, "after": [5, 7]});
            assert_eq!(asked, expected);
            let members = json!([{"connection": [5, 8]}, {"connection": [6, 1], "user": "zoe", "info": null, "new": 1},
                {"connection": [6, 2], "info_base64": "AP8="}]);
            node.tell(json!({"type": "ok", "id": asked["id"], "members": members, "more": true})).await;
            let asked = node.hear().await.unwrap();
            assert_eq!(asked, json!({"type": "presence_stats", "id": asked["id"], "channel": "a"}));
            node.tell(json!({"type": "ok", "id": asked["id"], "connections": 3, "users": 1})).await;
            let asked = node.hear().await.unwrap();
            node.refuse(&asked, "no_presence").await;
        };
        let asking = async {
            let page = client.members("a", MembersQuery { after: Some((5, 7)), limit: Some(2) }).await.unwrap();
            let shown: Vec<_> = page.members.iter().map(|one| (one.connection, one.user.as_deref())).collect();
            assert_eq!((shown, page.more), (vec![((5, 8), None), ((6, 1), Some("zoe")), ((6, 2), None)], true));
            let infos: Vec<_> = page.members.into_iter().map(|one| one.info).collect();
            let binary = Content::Binary(vec![0, 255].into());
            assert_eq!(infos, [None, Some(serde_json::Value::Null.into()), Some(binary)]);
            let stats = client.presence_stats("a").await.unwrap();
            assert_eq!((stats.connections, stats.users), (3, 1));
            let Err(Error::Refused(refusal)) = client.members("b", MembersQuery::default()).await else {
                panic!("not refused")
            };
            assert_eq!(refusal.code, "no_presence");
        };
        tokio::join!(script, asking);
    }
}

#[tokio::test]
async fn who_comes_and_goes_is_told() {
    let (listener, url) = listen().await;
    let (mut node, _client, mut events) = connected(&listener, &url, Options::default()).await;
    let member = json!({"channel": "a", "connection": [5, 8], "user": "zoe", "info": {"n": 1}});
    for (kind, edge) in [("join", "first"), ("leave", "last"), ("join", "")] {
        let mut event = member.clone();
        event["type"] = kind.into();
        if !edge.is_empty() {
            event[edge] = true.into();
        }
        node.tell(event).await;
        let (channel, member, alone) = match events.next().await.unwrap() {
            Event::Join { channel, member, first } if kind == "join" => (channel, member, first),
            Event::Leave { channel, member, last } if kind == "leave" => (channel, member, last),
            other => panic!("{other:?}"),
        };
        assert_eq!((channel.as_str(), member.connection, member.user.as_deref()), ("a", (5, 8), Some("zoe")));
        assert_eq!((member.info, alone), (Some(json!({"n": 1}).into()), !edge.is_empty()));
    }
}

#[tokio::test]
async fn what_a_connection_says_of_itself_is_said_again_by_the_next() {
    let (listener, url) = listen().await;
    let options = Options { reconnect: Some(Reconnect::default()), ..Options::default() };
    let (mut node, client, _events) = connected(&listener, &url, options).await;
    let subscribed = async {
        let asked = node.hear().await.unwrap();
        assert_eq!((&asked["type"], &asked["info"]), (&json!("subscribe"), &json!({"device": "phone"})));
        node.ok(&asked).await;
        node.close(1012).await;
    };
    let (place, ()) = tokio::join!(client.subscribe_as("a", json!({"device": "phone"})), subscribed);
    assert_eq!(place, Ok(None));
    let mut node = accept(&listener).await;
    let asked = node.hear().await.unwrap();
    assert_eq!((&asked["channel"], &asked["info"]), (&json!("a"), &json!({"device": "phone"})));
}
