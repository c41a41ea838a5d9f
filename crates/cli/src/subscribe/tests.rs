#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{
    lines::{Line, as_text},
    objects::as_json,
};
use fanwire_client::{Closed, Content, Event, Json, Position, Refusal};

fn json(text: &str) -> Json {
    text.parse().unwrap()
}

#[track_caller]
fn check(event: &Event, line: &Line, object: &str) {
    assert_eq!(as_text(event), *line);
    assert_eq!(as_json(event).ok().flatten().as_deref(), Some(object));
}

fn message(content: impl Into<Content>) -> Event {
    Event::Message { channel: "news".to_owned(), content: content.into(), position: None }
}

fn result(line: &str) -> Line {
    Line::Result(line.to_owned())
}

#[test]
fn messages_are_lines() {
    let lines = message("two\nlines");
    check(&lines, &result("news\ttwo\\nlines"), r#"{"type":"message","channel":"news","content":"two\nlines"}"#);
    let object = r#"{"type":"message","channel":"news","content":null}"#;
    check(&message(serde_json::Value::Null), &result("news\tnull"), object);
    let object = r#"{"type":"message","channel":"news","content_base64":"AP8="}"#;
    check(&message(Content::Binary(vec![0, 255].into())), &result("news\tAP8="), object);
    let broadcast = Event::Broadcast { content: "广播".into(), position: None };
    check(&broadcast, &result("*\t广播"), r#"{"type":"broadcast","content":"广播"}"#);
}

#[test]
fn places_are_for_programs() {
    let position = Some(Position::new("aB3", 18));
    let message = Event::Message { channel: "news".to_owned(), content: "x".into(), position: position.clone() };
    let object = r#"{"type":"message","channel":"news","epoch":"aB3","offset":18,"content":"x"}"#;
    check(&message, &result("news\tx"), object);
    let broadcast = Event::Broadcast { content: "x".into(), position };
    check(&broadcast, &result("*\tx"), r#"{"type":"broadcast","epoch":"aB3","offset":18,"content":"x"}"#);
    let object = r#"{"type":"recovering","channel":"news","messages":2,"epoch":"aB3","offset":18}"#;
    let recovering = |channel: Option<&str>| Event::Recovering {
        channel: channel.map(str::to_owned),
        since: Position::new("aB3", 18),
        newest: 20,
    };
    let notice = |line: &str| Line::Notice(line.to_owned());
    check(&recovering(Some("news")), &notice("recovering 2 messages of news behind aB3.18"), object);
    let object = r#"{"type":"recovering","channel":null,"messages":2,"epoch":"aB3","offset":18}"#;
    check(&recovering(None), &notice("recovering 2 broadcasts behind aB3.18"), object);
    let live = Event::Live { channel: Some("news".to_owned()) };
    check(&live, &notice("all missed messages of news have come"), r#"{"type":"live","channel":"news"}"#);
}

#[test]
fn json_stays_as_it_is_written() {
    let written = r#"{"z":1.0e5,"a":[12345678901234567890123,"ü"]}"#;
    let object = format!(r#"{{"type":"message","channel":"news","content":{written}}}"#);
    check(&message(json(written)), &result(&format!("news\t{written}")), &object);
}

#[test]
fn terminals_get_no_commands() {
    let object = r#"{"type":"message","channel":"news","content":{"a\u009bb":"\u007f"}}"#;
    check(&message(json("{\"a\u{9b}b\":\"\u{7f}\"}")), &result(r#"news	{"a\u{9b}b":"\u{7f}"}"#), object);
}

#[test]
fn losses_are_notices() {
    let gap = Event::Gap { duration: std::time::Duration::from_millis(1500) };
    let line = "messages of 1.5 s may be missing: the node's link to its broker was down";
    check(&gap, &Line::Notice(line.to_owned()), r#"{"type":"gap","seconds":1.5}"#);
    let line = "3 messages were left out: read too slowly";
    check(&Event::Dropped { count: 3 }, &Line::Notice(line.to_owned()), r#"{"type":"dropped","count":3}"#);
    let lost = Event::Lost { channel: Some("news".to_owned()), position: Some(Position::new("aB3", 18)) };
    let line = "messages of news are lost up to aB3.18";
    let object = r#"{"type":"lost","channel":"news","epoch":"aB3","offset":18}"#;
    check(&lost, &Line::Notice(line.to_owned()), object);
    let line = "broadcasts may be lost: the node keeps no history of them";
    let lost = Event::Lost { channel: None, position: None };
    check(&lost, &Line::Notice(line.to_owned()), r#"{"type":"lost","channel":null}"#);
}

#[test]
fn reconnecting_is_told() {
    let lost = |code, reason: &str| Event::Disconnected { reason: Closed { code, reason: reason.to_owned() }.into() };
    let line = "connection lost (1012: node is going away), reconnecting";
    let object = r#"{"type":"disconnected","code":1012,"reason":"node is going away"}"#;
    check(&lost(Some(1012), "node is going away"), &Line::Notice(line.to_owned()), object);
    let line = "connection lost (1011), reconnecting";
    check(&lost(Some(1011), ""), &Line::Notice(line.to_owned()), r#"{"type":"disconnected","code":1011,"reason":""}"#);
    let line = "connection lost (reset\\u{1b}), reconnecting";
    let object = r#"{"type":"disconnected","code":null,"reason":"reset\u001b"}"#;
    check(&lost(None, "reset\u{1b}"), &Line::Notice(line.to_owned()), object);
    let refusal = Refusal { code: "channel_limit".to_owned(), message: "no more than 1".to_owned() };
    let line = "no longer subscribed to news: channel_limit: no more than 1";
    let object = r#"{"type":"subscription_lost","channel":"news","code":"channel_limit","message":"no more than 1"}"#;
    check(&Event::SubscriptionLost { channel: "news".to_owned(), refusal }, &Line::Notice(line.to_owned()), object);
}
