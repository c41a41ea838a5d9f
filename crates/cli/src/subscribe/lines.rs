//! What arrives as lines for people.

use crate::{member, output};
use base64::{Engine, engine::general_purpose::STANDARD};
use fanwire_client::{Closed, Content, Error, Event, Outcome, Position, Recovery, Refusal};

/// A line, and where it goes.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// To standard output.
    Result(String),
    /// To standard error.
    Notice(String),
}

/// `event` as a line.
pub(super) fn as_text(event: &Event) -> Line {
    match event {
        Event::Message { channel, content, .. } => {
            Line::Result(format!("{}\t{}", output::printable(channel), text(content)))
        }
        // No channel can be called so.
        Event::Broadcast { content, .. } => Line::Result(format!("*\t{}", text(content))),
        Event::Gap { duration } => {
            let seconds = duration.as_secs_f64();
            Line::Notice(format!("messages of {seconds:.1} s may be missing: the node's link to its broker was down"))
        }
        Event::Dropped { count } => Line::Notice(format!("{count} messages were left out: read too slowly")),
        Event::Refused(refusal) => notice(&told(refusal)),
        Event::Disconnected { reason } => notice(&format!("connection lost ({}), reconnecting", cause(reason))),
        Event::Lost { channel, position } => notice(&loss(channel.as_deref(), position.as_ref())),
        Event::Recovering { channel, since, newest } => {
            let (count, what) = (newest.saturating_sub(since.offset()), messages_of(channel.as_deref()));
            notice(&format!("recovering {count} {what} behind {since}"))
        }
        Event::Live { channel } => notice(&format!("all missed {} have come", messages_of(channel.as_deref()))),
        Event::Reconnected { welcome, away, recovery } => {
            let (seconds, fate) = (away.as_secs_f64(), fate(recovery));
            notice(&format!("connected again to node {} after {seconds:.1} s; {fate}", welcome.node))
        }
        Event::SubscriptionLost { channel, refusal } => {
            notice(&format!("no longer subscribed to {channel}: {}", told(refusal)))
        }
        Event::Join { channel, member, .. } => notice(&format!("{} is on {channel} now", member::name(member))),
        Event::Leave { channel, member, .. } => notice(&format!("{} has left {channel}", member::name(member))),
        other => Line::Notice(output::printable(&format!("{other:?}"))),
    }
}

fn messages_of(channel: Option<&str>) -> String {
    channel.map_or_else(|| "broadcasts".to_owned(), |channel| format!("messages of {channel}"))
}

/// What can't be had any more.
fn loss(channel: Option<&str>, position: Option<&Position>) -> String {
    let what = messages_of(channel);
    match position {
        Some(place) => format!("{what} are lost up to {place}"),
        None => format!("{what} may be lost: the node keeps no history of them"),
    }
}

/// What became of the messages in between.
fn fate(recovery: &Recovery) -> &'static str {
    match recovery {
        Recovery { lost: 1.., .. } => "messages in between are lost",
        Recovery { unknown: 1.., .. } => "messages in between may be missing",
        Recovery { broadcasts: Outcome::Lost, .. } => "broadcasts in between are lost",
        Recovery { broadcasts: Outcome::Unknown, .. } => "broadcasts in between may be missing",
        _ => "nothing is missing",
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
