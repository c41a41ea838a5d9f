//! The README against the code.

use crate::support::{bytes, decode_json, decode_message_pack, payload};
use fanwire_protocol::{
    ChangeKind, ConnectionId, Content, Decoded, Dialect, Dialects, Epoch, ErrorCode, Event, Member, MemberChange,
    NodeId, Position, Publication, Recovered, RequestId, Target, TemplateTexts, UserId, channel, close, command,
    content, dialect, error, member as members, position,
};
use serde_json::Value;
use std::sync::Arc;

const README: &str = include_str!("../../README.md");

/// The texts of the fenced blocks in `language`, each with the line it begins at.
fn blocks(language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = README.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line == format!("```{language}") {
            let text: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            blocks.push((at + 2, text.join("\n")));
        }
    }
    blocks
}

fn place() -> Position {
    Position { epoch: Epoch::parse("e").unwrap(), offset: 7 }
}

fn welcome(broadcast: Option<Position>) -> Event {
    let node = NodeId::from_random(1);
    Event::Welcome { connection: ConnectionId(node, 1), node, version: "0.1.0", heartbeat: 20.0, broadcast }
}

/// The events about histories.
fn events_of_histories() -> [Event; 8] {
    let (id, position) = (|| RequestId::Unsigned(1), place);
    let publications = vec![Arc::new(Publication::new(news(), Content::string("x")).at(place()))];
    [
        welcome(Some(place())),
        Event::Published { id: id(), position: position() },
        Event::Subscribed { id: id(), position: position(), recovered: None },
        Event::Subscribed { id: id(), position: position(), recovered: Some(Recovered::All { newest: 9 }) },
        Event::Subscribed { id: id(), position: position(), recovered: Some(Recovered::Nothing) },
        Event::History { id: id(), position: position(), publications },
        Event::Lost { channel: Some(channel::ChannelName::parse("news").unwrap()), position: position() },
        Event::Lost { channel: None, position: position() },
    ]
}

fn news() -> Target {
    Target::Channel(channel::ChannelName::parse("news").unwrap())
}

fn member(user: Option<&str>, info: Option<Content>) -> Member {
    let user = user.map(|user| UserId::parse(user).unwrap());
    Member { connection: ConnectionId(NodeId::from_random(1), 1), user, info }
}

/// The events about members that are answers.
fn events_of_members() -> [Event; 2] {
    let id = || RequestId::Unsigned(1);
    let members = vec![member(None, None), member(Some("zoe"), Some(Content::string("x")))];
    [Event::Members { id: id(), members, more: true }, Event::PresenceStats { id: id(), connections: 3, users: 1 }]
}

/// Those that subscribers get.
fn changes() -> [Publication; 3] {
    let channel = || channel::ChannelName::parse("news").unwrap();
    let change = |kind, member, with_user| Publication::of_change(channel(), MemberChange { kind, member, with_user });
    [
        change(ChangeKind::Join, member(None, None), false),
        change(ChangeKind::Join, member(Some("zoe"), Some(Content::string("x"))), true),
        change(ChangeKind::Leave, member(Some("zoe"), Some(Content::binary(vec![1].into()))), true),
    ]
}

/// Publications with and without a place.
fn publications() -> [Publication; 6] {
    let (text, binary) = (|| Content::string("x"), || Content::binary(vec![1].into()));
    [
        Publication::new(news(), text()),
        Publication::new(news(), text()).at(place()),
        Publication::new(news(), binary()).at(place()),
        Publication::new(Target::Broadcast, text()),
        Publication::new(Target::Broadcast, binary()),
        Publication::new(Target::Broadcast, text()).at(place()),
    ]
}

/// Every event, as the JSON dialect writes it.
fn events() -> Vec<Value> {
    let dialects = Dialects::default();
    let id = Some(RequestId::Unsigned(1));
    let events = [
        welcome(None),
        Event::Ok { id: RequestId::Unsigned(1) },
        Event::Error { id: id.clone(), code: ErrorCode::Internal, message: String::new() },
        Event::Pong { id },
        Event::Pong { id: None },
        Event::Gap { seconds: 1.0 },
        Event::Dropped { count: 1 },
    ];
    let events = events.into_iter().chain(events_of_histories()).chain(events_of_members());
    let events = events.map(|event| dialects.encode(Dialect::Json, &event).unwrap());
    let publications: Vec<_> = publications().into_iter().chain(changes()).collect();
    let publications = publications.iter().map(|one| one.frame(Dialect::Json, &dialects).cloned().unwrap());
    events.chain(publications).map(|frame| serde_json::from_slice(payload(&frame).1).unwrap()).collect()
}

