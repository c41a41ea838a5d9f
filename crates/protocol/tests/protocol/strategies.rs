//! Contents, commands and events of every shape.

use fanwire_protocol::{
    ChannelName, ConnectionId, Content, Epoch, Event, Member, NodeId, Position, Publication, Recovered, RequestId,
    Target, UserId, error,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value};
use std::sync::Arc;

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\u{0}-\u{1f}\"\\\\]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            vec((any::<String>(), inner), 0..20).prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

/// JSON texts that grow most in another form.
fn growing_json() -> impl Strategy<Value = String> {
    let shapes = ["-0", "1e5", "0.1", "-0.0", "[]", "{}", "\"\"", "\"\\u0000\"", "65536", "-33"];
    let item = prop::sample::select(shapes.map(str::to_owned).to_vec());
    prop_oneof![item.clone(), vec(item, 0..300).prop_map(|items| format!("[{}]", items.join(",")))]
}

/// Bytes of one accepted MessagePack value, in every width a writer may choose.
pub(crate) fn message_pack() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::sample::select(vec![0xc0_u8, 0xc2, 0xc3, 0, 0x7f, 0xe0, 0xff, 0xa0, 0x90, 0x80])
            .prop_map(|one| vec![one]),
        any::<[u8; 8]>().prop_map(|rest| [&[0xcf], &rest[..]].concat()),
        any::<[u8; 8]>().prop_map(|rest| [&[0xd3], &rest[..]].concat()),
        any::<[u8; 2]>().prop_map(|rest| [&[0xd1], &rest[..]].concat()),
        any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| [&[0xca], &n.to_be_bytes()[..]].concat()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| [&[0xcb], &n.to_be_bytes()[..]].concat()),
        text(),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        let items = vec(inner.clone(), 0..20).prop_map(|items| counted(0xdc, items.len(), &items.concat()));
        let pairs = vec((text(), inner).prop_map(|(key, value)| [key, value].concat()), 0..20);
        prop_oneof![items, pairs.prop_map(|pairs| counted(0xde, pairs.len(), &pairs.concat()))]
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![any::<String>(), "[\u{0}-\u{1f}]{0,60}"];
    text.prop_map(|text| counted(0xda, text.len(), text.as_bytes()))
}

pub(crate) fn counted(marker: u8, count: usize, body: &[u8]) -> Vec<u8> {
    [&[marker], &u16::try_from(count).unwrap().to_be_bytes()[..], body].concat()
}

pub(crate) fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        value().prop_map(|value| Content::json(&value.to_string()).unwrap()),
        value().prop_map(|value| Content::json(&format!("{value:#}")).unwrap()),
        growing_json().prop_map(|text| Content::json(&text).unwrap()),
        message_pack().prop_map(|bytes| Content::message_pack(&bytes).unwrap()),
        vec(any::<u8>(), 0..200).prop_map(|bytes| Content::binary(bytes.into())),
    ]
}

pub(crate) fn channel() -> impl Strategy<Value = ChannelName> {
    "[!-)+-z|~]{1,200}".prop_filter_map("reserved", |name| ChannelName::parse(&name).ok())
}

pub(crate) fn id() -> impl Strategy<Value = RequestId> {
    prop_oneof![
        any::<u64>().prop_map(RequestId::Unsigned),
        (i64::MIN..0).prop_map(RequestId::Signed),
        "[\u{0}-\u{7f}]{0,64}".prop_map(|text| RequestId::Text(text.into())),
    ]
}

pub(crate) fn position() -> impl Strategy<Value = Position> {
    ("[a-zA-Z0-9]{1,32}", any::<u64>())
        .prop_map(|(epoch, offset)| Position { epoch: Epoch::parse(&epoch).unwrap(), offset })
}

/// A page of a channel's history. Nothing is binary: that has another key in JSON.
fn publications() -> impl Strategy<Value = Vec<Arc<Publication>>> {
    let publication = (channel(), value(), position()).prop_map(|(channel, value, position)| {
        let content = Content::json(&value.to_string()).unwrap();
        Arc::new(Publication::new(Target::Channel(channel), content).at(position))
    });
    vec(publication, 0..20)
}

fn recovered() -> impl Strategy<Value = Recovered> {
    prop_oneof![Just(Recovered::Nothing), any::<u64>().prop_map(|newest| Recovered::All { newest })]
}

fn member() -> impl Strategy<Value = Member> {
    let (node, user) = (any::<u64>().prop_map(NodeId::from_random), "\\PC{1,30}");
    (node, any::<u64>(), prop::option::of(user), prop::option::of("\\PC{0,20}")).prop_map(
        |(node, sequence, user, info)| {
            let user = user.and_then(|user| UserId::parse(&user).ok());
            let info = info.map(|text| Content::string(&text));
            Member { connection: ConnectionId(node, sequence), user, info }
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let node = any::<u64>().prop_map(NodeId::from_random);
    prop_oneof![
        (node, any::<u64>(), 0.0..1e6, prop::option::of(position())).prop_map(
            |(node, sequence, heartbeat, broadcast)| {
                Event::Welcome {
                    connection: ConnectionId(node, sequence),
                    node,
                    version: "0.1.0",
                    heartbeat,
                    broadcast,
                }
            }
        ),
        (id(), position()).prop_map(|(id, position)| Event::Published { id, position }),
        (id(), position(), prop::option::of(recovered())).prop_map(|(id, position, recovered)| Event::Subscribed {
            id,
            position,
            recovered
        }),
        (id(), position(), publications()).prop_map(|(id, position, publications)| Event::History {
            id,
            position,
            publications
        }),
        (id(), vec(member(), 0..20), any::<bool>()).prop_map(|(id, members, more)| Event::Members {
            id,
            members,
            more
        }),
        (id(), any::<u64>(), any::<u64>()).prop_map(|(id, connections, users)| Event::PresenceStats {
            id,
            connections,
            users
        }),
        (prop::option::of(channel()), position()).prop_map(|(channel, position)| Event::Lost { channel, position }),
        id().prop_map(|id| Event::Ok { id }),
        (prop::option::of(id()), prop::sample::select(error::ALL.to_vec()), any::<String>())
            .prop_map(|(id, code, message)| Event::Error { id, code, message }),
        prop::option::of(id()).prop_map(|id| Event::Pong { id }),
        (0.0..1e6).prop_map(|seconds| Event::Gap { seconds }),
        any::<u64>().prop_map(|count| Event::Dropped { count }),
    ]
}
