//! What holds for every input.

use crate::{
    strategies::{channel, content, counted, event, id, message_pack, position, value},
    support::{decode, payload},
};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, Command, ConnectionId, Content, ContentKind, Decoded, Dialect, Dialects, Echo, ErrorCode, Event,
    IdempotencyKey, Incoming, NodeId, Position, Publication, Request, RequestId, Target, Token, command::MAX_LIMIT,
    content::MAX_DEPTH, dialect,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

/// What a dialect may put around a content: a template of 512 bytes is the most.
const ENVELOPE: usize = 1024;

/// The value in the frame that `dialect` makes of `content`, by serde alone.
fn received(dialect: Dialect, content: Content) -> Value {
    let publication = Publication::new(Target::Broadcast, content);
    let frame = publication.frame(dialect, &Dialects::default()).cloned().expect("every content has every form");
    let (_, payload) = payload(&frame);
    let event: Value = match dialect {
        Dialect::Json => serde_json::from_slice(payload).unwrap(),
        _ => rmp_serde::from_slice(payload).unwrap(),
    };
    assert_eq!(event["type"], "broadcast");
    event["content"].clone()
}

/// Whether two values are the same, if doubles are only as precise as singles: a single is written in JSON with as
/// many digits as tell it from other singles.
fn equal_as_singles(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal_as_singles(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.keys().eq(other.keys())
                && one.values().zip(other.values()).all(|(one, other)| equal_as_singles(one, other))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            #[expect(clippy::cast_possible_truncation, reason = "that is the comparison")]
            let single = |number: &serde_json::Number| number.as_f64().map(|number| number as f32);
            one == other || single(one) == single(other)
        }
        _ => one == other,
    }
}

/// The keys and values of `command` as a client would send them.
fn spelled(command: &Command, id: Option<&RequestId>, content: &Value) -> Value {
    let mut message = match command {
        Command::Subscribe { channel, .. } | Command::Unsubscribe { channel } | Command::PresenceStats { channel } => {
            json!({"channel": channel.as_str()})
        }
        Command::Presence { channel, limit, .. } => json!({"channel": channel.as_str(), "limit": limit}),
        Command::Publish { channel, echo, .. } => {
            json!({"channel": channel.as_str(), "content": content, "echo": echo})
        }
        Command::Broadcast { echo, .. } => json!({"content": content, "echo": echo}),
        Command::RecoverBroadcast { position } => serde_json::to_value(position).unwrap(),
        Command::History { channel, limit, reverse, .. } => {
            json!({"channel": channel.as_str(), "limit": limit, "reverse": reverse})
        }
        Command::Auth { token } | Command::Refresh { token } => json!({"token": token.expose()}),
        Command::Ping | Command::Echo(_) => json!({}),
    };
    if let Command::Subscribe { info: Some(_), .. } = command {
        message["info"] = content.clone();
    }
    match command {
        Command::Subscribe { recover: Some(position), .. } => message["recover"] = json!(position),
        Command::Presence { after: Some(after), .. } => message["after"] = json!(after),
        Command::History { since: Some(position), .. } => message["since"] = json!(position),
        Command::Publish { idempotency_key: Some(key), .. } | Command::Broadcast { idempotency_key: Some(key), .. } => {
            message["idempotency_key"] = key.as_str().into();
        }
        _ => {}
    }
    message["type"] = command.label().into();
    if let Some(id) = id {
        message["id"] = serde_json::to_value(id).unwrap();
    }
    message
}

/// What a command may have besides its channel and content.
#[derive(Debug, Clone)]
struct Options {
    flag: bool,
    key: Option<IdempotencyKey>,
    place: Option<Position>,
    position: Position,
    limit: u32,
    after: Option<ConnectionId>,
}

fn options() -> impl Strategy<Value = Options> {
    let key = "\\PC{1,16}".prop_filter_map("too long", |text| IdempotencyKey::new(&text));
    let place = prop::option::of(position());
    let after = prop::option::of((any::<u64>().prop_map(NodeId::from_random), any::<u64>()));
    (any::<bool>(), prop::option::of(key), place, position(), 1..=MAX_LIMIT, after).prop_map(
        |(flag, key, place, position, limit, after)| {
            let after = after.map(|(node, sequence)| ConnectionId(node, sequence));
            Options { flag, key, place, position, limit, after }
        },
    )
}