fn keys(event: &Value) -> Vec<&String> {
    event.as_object().unwrap().keys().collect()
}

fn is_event(example: &Value) -> bool {
    events().iter().any(|event| event["type"] == example["type"] && keys(event) == keys(example))
}

#[test]
fn every_json_example_is_a_command_or_an_event() {
    let (mut commands, mut told) = (0, 0);
    for (at, line) in blocks("json").iter().flat_map(|(at, text)| text.lines().map(move |line| (at, line))) {
        let example: Value = serde_json::from_str(line).unwrap();
        match decode_json(line) {
            Decoded::Request(_) => commands += 1,
            _ if is_event(&example) => told += 1,
            Decoded::Refused { refusal, .. } => panic!("block at line {at}: {line}: {}", refusal.message),
        }
    }
    assert!(commands >= 5 && told >= events().len(), "{commands} commands, {told} events");
}

#[test]
fn every_command_and_event_has_an_example() {
    let examples: Vec<Value> = blocks("json")
        .iter()
        .flat_map(|(_, text)| text.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in events() {
        assert!(examples.iter().any(|example| keys(example) == keys(&event)), "no example of {event}");
    }
    for label in command::LABELS.iter().filter(|label| !matches!(**label, "echo" | "invalid")) {
        assert!(examples.iter().any(|example| example["type"] == **label), "no example of {label}");
    }
}

#[test]
fn every_hex_example_is_the_json_before_it() {
    let (json, hex) = (blocks("json"), blocks("hex"));
    assert!(hex.len() >= 5);
    for (at, text) in hex {
        let (_, before) = json.iter().rfind(|(start, _)| *start < at).unwrap();
        let packed = bytes(&text);
        let value: Value = rmp_serde::from_slice(&packed).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(before).unwrap(), "block at line {at}");
        let is_command = |decoded| matches!(decoded, Decoded::Request(_));
        assert_eq!(is_command(decode_message_pack(&packed)), is_command(decode_json(before)), "block at line {at}");
    }
}

#[track_caller]
fn check(text: &str) {
    assert!(README.contains(text), "README.md doesn't say: {text}");
}

#[test]
fn every_catalogue_is_complete() {
    for code in error::ALL {
        check(&format!("\n| `{}` |", code.as_str()));
    }
    for reason in close::ALL {
        check(&format!("\n| {} | {} |", reason.code(), reason.text()));
    }
    for subprotocol in dialect::ALL.into_iter().filter_map(Dialect::subprotocol) {
        check(&format!("\n| `{subprotocol}` |"));
    }
    for event in events() {
        check(&format!("\n| `{}` |", event["type"].as_str().unwrap()));
    }
    for label in command::LABELS.iter().filter(|label| !matches!(**label, "echo" | "invalid")) {
        check(&format!("\n| `{label}` |"));
    }
}

#[test]
fn texts_and_bounds_are_those_of_the_code() {
    let texts = TemplateTexts::default();
    for text in [texts.broadcast, texts.reply, texts.reply_text, texts.error, texts.no_content] {
        check(&format!("`{text}`"));
    }
    check(&format!("1 to {} printable ASCII characters", channel::MAX_LENGTH));
    check(&format!("Names that begin with `{}` are reserved", channel::RESERVED_PREFIX));
    check(&format!("or a string of at most {}\nbytes", command::MAX_ID_LENGTH));
    check(&format!("`limit` (1 to {}, default {})", command::MAX_LIMIT, command::DEFAULT_LIMIT));
    check(&format!("(1 to {} bytes of text)", command::MAX_KEY_LENGTH));
    check(&format!("(1 to {} ASCII letters and digits)", position::MAX_EPOCH));
    check(&format!("| user | {} bytes of printable text |", members::MAX_USER_LENGTH));
    check(&format!("more than {} arrays and objects inside each other", content::MAX_DEPTH));
}
