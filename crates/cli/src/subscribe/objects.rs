//! What arrives as JSON objects for programs.

use crate::{
    failure::Failure,
    member::Described,
    payload::{self, Payload, escaped},
};
use fanwire_client::{Closed, Error, Event, Outcome, Position, Recovery, Refusal, Welcome};
use serde::Serialize;
use std::time::Duration;

/// An event as a line of JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Object<'a> {
    Message {
        channel: &'a str,
        #[serde(flatten)]
        place: Option<&'a Position>,
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    Broadcast {
        #[serde(flatten)]
        place: Option<&'a Position>,
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    Lost {
        channel: Option<&'a str>,
        #[serde(flatten)]
        place: Option<&'a Position>,
    },
    Recovering {
        channel: Option<&'a str>,
        messages: u64,
        #[serde(flatten)]
        place: &'a Position,
    },
    Live {
        channel: Option<&'a str>,
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
        recovered: usize,
        unknown: usize,
        lost: usize,
        broadcasts: &'static str,
    },
    SubscriptionLost {
        channel: &'a str,
        code: &'a str,
        message: &'a str,
    },
    Join {
        channel: &'a str,
        #[serde(flatten)]
        member: Described<'a>,
        first: bool,
    },
    Leave {
        channel: &'a str,
        #[serde(flatten)]
        member: Described<'a>,
        last: bool,
    },
}

/// `event` as a JSON object on a line, if there is one for it.
pub(super) fn as_json(event: &Event) -> Result<Option<String>, Failure> {
    let object = match event {
        Event::Message { channel, content, position } => {
            Object::Message { channel, place: position.as_ref(), payload: payload::of(content)? }
        }
        Event::Broadcast { content, position } => {
            Object::Broadcast { place: position.as_ref(), payload: payload::of(content)? }
        }
        Event::Lost { channel, position } => Object::Lost { channel: channel.as_deref(), place: position.as_ref() },
        Event::Recovering { channel, since, newest } => {
            let messages = newest.saturating_sub(since.offset());
            Object::Recovering { channel: channel.as_deref(), messages, place: since }
        }
        Event::Live { channel } => Object::Live { channel: channel.as_deref() },
        Event::Gap { duration } => Object::Gap { seconds: duration.as_secs_f64() },
        Event::Dropped { count } => Object::Dropped { count: *count },
        Event::Refused(Refusal { code, message }) => Object::Error { code, message },
        Event::Disconnected { reason: Error::Closed(Closed { code, reason }) } => {
            Object::Disconnected { code: *code, reason: reason.clone() }
        }
        Event::Disconnected { reason } => Object::Disconnected { code: None, reason: reason.to_string() },
        Event::Reconnected { welcome, away, recovery } => reconnected(welcome, *away, recovery),
        Event::SubscriptionLost { channel, refusal: Refusal { code, message } } => {
            Object::SubscriptionLost { channel, code, message }
        }
        Event::Join { channel, member, first } => {
            Object::Join { channel, member: Described::new(member)?, first: *first }
        }
        Event::Leave { channel, member, last } => {
            Object::Leave { channel, member: Described::new(member)?, last: *last }
        }
        _ => return Ok(None),
    };
    Ok(Some(object.line()?))
}

fn reconnected(welcome: &Welcome, away: Duration, recovery: &Recovery) -> Object<'static> {
    let Recovery { recovered, unknown, lost, .. } = *recovery;
    let broadcasts = match recovery.broadcasts {
        Outcome::Recovered => "recovered",
        Outcome::Unknown => "unknown",
        Outcome::Lost => "lost",
    };
    let (connection, node, seconds) = (welcome.connection, welcome.node, away.as_secs_f64());
    Object::Reconnected { connection, node, seconds, recovered, unknown, lost, broadcasts }
}

impl Object<'_> {
    fn line(&self) -> Result<String, Failure> {
        Ok(escaped(&serde_json::to_string(self)?))
    }
}
