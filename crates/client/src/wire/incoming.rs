//! What nodes say.

use crate::{
    Content, Error, Event, Member, Members, Position, PresenceStats, Refusal, Welcome, call::Granted, content,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, time::Duration};
use tokio_tungstenite::tungstenite::Message;

/// What a node's message is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// The first event.
    Welcome(Welcome),
    /// The answer to the command with this id.
    Answer(u64, Result<Granted, Refusal>),
    /// A publication to a channel or, without one, a broadcast.
    Publication { channel: Option<String>, content: Content, offset: Option<u64> },
    /// What is up to this place of a channel or, without one, of the broadcasts can't be had any more.
    Lost { channel: Option<String>, position: Position },
    /// An event for the user.
    Event(Event),
    /// A kind of event that this client doesn't know, or nothing that matters.
    Other,
}

/// Reads a text as JSON and a binary message as MessagePack.
pub(crate) fn decode(message: &Message) -> Result<Incoming, Error> {
    let event = match message {
        Message::Text(text) => Spelt::Json(text),
        Message::Binary(bytes) => Spelt::MessagePack(bytes),
        _ => return Ok(Incoming::Other),
    };
    event.understand().map_err(Error::NotUnderstood)
}

/// An event as it is spelt. It is read once for its type and once for the fields of that type, since a content can be
/// had as it was written only from a type without tags.
#[derive(Clone, Copy)]
enum Spelt<'a> {
    Json(&'a str),
    MessagePack(&'a [u8]),
}

impl<'a> Spelt<'a> {
    fn read<T: Deserialize<'a>>(self) -> Result<T, String> {
        match self {
            Self::Json(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
            Self::MessagePack(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        }
    }

    fn understand(self) -> Result<Incoming, String> {
        let Type { name } = self.read()?;
        Ok(match &*name {
            "welcome" => Incoming::Welcome(self.read::<Greeting>()?.welcome()?),
            "ok" => self.read::<Answer>()?.granted()?,
            "pong" => {
                self.read::<Pong>()?.id.map_or(Incoming::Other, |id| Incoming::Answer(id, Ok(Granted::default())))
            }
            "error" => self.read::<Refused>()?.told(),
            "message" => self.read::<Delivery>()?.message()?,
            "broadcast" => self.read::<Delivery>()?.broadcast()?,
            "join" => self.read::<Change>()?.join()?,
            "leave" => self.read::<Change>()?.leave()?,
            "lost" => self.read::<Lost>()?.told(),
            "gap" => Incoming::Event(Event::Gap { duration: duration(self.read::<Gap>()?.seconds)? }),
            "dropped" => Incoming::Event(Event::Dropped { count: self.read::<Dropped>()?.count }),
            _ => Incoming::Other,
        })
    }
}

#[derive(Deserialize)]
struct Type<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Greeting {
    connection: (u64, u64),
    node: u64,
    version: String,
    heartbeat: f64,
    broadcast: Option<Position>,
}

impl Greeting {
    fn welcome(self) -> Result<Welcome, String> {
        let Self { connection, node, version, heartbeat, broadcast } = self;
        Ok(Welcome { connection, node, version, heartbeat: duration(heartbeat)?, broadcast })
    }
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    epoch: Option<String>,
    offset: Option<u64>,
    recovered: Option<bool>,
    newest: Option<u64>,
    #[serde(default)]
    publications: Vec<Delivery>,
    #[serde(default)]
    members: Vec<Present>,
    #[serde(default)]
    more: bool,
    connections: Option<u64>,
    users: Option<u64>,
}

impl Answer {
    fn granted(self) -> Result<Incoming, String> {
        let Self { id, epoch, offset, recovered, newest, publications, members, more, connections, users } = self;
        let position = epoch.zip(offset).map(|(epoch, offset)| Position::new(&epoch, offset));
        let publications = publications.into_iter().map(Delivery::entry).collect::<Result<_, _>>()?;
        let members = members.into_iter().map(Present::member).collect::<Result<_, _>>()?;
        let members = Members { members, more };
        let stats = connections.zip(users).map(|(connections, users)| PresenceStats { connections, users });
        Ok(Incoming::Answer(id, Ok(Granted { position, recovered, newest, publications, members, stats })))
    }
}

#[derive(Deserialize)]
struct Lost {
    channel: Option<String>,
    #[serde(flatten)]
    position: Position,
}

impl Lost {
    fn told(self) -> Incoming {
        Incoming::Lost { channel: self.channel, position: self.position }
    }
}

#[derive(Deserialize)]
struct Pong {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Refused {
    id: Option<u64>,
    code: String,
    message: String,
}

impl Refused {
    fn told(self) -> Incoming {
        let refusal = Refusal { code: self.code, message: self.message };
        match self.id {
            Some(id) => Incoming::Answer(id, Err(refusal)),
            None => Incoming::Event(Event::Refused(refusal)),
        }
    }
}

/// A message, a broadcast, or an entry of a history.
#[derive(Deserialize)]
struct Delivery {
    channel: Option<String>,
    offset: Option<u64>,
    /// A content of `null` is a content.
    #[serde(default, deserialize_with = "present")]
    content: Option<Content>,
    content_base64: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    content::incoming(deserializer).map(Some)
}

impl Delivery {
    fn message(mut self) -> Result<Incoming, String> {
        let channel = Some(self.channel.take().ok_or("a message without channel")?);
        Ok(Incoming::Publication { channel, offset: self.offset, content: self.content()? })
    }

    fn broadcast(self) -> Result<Incoming, String> {
        Ok(Incoming::Publication { channel: None, offset: self.offset, content: self.content()? })
    }

    fn entry(self) -> Result<(u64, Content), String> {
        Ok((self.offset.ok_or("an entry of a history without offset")?, self.content()?))
    }

    fn content(self) -> Result<Content, String> {
        match (self.content, self.content_base64) {
            (Some(content), _) => Ok(content),
            (None, Some(text)) => {
                let bytes = STANDARD.decode(text).map_err(|error| format!("content_base64: {error}"))?;
                Ok(Content::Binary(bytes.into()))
            }
            (None, None) => Err("a message without content".to_owned()),
        }
    }
}

/// A member as it is written.
#[derive(Deserialize)]
struct Present {
    connection: (u64, u64),
    user: Option<String>,
    /// An info of `null` is an info.
    #[serde(default, deserialize_with = "present")]
    info: Option<Content>,
    info_base64: Option<String>,
}

impl Present {
    fn member(self) -> Result<Member, String> {
        let Self { connection, user, info, info_base64 } = self;
        let binary = info_base64.map(|text| STANDARD.decode(text)).transpose();
        let binary = binary.map_err(|error| format!("info_base64: {error}"))?;
        Ok(Member { connection, user, info: info.or_else(|| binary.map(|bytes| Content::Binary(bytes.into()))) })
    }
}

/// A member that came or went. Its keys are written once more, since a content can be had as it was written only from a
/// type that is not flattened.
#[derive(Deserialize)]
struct Change {
    channel: String,
    connection: (u64, u64),
    user: Option<String>,
    #[serde(default, deserialize_with = "present")]
    info: Option<Content>,
    info_base64: Option<String>,
    #[serde(default)]
    first: bool,
    #[serde(default)]
    last: bool,
}

impl Change {
    fn join(self) -> Result<Incoming, String> {
        let first = self.first;
        let (channel, member) = self.parts()?;
        Ok(Incoming::Event(Event::Join { channel, member, first }))
    }

    fn leave(self) -> Result<Incoming, String> {
        let last = self.last;
        let (channel, member) = self.parts()?;
        Ok(Incoming::Event(Event::Leave { channel, member, last }))
    }

    fn parts(self) -> Result<(String, Member), String> {
        let Self { channel, connection, user, info, info_base64, .. } = self;
        Ok((channel, Present { connection, user, info, info_base64 }.member()?))
    }
}

#[derive(Deserialize)]
struct Gap {
    seconds: f64,
}

#[derive(Deserialize)]
struct Dropped {
    count: u64,
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}
