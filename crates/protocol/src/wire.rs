//! The maps that native clients are sent: keys and values in their order, the same for both encodings.

use crate::{
    ChangeKind, ConnectionId, Content, Event, Member, MemberChange, Position, Publication, Recovered, RequestId, Target,
};
use serde::Serialize;
use smallvec::SmallVec;
use std::sync::Arc;

/// A value that serde spells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
    Id(&'a RequestId),
    Connection(ConnectionId),
    Position(&'a Position),
}

/// A value under a key.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Scalar(Scalar<'a>),
    /// Has the form in which the encoding has contents, and its key.
    Content(&'a Content),
    /// An array of maps, see [`Map::item`].
    Publications(&'a [Arc<Publication>]),
    /// An array of maps, see [`Map::member`].
    Members(&'a [Member]),
}

/// A map on its way into a frame. As many entries as anything but `welcome` has are kept without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Map<'a>(SmallVec<[(&'static str, Value<'a>); 6]>);

impl<'a> Map<'a> {
    /// The map for `event`; `None` for one that only the plain dialect has.
    pub(crate) fn event(event: &'a Event) -> Option<Self> {
        let mut map = Self::default();
        match event {
            Event::Welcome { connection, node, version, heartbeat, broadcast } => map
                .with("type", Scalar::Text("welcome"))
                .with("connection", Scalar::Connection(*connection))
                .with("node", Scalar::Unsigned(node.get()))
                .with("version", Scalar::Text(version))
                .with("heartbeat", Scalar::Float(*heartbeat))
                .with_some("broadcast", broadcast.as_ref().map(Scalar::Position)),
            Event::Ok { id } => map.ok(id),
            Event::Published { id, position } => map.ok(id).at(position),
            Event::Subscribed { id, position, recovered } => map.ok(id).at(position).recovered(*recovered),
            Event::History { id, position, publications } => {
                map.ok(id).at(position).push("publications", Value::Publications(publications))
            }
            Event::Members { id, members, more } => {
                map.ok(id).push("members", Value::Members(members)).with("more", Scalar::Flag(*more))
            }
            Event::PresenceStats { id, connections, users } => {
                map.ok(id).with("connections", Scalar::Unsigned(*connections)).with("users", Scalar::Unsigned(*users))
            }
            Event::Lost { channel, position } => {
                let channel = channel.as_ref().map(|channel| Scalar::Text(channel.as_str()));
                map.with("type", Scalar::Text("lost")).with_some("channel", channel).at(position)
            }
            Event::Error { id, code, message } => map
                .with("type", Scalar::Text("error"))
                .with_some("id", id.as_ref().map(Scalar::Id))
                .with("code", Scalar::Text(code.as_str()))
                .with("message", Scalar::Text(message)),
            Event::Pong { id } => map.with("type", Scalar::Text("pong")).with_some("id", id.as_ref().map(Scalar::Id)),
            Event::Gap { seconds } => map.with("type", Scalar::Text("gap")).with("seconds", Scalar::Float(*seconds)),
            Event::Dropped { count } => {
                map.with("type", Scalar::Text("dropped")).with("count", Scalar::Unsigned(*count))
            }
            Event::Echo(_) => return None,
        };
        Some(map)
    }

    /// The map that delivers `publication`.
    pub(crate) fn publication(publication: &'a Publication) -> Self {
        let mut map = Self::default();
        if let (Some(change), Target::Channel(channel)) = (&publication.change, &publication.target) {
            map.change(channel.as_str(), change);
            return map;
        }
        match &publication.target {
            Target::Broadcast => map.with("type", Scalar::Text("broadcast")),
            Target::Channel(channel) => {
                map.with("type", Scalar::Text("message")).with("channel", Scalar::Text(channel.as_str()))
            }
        }
        .body(publication);
        map
    }

    /// The map that `publication` is within a part of its target's history.
    pub(crate) fn item(publication: &'a Publication) -> Self {
        let mut map = Self::default();
        map.body(publication);
        map
    }

    /// The map that a member is within a list of them.
    pub(crate) fn member(member: &'a Member) -> Self {
        let mut map = Self::default();
        map.of_member(member);
        map
    }

    /// The keys and values in their order.
    pub(crate) fn entries(&self) -> &[(&'static str, Value<'a>)] {
        &self.0
    }

    /// What to expect of the map's length in either encoding, in bytes.
    pub(crate) fn expected_length(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + PUNCTUATION + value.expected_length()).sum()
    }

    fn push(&mut self, key: &'static str, value: Value<'a>) -> &mut Self {
        self.0.push((key, value));
        self
    }

    fn with(&mut self, key: &'static str, value: Scalar<'a>) -> &mut Self {
        self.push(key, Value::Scalar(value))
    }

    fn with_some(&mut self, key: &'static str, value: Option<Scalar<'a>>) -> &mut Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn ok(&mut self, id: &'a RequestId) -> &mut Self {
        self.with("type", Scalar::Text("ok")).with("id", Scalar::Id(id))
    }

    fn at(&mut self, position: &'a Position) -> &mut Self {
        self.with("epoch", Scalar::Text(position.epoch.as_str())).with("offset", Scalar::Unsigned(position.offset))
    }

    fn recovered(&mut self, recovered: Option<Recovered>) -> &mut Self {
        match recovered {
            None => self,
            Some(Recovered::Nothing) => self.with("recovered", Scalar::Flag(false)),
            Some(Recovered::All { newest }) => {
                self.with("recovered", Scalar::Flag(true)).with("newest", Scalar::Unsigned(newest))
            }
        }
    }

    fn change(&mut self, channel: &'a str, change: &'a MemberChange) -> &mut Self {
        let (name, edge) = match change.kind {
            ChangeKind::Join => ("join", "first"),
            ChangeKind::Leave => ("leave", "last"),
        };
        self.with("type", Scalar::Text(name)).with("channel", Scalar::Text(channel)).of_member(&change.member);
        if change.with_user { self.with(edge, Scalar::Flag(true)) } else { self }
    }

    fn of_member(&mut self, member: &'a Member) -> &mut Self {
        self.with("connection", Scalar::Connection(member.connection))
            .with_some("user", member.user.as_ref().map(|user| Scalar::Text(user.as_str())));
        match &member.info {
            Some(info) => self.push("info", Value::Content(info)),
            None => self,
        }
    }

    fn body(&mut self, publication: &'a Publication) -> &mut Self {
        let offset = publication.position.as_ref().map(|position| Scalar::Unsigned(position.offset));
        self.with_some("offset", offset).push("content", Value::Content(&publication.content))
    }
}

/// What stands around a key and its value in JSON: two quotes, a colon, and a comma or brace.
const PUNCTUATION: usize = 4;

/// What to expect of numbers and the like, in bytes.
const NUMBER: usize = 20;

impl Value<'_> {
    fn expected_length(&self) -> usize {
        match self {
            Self::Scalar(Scalar::Text(text)) => 2 + text.len(),
            Self::Scalar(Scalar::Position(position)) => position.epoch.as_str().len() + 2 * NUMBER,
            Self::Scalar(_) => NUMBER,
            Self::Content(content) => content.parts().1.len(),
            Self::Publications(all) => all.iter().map(|one| Map::item(one).expected_length()).sum(),
            Self::Members(all) => all.iter().map(|one| Map::member(one).expected_length()).sum(),
        }
    }
}
