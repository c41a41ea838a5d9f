//! `fanwire sub`.

use crate::{args::SubArgs, endpoint, failure::Failure, output};
use base64::{Engine, engine::general_purpose::STANDARD};
use fanwire_client::{Client, Closed, Content, Error, Event, Events, Options, Reconnect, Refusal};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{fmt::Write, future};
use tokio::{signal::ctrl_c, time::sleep};

/// Prints what arrives until there was enough of it, Ctrl-C, or the connection ends for good.
pub(crate) async fn subscribe(args: SubArgs) -> Result<(), Failure> {
    let options = Options { reconnect: (!args.no_reconnect).then(Reconnect::default), ..Options::default() };
    let (client, events) = endpoint::connect(&args.endpoint, options).await?;
    // Printing comes first, since messages that nobody takes would hold back the answers to subscriptions.
    let outcome = tokio::select! {
        biased;
        printed = print_all(events, args.json, args.count) => printed,
        failure = keep_listening(&args, &client) => Err(failure),
        pressed = ctrl_c() => pressed.map_err(Failure::from),
    };
    client.close().await;
    outcome
}

/// Subscribes, and returns when that fails or when the time is over.
async fn keep_listening(args: &SubArgs, client: &Client) -> Failure {
    for channel in &args.channels {
        if let Err(error) = client.subscribe(channel).await {
            return error.into();
        }
    }
    announce(args, client);
    match args.timeout {
        None => future::pending().await,
        Some(limit) => sleep(limit).await,
    }
    let what = args.count.map_or_else(|| "the end".to_owned(), |count| format!("{count} messages"));
    Failure::TimedOut(what)
}

fn announce(args: &SubArgs, client: &Client) {
    let what = if args.channels.is_empty() { "broadcasts".to_owned() } else { args.channels.join(", ") };
    output::tell(&format!("listening to {what} at {} (node {})", args.endpoint.url, client.welcome().node));
}

async fn print_all(mut events: Events, json: bool, count: Option<u64>) -> Result<(), Failure> {
    let mut left = count;
    while left != Some(0) {
        let event = events.next().await?;
        let counts = matches!(event, Event::Message { .. } | Event::Broadcast { .. });
        print(&event, json)?;
        left = left.map(|left| left - u64::from(counts));
    }
    Ok(())
}

fn print(event: &Event, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(as_json(event)?.map_or(Ok(()), |object| output::result(&object))?);
    }
    match as_text(event) {
        Line::Result(line) => output::result(&line)?,
        Line::Notice(line) => output::tell(&line),
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Line {
    Result(String),
    Notice(String),
}

fn as_text(event: &Event) -> Line {
    match event {
        Event::Message { channel, content } => {
            Line::Result(format!("{}\t{}", output::printable(channel), text(content)))
        }
        // No channel can be called so.
        Event::Broadcast { content } => Line::Result(format!("*\t{}", text(content))),
        Event::Gap { duration } => {
            let seconds = duration.as_secs_f64();
            Line::Notice(format!("messages of {seconds:.1} s may be missing: the node's link to its broker was down"))
        }
        Event::Dropped { count } => Line::Notice(format!("{count} messages were left out: read too slowly")),
        Event::Refused(refusal) => notice(&told(refusal)),
        Event::Disconnected { reason } => notice(&format!("connection lost ({}), reconnecting", cause(reason))),
        Event::Reconnected { welcome, away } => notice(&format!(
            "connected again to node {} after {:.1} s; messages in between may be missing",
            welcome.node,
            away.as_secs_f64()
        )),
        Event::SubscriptionLost { channel, refusal } => {
            notice(&format!("no longer subscribed to {channel}: {}", told(refusal)))
        }
        other => Line::Notice(output::printable(&format!("{other:?}"))),
    }
}

fn notice(line: &str) -> Line {
    Line::Notice(output::printable(line))
}

fn told(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.code, refusal.message)
}

/// What ended a connection, in few words.
fn cause(error: &Error) -> String {
    match error {
        Error::Closed(Closed { code: Some(code), reason }) if !reason.is_empty() => format!("{code}: {reason}"),
        Error::Closed(Closed { code: Some(code), .. }) => code.to_string(),
        Error::Closed(Closed { code: None, reason }) => reason.clone(),
        other => other.to_string(),
    }
}