fn commands(channel: ChannelName, content: Content, options: Options) -> [Command; 11] {
    let token = Token::new(channel.as_str());
    let Options { flag, key, place, position, limit, after } = options;
    [
        Command::Subscribe { channel: channel.clone(), recover: place.clone(), info: flag.then(|| content.clone()) },
        Command::Presence { channel: channel.clone(), limit, after },
        Command::PresenceStats { channel: channel.clone() },
        Command::Unsubscribe { channel: channel.clone() },
        Command::History { channel: channel.clone(), since: place, limit, reverse: flag },
        Command::Publish { channel, content: content.clone(), echo: flag, idempotency_key: key.clone() },
        Command::Broadcast { content, echo: flag, idempotency_key: key },
        Command::RecoverBroadcast { position },
        Command::Auth { token: token.clone() },
        Command::Refresh { token },
        Command::Ping,
    ]
}

/// Whether it is refused, as a message with the id 1.
fn is_refused(decoded: &Decoded) -> bool {
    match decoded {
        Decoded::Request(request) => assert_eq!(request.id, Some(RequestId::Unsigned(1))),
        Decoded::Refused { id, .. } => assert_eq!(id, &Some(RequestId::Unsigned(1))),
    }
    matches!(decoded, Decoded::Refused { .. })
}

fn decode_everywhere(bytes: &[u8]) {
    for dialect in dialect::ALL {
        decode(dialect, Incoming::Binary(bytes));
        decode(dialect, Incoming::Text(&String::from_utf8_lossy(bytes)));
    }
}

