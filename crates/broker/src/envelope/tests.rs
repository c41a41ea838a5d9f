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
fn check(delivery: &Delivery, expected: &str) {
    let bytes = encode(NodeId::from_random(0x0012_3456_789a_bcde), delivery).unwrap();
    assert_eq!(hex(&bytes), expected.split_whitespace().collect::<String>());
    check_same(&decode(&bytes.into()).unwrap().delivery, delivery);
}

#[track_caller]
fn check_same(got: &Delivery, expected: &Delivery) {
    assert_eq!(got.publication.target, expected.publication.target);
    assert_eq!(got.publication.content, expected.publication.content);
    assert_eq!((got.except, got.published_at), (expected.except, expected.published_at));
}

/// Nodes of other versions are in the cluster during a rolling upgrade: these bytes stay readable for ever.
#[test]
fn bytes_are_pinned() {
    check(
        &delivery(channel("news"), Content::json("{\"a\":1}").unwrap(), Some((5, 6)), 1_700_000_000_000_000),
        "87 a176 01 a16e cf00123456789abcde a178 920506 a174 cf00060a24181e4000 a163 a46e657773 a16b 00
         a164 c407 7b2261223a317d",
    );
    check(
        &delivery(Target::Broadcast, Content::message_pack(&[0x81, 0xa1, 0x61, 0x01]).unwrap(), None, 1),
        "85 a176 01 a16e cf00123456789abcde a174 01 a16b 01 a164 c404 81a16101",
    );
    check(
        &delivery(Target::Broadcast, Content::binary(Bytes::from_static(&[0, 255])), None, 1),
        "85 a176 01 a16e cf00123456789abcde a174 01 a16b 02 a164 c402 00ff",
    );
}

#[test]
fn what_later_nodes_add_is_tolerated() {
    // A position in the history, and a key that nobody knows, with a nested value.
    let bytes = unhex("88 a176 01 a16e 07 a174 01 a163 a161 a16b 00 a164 c40131 a16f 09 a165 a26570");
    let envelope = decode(&bytes).unwrap();
    assert_eq!(envelope.origin, NodeId::from_random(7));
    assert_eq!(envelope.position, Some(Position { epoch: "ep".to_owned(), offset: 9 }));

    let bytes = unhex("86 a176 01 a3666f6f 9381a1610192c0c3 a16e 07 a174 01 a16b 00 a164 c40131");
    let envelope = decode(&bytes);
    assert!(envelope.is_err(), "three promised elements, two given");
    let bytes = unhex("86 a176 01 a3666f6f 9281a1610192c0c3 a16e 07 a174 01 a16b 00 a164 c40131");
    assert_eq!(decode(&bytes).unwrap().position, None);
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
    bad("84 a176 01 a16e 07 a174 01 a16b 00", "missing field `d`");
    // All else may have changed in a newer version.
    bad("82 a176 02 a16e a178", "version 2");
    bad("85 a176 01 a16e cf0020000000000000 a174 01 a16b 00 a164 c40131", "node id");
    bad("86 a176 01 a16e 07 a174 01 a163 a26120 a16b 00 a164 c40131", "byte 1");
    bad("85 a176 01 a16e 07 a174 01 a16b 03 a164 c40131", "kind of content");
    bad("85 a176 01 a16e 07 a174 01 a16b 00 a164 c4017b", "invalid content");
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
    ) {
        let target = name.as_deref().map_or(Target::Broadcast, channel);
        let delivery = delivery(target, content, except, published_at);
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