fn text(content: &Content) -> String {
    match content {
        Content::Json(json) => output::printable(&json.parse().unwrap_or_else(|_| json.to_string())),
        Content::Binary(bytes) => STANDARD.encode(bytes),
    }
}

/// An event as a line of JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Object<'a> {
    Message {
        channel: &'a str,
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    Broadcast {
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    Gap {
        seconds: f64,
    },
    Dropped {
        count: u64,
    },
    Error {
        code: &'a str,
        message: &'a str,
    },
    Disconnected {
        code: Option<u16>,
        reason: String,
    },
    Reconnected {
        connection: (u64, u64),
        node: u64,
        seconds: f64,
    },
    SubscriptionLost {
        channel: &'a str,
        code: &'a str,
        message: &'a str,
    },
}

/// A content under the key of its form, JSON as it was received.
#[derive(Serialize)]
enum Payload<'a> {
    #[serde(rename = "content")]
    Json(&'a RawValue),
    #[serde(rename = "content_base64")]
    Base64(String),
}

fn as_json(event: &Event) -> Result<Option<String>, Failure> {
    let object = match event {
        Event::Message { channel, content } => Object::Message { channel, payload: payload(content)? },
        Event::Broadcast { content } => Object::Broadcast { payload: payload(content)? },
        Event::Gap { duration } => Object::Gap { seconds: duration.as_secs_f64() },
        Event::Dropped { count } => Object::Dropped { count: *count },
        Event::Refused(Refusal { code, message }) => Object::Error { code, message },
        Event::Disconnected { reason: Error::Closed(Closed { code, reason }) } => {
            Object::Disconnected { code: *code, reason: reason.clone() }
        }
        Event::Disconnected { reason } => Object::Disconnected { code: None, reason: reason.to_string() },
        Event::Reconnected { welcome, away } => {
            Object::Reconnected { connection: welcome.connection, node: welcome.node, seconds: away.as_secs_f64() }
        }
        Event::SubscriptionLost { channel, refusal: Refusal { code, message } } => {
            Object::SubscriptionLost { channel, code, message }
        }
        _ => return Ok(None),
    };
    Ok(Some(escaped(&serde_json::to_string(&object)?)))
}

fn payload(content: &Content) -> Result<Payload<'_>, serde_json::Error> {
    Ok(match content {
        Content::Json(json) => Payload::Json(json.parse()?),
        Content::Binary(bytes) => Payload::Base64(STANDARD.encode(bytes)),
    })
}

/// The JSON text `json` without what terminals take as commands. JSON has control characters only in strings, and of
/// those only such as have this escape.
fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use fanwire_client::Json;

    fn json(text: &str) -> Json {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(event: &Event, line: &Line, object: &str) {
        assert_eq!(as_text(event), *line);
        assert_eq!(as_json(event).ok().flatten().as_deref(), Some(object));
    }

    fn message(content: impl Into<Content>) -> Event {
        Event::Message { channel: "news".to_owned(), content: content.into() }
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
        let broadcast = Event::Broadcast { content: "广播".into() };
        check(&broadcast, &result("*\t广播"), r#"{"type":"broadcast","content":"广播"}"#);
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
    }

    #[test]
    fn reconnecting_is_told() {
        let lost =
            |code, reason: &str| Event::Disconnected { reason: Closed { code, reason: reason.to_owned() }.into() };
        let line = "connection lost (1012: node is going away), reconnecting";
        let object = r#"{"type":"disconnected","code":1012,"reason":"node is going away"}"#;
        check(&lost(Some(1012), "node is going away"), &Line::Notice(line.to_owned()), object);
        let line = "connection lost (1011), reconnecting";
        check(
            &lost(Some(1011), ""),
            &Line::Notice(line.to_owned()),
            r#"{"type":"disconnected","code":1011,"reason":""}"#,
        );
        let line = "connection lost (reset\\u{1b}), reconnecting";
        let object = r#"{"type":"disconnected","code":null,"reason":"reset\u001b"}"#;
        check(&lost(None, "reset\u{1b}"), &Line::Notice(line.to_owned()), object);
        let refusal = Refusal { code: "channel_limit".to_owned(), message: "no more than 1".to_owned() };
        let line = "no longer subscribed to news: channel_limit: no more than 1";
        let object =
            r#"{"type":"subscription_lost","channel":"news","code":"channel_limit","message":"no more than 1"}"#;
        check(&Event::SubscriptionLost { channel: "news".to_owned(), refusal }, &Line::Notice(line.to_owned()), object);
    }
}