proptest! {
    #[test]
    fn a_value_survives_the_way_from_json_through_message_pack_and_back(value in value()) {
        let content = Content::json(&value.to_string()).unwrap();
        prop_assert_eq!(&received(Dialect::Json, content.clone()), &value);
        prop_assert_eq!(&received(Dialect::MessagePack, content), &value);
        let content = Content::message_pack(&rmp_serde::to_vec(&value).unwrap()).unwrap();
        prop_assert_eq!(received(Dialect::Json, content), value);
    }

    #[test]
    fn message_pack_of_any_width_has_the_same_value_in_json(bytes in message_pack()) {
        let content = Content::message_pack(&bytes).unwrap();
        let from_json = received(Dialect::Json, content.clone());
        prop_assert!(equal_as_singles(&received(Dialect::MessagePack, content), &from_json));
    }

    #[test]
    fn every_command_is_read_in_both_encodings(
        channel in channel(), value in value(), options in options(), id in prop::option::of(id())
    ) {
        let (text, packed) = (value.to_string(), rmp_serde::to_vec(&value).unwrap());
        for command in commands(channel.clone(), Content::json(&text).unwrap(), options.clone()) {
            let message = spelled(&command, id.as_ref(), &value).to_string();
            let expected = Decoded::Request(Request { id: id.clone(), command });
            prop_assert_eq!(decode(Dialect::Json, Incoming::Text(&message)), expected);
        }
        for command in commands(channel, Content::message_pack(&packed).unwrap(), options) {
            let message = rmp_serde::to_vec(&spelled(&command, id.as_ref(), &value)).unwrap();
            let expected = Decoded::Request(Request { id: id.clone(), command });
            prop_assert_eq!(decode(Dialect::MessagePack, Incoming::Binary(&message)), expected);
        }
    }

    #[test]
    fn every_event_has_the_same_keys_and_values_in_both_encodings(event in event()) {
        let dialects = Dialects::default();
        let json = dialects.encode(Dialect::Json, &event).unwrap();
        let (opcode, json) = payload(&json);
        prop_assert_eq!(opcode, 1);
        let packed = dialects.encode(Dialect::MessagePack, &event).unwrap();
        let (opcode, packed) = payload(&packed);
        prop_assert_eq!(opcode, 2);
        let from_json: Value = serde_json::from_slice(json).unwrap();
        prop_assert_eq!(from_json, rmp_serde::from_slice::<Value>(packed).unwrap());
    }

    #[test]
    fn what_stands_under_a_key_of_a_place_is_a_place_or_refused(value in value(), limit: u64) {
        for (kind, key, value) in [
            ("subscribe", "recover", &value),
            ("history", "since", &value),
            ("history", "since", &json!({"epoch": value, "offset": 1})),
            ("history", "since", &json!({"epoch": "a", "offset": 1, "x": value})),
            ("history", "limit", &json!(limit)),
            ("publish", "idempotency_key", &value),
        ] {
            let mut message = json!({"type": kind, "channel": "a", "id": 1, key: value});
            if kind == "publish" {
                message["content"] = Value::Null;
            }
            let in_json = decode(Dialect::Json, Incoming::Text(&message.to_string()));
            let packed = decode(Dialect::MessagePack, Incoming::Binary(&rmp_serde::to_vec(&message).unwrap()));
            prop_assert_eq!(is_refused(&in_json), is_refused(&packed));
        }
    }

    #[test]
    fn arbitrary_bytes_are_decoded_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        decode_everywhere(&bytes);
        let _ = Content::from_parts(ContentKind::Json, Bytes::copy_from_slice(&bytes));
        let _ = Content::from_parts(ContentKind::MessagePack, Bytes::copy_from_slice(&bytes));
    }

    #[test]
    fn damaged_commands_are_decoded_without_a_panic(
        value in value(), at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()
    ) {
        let place = json!({"epoch": "e1", "offset": 7});
        let messages = [
            json!({"type": "publish", "channel": "a", "id": 1, "content": value, "idempotency_key": "k"}),
            json!({"type": "subscribe", "channel": "a", "id": 1, "recover": place}),
            json!({"type": "history", "channel": "a", "since": place, "limit": 10, "reverse": true}),
            json!({"type": "recover_broadcast", "epoch": "e1", "offset": 7}),
        ];
        for message in messages {
            for mut bytes in [message.to_string().into_bytes(), rmp_serde::to_vec(&message).unwrap()] {
                decode_everywhere(&bytes[..cut.index(bytes.len())]);
                let at = at.index(bytes.len());
                bytes[at] = byte;
                decode_everywhere(&bytes);
            }
        }
    }

    #[test]
    fn the_id_is_echoed_wherever_another_key_is_wrong(id in id(), value in value()) {
        prop_assume!(!value.is_string());
        let message = json!({"channel": value, "id": id, "type": "subscribe"});
        let in_json = decode(Dialect::Json, Incoming::Text(&message.to_string()));
        let packed = decode(Dialect::MessagePack, Incoming::Binary(&rmp_serde::to_vec(&message).unwrap()));
        for decoded in [in_json, packed] {
            let Decoded::Refused { id: echoed, refusal } = decoded else { panic!("accepted") };
            prop_assert_eq!((echoed, refusal.code), (Some(id.clone()), ErrorCode::BadRequest));
        }
    }

    #[test]
    fn refusals_are_short_whatever_is_refused(text: String, times in 1_usize..1000) {
        let long = text.repeat(times);
        for key in ["type", "id", "channel", "echo", "content_base64", &long] {
            let message = json!({"type": "publish", "channel": "a", "content": 1, key: long}).to_string();
            if let Decoded::Refused { refusal, .. } = decode(Dialect::Json, Incoming::Text(&message)) {
                prop_assert!(refusal.message.len() < 700, "{}", refusal.message);
            }
        }
    }

    #[test]
    fn accepted_content_survives_its_parts(content in content()) {
        let (kind, bytes) = content.parts();
        prop_assert_eq!(Content::from_parts(kind, bytes.clone()), Ok(content));
    }

    #[test]
    fn whatever_message_pack_is_accepted_has_every_form(bytes in vec(any::<u8>(), 0..40)) {
        match Content::message_pack(&bytes) {
            // No value of JSON is bytes, so serde_json's could not be made of them.
            Ok(content) if bytes.first().is_some_and(|first| matches!(first, 0xc4..=0xc6)) => {
                let publication = Publication::new(Target::Broadcast, content);
                for dialect in [Dialect::Json, Dialect::MessagePack] {
                    prop_assert!(publication.frame(dialect, &Dialects::default()).is_some());
                }
            }
            Ok(content) => {
                received(Dialect::Json, content.clone());
                received(Dialect::MessagePack, content);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn no_frame_is_longer_than_the_estimate(
        content in content(), channel in channel(), position in prop::option::of(position())
    ) {
        let dialects = Dialects::default();
        let estimate = content.longest_form() + ENVELOPE;
        for target in [Target::Broadcast, Target::Channel(channel)] {
            let publication = Publication::new(target, content.clone());
            let publication = position.clone().into_iter().fold(publication, Publication::at);
            let frames = dialect::ALL.into_iter().filter_map(|dialect| publication.frame(dialect, &dialects));
            let longest = frames.map(Bytes::len).max().unwrap();
            prop_assert!(longest <= estimate, "{} > {}: {:?}", longest, estimate, publication);
            prop_assert_eq!(publication.longest_frame(&dialects, 0), longest);
            prop_assert_eq!(publication.longest_frame(&dialects, usize::MAX), estimate);
        }
    }

    #[test]
    fn plain_texts_have_what_they_tell_in_its_place(text: String) {
        let dialects = Dialects::default();
        let echo = Event::Echo(Echo::Json(text.clone()));
        let frame = dialects.encode(Dialect::Plain, &echo).unwrap();
        let expected = format!("服务器回应: {text}");
        prop_assert_eq!(payload(&frame), (1, expected.as_bytes()));
        let publication = Publication::new(Target::Broadcast, Content::string(&text));
        let frame = publication.frame(Dialect::Plain, &dialects).unwrap();
        let expected = format!("广播消息: {text}");
        prop_assert_eq!(payload(frame), (1, expected.as_bytes()));
    }

    #[test]
    fn plain_json_is_compact_and_has_the_same_value(value in value()) {
        prop_assume!(!value.is_string());
        let content = Content::json(&format!("{value:#}")).unwrap();
        let publication = Publication::new(Target::Broadcast, content);
        let frame = publication.frame(Dialect::Plain, &Dialects::default()).cloned().unwrap();
        let expected = format!("广播消息: {value}");
        prop_assert_eq!(payload(&frame), (1, expected.as_bytes()));
    }
}

/// Shapes that grow by the factor of the estimate: the envelope hides what random contents exceed it by.
#[test]
fn the_estimate_holds_for_long_contents_of_the_worst_shapes() {
    let worst = [
        Content::json(&format!("[{}]", ["-0"; 30_000].join(","))),
        Content::json(&format!("[{}]", ["1e5"; 30_000].join(","))),
        Content::json(&format!("{}-0{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))),
        Content::message_pack(&counted(0xda, 60_000, &[0x1f; 60_000])),
        Content::message_pack(&counted(0xdc, 60_000, &[0xc2; 60_000])),
        Content::message_pack(&counted(0xdc, 10_000, &b"\xa1\x01".repeat(10_000))),
        Content::message_pack(&counted(0xde, 10_000, &b"\xa1\x01\xc2".repeat(10_000))),
        Content::message_pack(&numbers(0xca, &(-1.175_494_4e-38_f32).to_be_bytes())),
        Content::message_pack(&numbers(0xcb, &(-2.225_073_858_507_201_4e-308_f64).to_be_bytes())),
        Ok(Content::binary(vec![0xff; 100_001].into())),
    ];
    for content in worst {
        let publication = Publication::new(Target::Broadcast, content.unwrap());
        let dialects = Dialects::default();
        let longest = publication.longest_frame(&dialects, 0);
        assert!(longest <= publication.content.longest_form() + 64, "{longest}");
    }
}

/// An array of 10,000 times the same number.
fn numbers(marker: u8, number: &[u8]) -> Vec<u8> {
    counted(0xdc, 10_000, &[&[marker], number].concat().repeat(10_000))
}
