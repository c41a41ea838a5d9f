//! Who is on a channel: what a connection says of itself, what it is told, and what it may ask.

use crate::testing::{Client, Fixture, Settings, settle};
use fanwire_auth::{Grant, Rights};
use fanwire_protocol::{Content, Dialect, UserId};
use serde_json::{Value, json};
use std::time::Duration;

async fn user(fixture: &Fixture, user: Option<&str>) -> (Client, Value) {
    let mut client = fixture.connect_user(user, Dialect::Json, 1 << 20, &[]);
    let welcome = client.event().await;
    (client, welcome["connection"].clone())
}

async fn ask(client: &mut Client, command: Value) -> Value {
    client.send(&command.to_string()).await;
    client.event().await
}

async fn subscribe(client: &mut Client, channel: &str, info: Value) {
    let mut command = json!({ "type": "subscribe", "id": 1, "channel": channel });
    if !info.is_null() {
        command["info"] = info;
    }
    assert_eq!(ask(client, command).await["type"], "ok");
}

#[tokio::test(start_paused = true)]
async fn others_are_told_who_comes_and_goes() {
    let fixture = Fixture::start();
    let (mut watcher, _) = user(&fixture, None).await;
    subscribe(&mut watcher, "room:1", Value::Null).await;
    let (mut first, one) = user(&fixture, Some("zoe")).await;
    let (mut second, two) = user(&fixture, Some("zoe")).await;
    subscribe(&mut first, "room:1", json!({ "n": 1 })).await;
    let join = json!({ "type": "join", "channel": "room:1", "connection": one, "user": "zoe", "info": { "n": 1 },
        "first": true });
    assert_eq!(watcher.event().await, join);
    subscribe(&mut second, "room:1", Value::Null).await;
    let join = json!({ "type": "join", "channel": "room:1", "connection": two, "user": "zoe" });
    assert_eq!(watcher.event().await, join);
    assert_eq!(first.event().await, join);

    first.send(r#"{"type":"unsubscribe","channel":"room:1"}"#).await;
    let leave = json!({ "type": "leave", "channel": "room:1", "connection": one, "user": "zoe", "info": { "n": 1 } });
    assert_eq!(watcher.event().await, leave);
    assert_eq!(second.event().await, leave);
    // However a connection ends.
    drop(second);
    let leave = json!({ "type": "leave", "channel": "room:1", "connection": two, "user": "zoe", "last": true });
    assert_eq!(watcher.event().await, leave);
    settle().await;
    assert_eq!(watcher.frames().await, []);
    assert_eq!(first.frames().await, []);
    assert_eq!(fixture.metric("fanwire_presence_members", ""), 1);
}

#[tokio::test(start_paused = true)]
async fn members_are_listed_in_pages_and_counted() {
    let fixture = Fixture::start();
    let mut clients = Vec::new();
    for n in 0..5 {
        let (mut client, id) = user(&fixture, Some(if n < 2 { "a" } else { "b" })).await;
        subscribe(&mut client, "room:1", json!(n)).await;
        clients.push((client, id));
    }
    let (mut asker, _) = user(&fixture, None).await;
    let member = |n: usize| json!({ "connection": clients[n].1, "user": if n < 2 { "a" } else { "b" }, "info": n });
    let page = ask(&mut asker, json!({ "type": "presence", "id": 2, "channel": "room:1", "limit": 3 })).await;
    let members = [member(0), member(1), member(2)];
    assert_eq!(page, json!({ "type": "ok", "id": 2, "members": members, "more": true }));
    let rest = json!({ "type": "presence", "id": 3, "channel": "room:1", "after": clients[2].1 });
    let members = [member(3), member(4)];
    assert_eq!(ask(&mut asker, rest).await, json!({ "type": "ok", "id": 3, "members": members, "more": false }));
    let stats = ask(&mut asker, json!({ "type": "presence_stats", "id": 4, "channel": "room:1" })).await;
    assert_eq!(stats, json!({ "type": "ok", "id": 4, "connections": 5, "users": 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_cut_to_what_fits() {
    let fixture = Fixture::with(Settings { outbox_limit: 8 << 10, ..Settings::default() });
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (mut client, _) = user(&fixture, None).await;
        subscribe(&mut client, "room:1", json!("x".repeat(1000))).await;
        clients.push(client);
    }
    let (mut asker, _) = user(&fixture, None).await;
    let page = ask(&mut asker, json!({ "type": "presence", "id": 2, "channel": "room:1" })).await;
    let count = page["members"].as_array().unwrap().len();
    assert!((1..=4).contains(&count) && page["more"] == true, "{count}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_presence_and_what_is_too_long_is_refused() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    for (command, code, words) in [
        (json!({ "type": "subscribe", "channel": "news", "info": 1 }), "no_presence", "\"default\" has no presence"),
        (json!({ "type": "presence", "channel": "news" }), "no_presence", "no presence"),
        (json!({ "type": "presence_stats", "channel": "news" }), "no_presence", "no presence"),
        (json!({ "type": "presence", "channel": "x:y" }), "unknown_namespace", "known are"),
        (
            json!({ "type": "subscribe", "channel": "room:1", "info": "x".repeat(1023) }),
            "message_too_large",
            "1025 bytes, at most 1024",
        ),
    ] {
        let refused = ask(&mut client, command.clone()).await;
        assert_eq!(refused["code"], code, "{command}");
        assert!(refused["message"].as_str().unwrap().contains(words), "{refused}");
    }
    subscribe(&mut client, "room:1", json!("x".repeat(1022))).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_may_have_both_a_history_and_presence() {
    let fixture = Fixture::with(Settings { history: 10, ..Settings::default() });
    let (mut watcher, _) = user(&fixture, None).await;
    subscribe(&mut watcher, "hall:1", Value::Null).await;
    let (mut other, id) = user(&fixture, None).await;
    subscribe(&mut other, "hall:1", Value::Null).await;
    other.send(r#"{"type":"publish","channel":"hall:1","content":1,"echo":false}"#).await;
    other.send(r#"{"type":"unsubscribe","channel":"hall:1"}"#).await;
    assert_eq!(watcher.event().await, json!({ "type": "join", "channel": "hall:1", "connection": id }));
    assert_eq!(watcher.event().await["offset"], 1);
    assert_eq!(watcher.event().await, json!({ "type": "leave", "channel": "hall:1", "connection": id }));
    let page = ask(&mut other, json!({ "type": "history", "id": 5, "channel": "hall:1" })).await;
    assert_eq!(page["publications"], json!([{ "offset": 1, "content": 1 }]));
}

#[tokio::test(start_paused = true)]
async fn what_a_token_says_of_a_member_is_not_the_clients_to_replace() {
    let fixture = Fixture::start();
    let info = Content::json(&format!(r#""{}""#, "x".repeat(1000))).unwrap();
    let (user, lasts) = (UserId::parse("zoe").ok(), Duration::from_secs(60));
    let grant = Grant { user, info: Some(info), rights: Rights::default(), id: None, lasts };
    let mut client = fixture.connect_bearer(grant.clone()).await;
    let own = ask(&mut client, json!({ "type": "subscribe", "id": 1, "channel": "room:1", "info": 7 })).await;
    assert_eq!((&own["type"], &own["code"]), (&json!("error"), &json!("forbidden")));
    subscribe(&mut client, "room:1", Value::Null).await;
    // Where nobody is seen it says nothing.
    subscribe(&mut client, "news", Value::Null).await;
    let mut silent = fixture.connect_bearer(Grant { info: None, ..grant }).await;
    subscribe(&mut silent, "room:1", json!(7)).await;
    let page = ask(&mut silent, json!({ "type": "presence", "id": 2, "channel": "room:1" })).await;
    let members = page["members"].as_array().unwrap();
    let seen: Vec<_> = members.iter().map(|member| (&member["user"], &member["info"])).collect();
    assert_eq!(seen, [(&json!("zoe"), &json!("x".repeat(1000))), (&json!("zoe"), &json!(7))]);
}

#[tokio::test(start_paused = true)]
async fn whoever_a_proxy_tells_of_is_noted_until_the_connection_ends() {
    let fixture = Fixture::start();
    let zoe = UserId::parse("zoe").unwrap();
    let (client, _) = user(&fixture, Some("zoe")).await;
    let (mut other, _) = user(&fixture, Some("zoe")).await;
    subscribe(&mut other, "room:1", Value::Null).await;
    assert_eq!(fixture.sessions.users.dismiss_user(&zoe, u64::MAX).len(), 2);
    drop((client, other));
    settle().await;
    assert!(fixture.sessions.users.dismiss_user(&zoe, u64::MAX).is_empty());
}
