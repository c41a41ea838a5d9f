//! `fanwire sub`.

use crate::{args::SubArgs, endpoint, failure::Failure, output};
use base64::{Engine, engine::general_purpose::STANDARD};
use fanwire_client::{Client, Content, Event, Events, Options, Refusal};
use serde_json::{Value, json};
use std::future;
use tokio::{signal::ctrl_c, time::sleep};

/// Prints what arrives until there was enough of it, Ctrl-C, or the connection ends.
pub(crate) async fn subscribe(args: SubArgs) -> Result<(), Failure> {
    let (client, events) = endpoint::connect(&args.endpoint, Options::default()).await?;
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
        return Ok(as_json(event).map_or(Ok(()), |object| output::result(&object.to_string()))?);
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
        Event::Refused(Refusal { code, message }) => Line::Notice(output::printable(&format!("{code}: {message}"))),
        other => Line::Notice(output::printable(&format!("{other:?}"))),
    }
}

fn text(content: &Content) -> String {
    match content {
        Content::Value(Value::String(text)) => output::printable(text),
        Content::Value(value) => output::printable(&value.to_string()),
        Content::Binary(bytes) => STANDARD.encode(bytes),
    }
}

fn as_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Message { channel, content } => with_content(json!({"type": "message", "channel": channel}), content),
        Event::Broadcast { content } => with_content(json!({"type": "broadcast"}), content),
        Event::Gap { duration } => json!({"type": "gap", "seconds": duration.as_secs_f64()}),
        Event::Dropped { count } => json!({"type": "dropped", "count": count}),
        Event::Refused(Refusal { code, message }) => json!({"type": "error", "code": code, "message": message}),
        _ => return None,
    })
}

fn with_content(mut object: Value, content: &Content) -> Value {
    match content {
        Content::Value(value) => object["content"] = value.clone(),
        Content::Binary(bytes) => object["content_base64"] = STANDARD.encode(bytes).into(),
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event, line: &Line, object: Value) {
        assert_eq!(as_text(event), *line);
        assert_eq!(as_json(event), Some(object));
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
        check(
            &lines,
            &result("news\ttwo\\nlines"),
            json!({"type": "message", "channel": "news", "content": "two\nlines"}),
        );
        let map = json!({"a": [1, null, "ü"]});
        let object = json!({"type": "message", "channel": "news", "content": map});
        check(&message(map), &result(r#"news	{"a":[1,null,"ü"]}"#), object);
        let object = json!({"type": "message", "channel": "news", "content": null});
        check(&message(Value::Null), &result("news\tnull"), object);
        let object = json!({"type": "message", "channel": "news", "content_base64": "AP8="});
        check(&message(Content::Binary(vec![0, 255].into())), &result("news\tAP8="), object);
        let broadcast = Event::Broadcast { content: "广播".into() };
        check(&broadcast, &result("*\t广播"), json!({"type": "broadcast", "content": "广播"}));
    }

    #[test]
    fn losses_are_notices() {
        let gap = Event::Gap { duration: std::time::Duration::from_millis(1500) };
        let line = "messages of 1.5 s may be missing: the node's link to its broker was down";
        check(&gap, &Line::Notice(line.to_owned()), json!({"type": "gap", "seconds": 1.5}));
        let line = "3 messages were left out: read too slowly";
        check(&Event::Dropped { count: 3 }, &Line::Notice(line.to_owned()), json!({"type": "dropped", "count": 3}));
    }
}
