#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn delivery(target: Target, content: Content, except: Option<(u64, u64)>, published_at: u64) -> Delivery {
    let except = except.map(|(node, sequence)| ConnectionId(NodeId::from_random(node), sequence));
    Delivery { publication: Arc::new(Publication::new(target, content)), except, published_at }
}

fn channel(name: &str) -> Target {
    Target::Channel(ChannelName::parse(name).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: String = text.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
}

#[track_caller]
fn check_same(got: &Delivery, expected: &Delivery) {
    assert_eq!(got.publication.target, expected.publication.target);
    assert_eq!(got.publication.content, expected.publication.content);
    assert_eq!(got.publication.position, expected.publication.position);
    assert_eq!((got.except, got.published_at), (expected.except, expected.published_at));
}

/// The committed envelopes of every version, by version.
const PINNED: &[&str] = &[include_str!("../../tests/envelopes/1.txt"), include_str!("../../tests/envelopes/2.txt")];

/// What an envelope says, as the files have it.
fn told(envelope: &Envelope) -> String {
    let Envelope { origin, delivery } = envelope;
    let (kind, data) = delivery.publication.content.parts();
    let except =
        delivery.except.map_or("-".to_owned(), |ConnectionId(node, number)| format!("{}.{number}", node.get()));
    let target = match &delivery.publication.target {
        Target::Channel(channel) => channel.as_str(),
        Target::Broadcast => "*",
    };
    let kind = ["json", "msgpack", "binary"][usize::from(number(kind))];
    let position = delivery.publication.position.as_ref().map_or(String::new(), |at| format!(" position={at}"));
    let change = delivery.publication.change.as_ref().map_or(String::new(), |change| {
        let (user, with) = (change.member.user.as_ref(), if change.with_user { " with" } else { "" });
        let info = if change.member.info.is_none() { " infoless" } else { "" };
        format!(" {:?} user={}{with}{info}", change.kind, user.map_or("-", |user| user.as_str()))
    });
    let (origin, at, data) = (origin.get(), delivery.published_at, hex(data));
    format!("node={origin} except={except} at={at} to={target} {kind} {data}{position}{change}")
}

/// The bytes of an envelope as nodes, or their scripts, put them together.
fn written(envelope: &Envelope) -> Vec<u8> {
    let Envelope { origin, delivery } = envelope;
    match (&delivery.publication.change, &delivery.publication.target) {
        (Some(change), Target::Channel(channel)) => {
            let behind = circumstances(*origin, delivery.published_at, channel).unwrap();
            [record(&change.member).unwrap(), behind, ending(change.kind, change.with_user).to_vec()].concat()
        }
        _ => encode(*origin, delivery).unwrap(),
    }
}

#[test]
fn every_version_stays_readable() {
    assert_eq!(PINNED.len(), usize::try_from(VERSION).unwrap(), "one file for each version");
    for file in PINNED {
        let mut count = 0;
        for line in file.lines().filter(|line| !line.starts_with('#')) {
            let (bytes, meaning) = line.trim_start_matches("> ").split_once("  ").unwrap();
            let envelope = decode(&unhex(bytes)).unwrap();
            assert_eq!(told(&envelope), meaning);
            if !line.starts_with('>') {
                assert_eq!(hex(&written(&envelope)), bytes, "{meaning}");
                count += 1;
            }
        }
        assert!(count > 0, "each version is pinned as it is written");
    }
}

#[test]
fn unknown_keys_must_be_whole() {
    let bytes = unhex("86 a176 01 a3666f6f 9381a1610192c0c3 a16e 07 a174 01 a16b 00 a164 c40131");
    assert!(decode(&bytes).is_err(), "three promised elements, two given");
}

#[track_caller]
fn bad(bytes: &str, expected: &str) {
    let error = decode(&unhex(bytes)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    bad("", "no envelope");
    bad("85 a176 01 a16e 07 a174 01 a16b 00", "no envelope");
    bad("84 a176 01 a16e 07 a174 01 a16b 00", "there is none");
    // All else may have changed in a newer version.
    bad("82 a176 03 a16e a178", "version 3");
    // A change, of nobody, nowhere, of nobody that can be, and no change at all.
    bad("85 a176 02 a16e 07 a174 01 a163 a161 a170 01", "without a member");
    bad("85 a176 02 a16e 07 a174 01 a178 920506 a170 01", "without a channel");
    bad("87 a176 02 a16e 07 a174 01 a163 a161 a178 920506 a175 a0 a170 01", "a user has 1 to");
    bad("86 a176 02 a16e 07 a174 01 a163 a161 a178 920506 a170 03", "nothing that a member does");
    bad("85 a176 01 a16e cf0020000000000000 a174 01 a16b 00 a164 c40131", "node id");
    bad("86 a176 01 a16e 07 a174 01 a163 a26120 a16b 00 a164 c40131", "byte 1");
    bad("85 a176 01 a16e 07 a174 01 a16b 03 a164 c40131", "kind of content");
    bad("85 a176 01 a16e 07 a174 01 a16b 00 a164 c4017b", "invalid content");
    bad("87 a176 01 a16e 07 a174 01 a16b 00 a164 c40131 a16f 01 a165 a3612d62", "no epoch");
}

#[test]
fn a_beginning_lacks_nothing_but_the_place() {
    let (node, place) = (NodeId::from_random(7), Position { epoch: Epoch::parse("ep").unwrap(), offset: 300 });
    let publication = || Publication::new(channel("a"), Content::string("x"));
    let delivery = |publication| Delivery { publication: Arc::new(publication), except: None, published_at: 1 };
    let whole = encode(node, &delivery(publication().at(place))).unwrap();
    let start = beginning(node, &delivery(publication())).unwrap();
    assert_eq!(hex(&[&start[..], b"\xa1o\xcd\x01\x2c\xa1e\xa2ep"].concat()), hex(&whole));
}

#[test]
fn a_record_is_all_there_is_of_a_member() {
    let channel = ChannelName::parse("a").unwrap();
    for (user, info) in [(None, None), (Some("zoe"), Some(Content::string("x"))), (None, Some(Content::null()))] {
        let user = user.map(|user| UserId::parse(user).unwrap());
        let written = Member { connection: ConnectionId(NodeId::from_random(5), 6), user, info };
        assert_eq!(member(&record(&written).unwrap(), &channel).unwrap(), written);
    }
    assert!(member(b"", &channel).is_err());
}

#[test]
fn deep_nesting_in_an_unknown_key_is_refused() {
    let mut bytes = vec![0x82, 0xa1, b'?'];
    bytes.resize(1_000_000, 0x91);
    assert!(decode(&bytes.into()).is_err());
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        "\\PC{0,40}".prop_map(|text| Content::string(&text)),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|n| Content::json(&n.to_string()).unwrap()),
        any::<i32>().prop_map(|n| Content::message_pack(&rmp_serde::to_vec(&n).unwrap()).unwrap()),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| Content::binary(bytes.into())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        name in prop::option::of("[a-z:!]{1,200}"),
        content in content(),
        except in prop::option::of((0..NodeId::LIMIT, any::<u64>())),
        published_at in any::<u64>(),
        origin in 0..NodeId::LIMIT,
        place in prop::option::of(("[a-zA-Z0-9]{1,32}", any::<u64>())),
    ) {
        let target = name.as_deref().map_or(Target::Broadcast, channel);
        let mut delivery = delivery(target, content, except, published_at);
        if let Some((epoch, offset)) = place {
            let Publication { target, content, .. } = &*delivery.publication;
            let place = Position { epoch: Epoch::parse(&epoch).unwrap(), offset };
            delivery.publication = Arc::new(Publication::new(target.clone(), content.clone()).at(place));
        }
        let envelope = decode(&encode(NodeId::from_random(origin), &delivery).unwrap().into()).unwrap();
        check_same(&envelope.delivery, &delivery);
        prop_assert_eq!(envelope.origin.get(), origin);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes.into());
    }

    #[test]
    fn damaged_envelopes_never_panic(at in 0usize..60, byte in any::<u8>(), length in 0usize..70) {
        let mut bytes = encode(
            NodeId::from_random(1),
            &delivery(channel("news"), Content::string("hello"), Some((1, 2)), 3),
        ).unwrap();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(length);
        let _ = decode(&bytes.into());
    }
}
