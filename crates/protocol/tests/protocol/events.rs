//! The exact bytes that the native dialects write.

use crate::support::{bytes, payload};
use bytes::Bytes;
use fanwire_protocol::{
    ChannelName, ConnectionId, Content, Dialect, Dialects, Echo, Epoch, ErrorCode, Event, NodeId, Position,
    Publication, Recovered, RequestId, Target,
};
use std::sync::Arc;

fn welcome(broadcast: Option<Position>) -> Event {
    let node = NodeId::from_random(5);
    Event::Welcome { connection: ConnectionId(node, 1), node, version: "0.1.0", heartbeat: 20.0, broadcast }
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::parse("aB3").unwrap(), offset }
}

fn channel(name: &str) -> Target {
    Target::Channel(ChannelName::parse(name).unwrap())
}

#[track_caller]
fn check(event: Event, json: &str, message_pack: &str) {
    let dialects = Dialects::default();
    let frame = dialects.encode(Dialect::Json, &event).unwrap();
    assert_eq!(payload(&frame), (1, json.as_bytes()));
    let frame = dialects.encode(Dialect::MessagePack, &event).unwrap();
    assert_eq!(payload(&frame), (2, &bytes(message_pack)[..]));
}

#[test]
fn events_keep_their_bytes() {
    check(
        welcome(None),
        r#"{"type":"welcome","connection":[5,1],"node":5,"version":"0.1.0","heartbeat":20.0}"#,
        "85 a474797065 a777656c636f6d65 aa636f6e6e656374696f6e 920501 a46e6f6465 05 a776657273696f6e a5302e312e30 \
         a9686561727462656174 cb4034000000000000",
    );
    check(Event::Ok { id: RequestId::Unsigned(1) }, r#"{"type":"ok","id":1}"#, "82 a474797065 a26f6b a26964 01");
    check(
        Event::Ok { id: RequestId::Text("a\"b".into()) },
        r#"{"type":"ok","id":"a\"b"}"#,
        "82 a474797065 a26f6b a26964 a3612262",
    );
    check(
        Event::Error { id: Some(RequestId::Signed(-1)), code: ErrorCode::BadRequest, message: "no".to_owned() },
        r#"{"type":"error","id":-1,"code":"bad_request","message":"no"}"#,
        "84 a474797065 a56572726f72 a26964 ff a4636f6465 ab6261645f72657175657374 a76d657373616765 a26e6f",
    );
    check(
        Event::Error { id: None, code: ErrorCode::Internal, message: String::new() },
        r#"{"type":"error","code":"internal","message":""}"#,
        "83 a474797065 a56572726f72 a4636f6465 a8696e7465726e616c a76d657373616765 a0",
    );
    check(Event::Pong { id: None }, r#"{"type":"pong"}"#, "81 a474797065 a4706f6e67");
    check(
        Event::Gap { seconds: 1.5 },
        r#"{"type":"gap","seconds":1.5}"#,
        "82 a474797065 a3676170 a77365636f6e6473 cb3ff8000000000000",
    );
    check(
        Event::Dropped { count: 3 },
        r#"{"type":"dropped","count":3}"#,
        "82 a474797065 a764726f70706564 a5636f756e74 03",
    );
}

/// The keys and values of a position with the epoch `aB3`, up to its offset, in MessagePack.
const PLACE: &str = "a565706f6368 a3614233 a66f6666736574";

const OK: &str = "a474797065 a26f6b a26964 01";

#[test]
fn events_about_histories_keep_their_bytes() {
    let id = || RequestId::Unsigned(1);
    check(
        welcome(Some(at(9))),
        r#"{"type":"welcome","connection":[5,1],"node":5,"version":"0.1.0","heartbeat":20.0,"broadcast":{"epoch":"aB3","offset":9}}"#,
        &format!(
            "86 a474797065 a777656c636f6d65 aa636f6e6e656374696f6e 920501 a46e6f6465 05 a776657273696f6e a5302e312e30 \
             a9686561727462656174 cb4034000000000000 a962726f616463617374 82 {PLACE} 09"
        ),
    );
    check(
        Event::Published { id: id(), position: at(300) },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":300}"#,
        &format!("84 {OK} {PLACE} cd012c"),
    );
    check(
        Event::Subscribed { id: id(), position: at(17), recovered: None },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":17}"#,
        &format!("84 {OK} {PLACE} 11"),
    );
    check(
        Event::Subscribed { id: id(), position: at(0), recovered: Some(Recovered::All { newest: 300 }) },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":0,"recovered":true,"newest":300}"#,
        &format!("86 {OK} {PLACE} 00 a97265636f7665726564 c3 a66e6577657374 cd012c"),
    );
    check(
        Event::Subscribed { id: id(), position: at(u64::MAX), recovered: Some(Recovered::Nothing) },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":18446744073709551615,"recovered":false}"#,
        &format!("85 {OK} {PLACE} cfffffffffffffffff a97265636f7665726564 c2"),
    );
    let Target::Channel(news) = channel("news") else { panic!("no channel") };
    check(
        Event::Lost { channel: Some(news), position: at(55) },
        r#"{"type":"lost","channel":"news","epoch":"aB3","offset":55}"#,
        &format!("84 a474797065 a46c6f7374 a76368616e6e656c a46e657773 {PLACE} 37"),
    );
    check(
        Event::Lost { channel: None, position: at(55) },
        r#"{"type":"lost","epoch":"aB3","offset":55}"#,
        &format!("83 a474797065 a46c6f7374 {PLACE} 37"),
    );
}

#[test]
fn a_part_of_a_history_has_each_content_in_the_form_of_the_encoding() {
    let contents = [
        Content::json("[1, 2]").unwrap(),
        Content::message_pack(&bytes("81 a161 01")).unwrap(),
        Content::binary(Bytes::from_static(&[0xff, 0])),
    ];
    let publications = (4..)
        .zip(contents)
        .map(|(offset, content)| Arc::new(Publication::new(channel("news"), content).at(at(offset))));
    check(
        Event::History { id: RequestId::Unsigned(1), position: at(19), publications: publications.collect() },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":19,"publications":[{"offset":4,"content":[1, 2]},{"offset":5,"content":{"a":1}},{"offset":6,"content_base64":"/wA="}]}"#,
        &format!(
            "85 {OK} {PLACE} 13 ac7075626c69636174696f6e73 93 82 a66f6666736574 04 a7636f6e74656e74 920102 \
             82 a66f6666736574 05 a7636f6e74656e74 81a16101 82 a66f6666736574 06 a7636f6e74656e74 c402ff00"
        ),
    );
    check(
        Event::History { id: RequestId::Unsigned(1), position: at(0), publications: Vec::new() },
        r#"{"type":"ok","id":1,"epoch":"aB3","offset":0,"publications":[]}"#,
        &format!("85 {OK} {PLACE} 00 ac7075626c69636174696f6e73 90"),
    );
}

#[test]
fn native_dialects_say_nothing_back() {
    let echo = Event::Echo(Echo::Text("x".to_owned()));
    for dialect in [Dialect::Json, Dialect::MessagePack] {
        assert_eq!(Dialects::default().encode(dialect, &echo), None);
    }
}

#[track_caller]
fn check_publication(target: Target, content: Content, json: &str, message_pack: &str) {
    check_frames(Publication::new(target, content), json, message_pack);
}

#[track_caller]
fn check_frames(publication: Publication, json: &str, message_pack: &str) {
    let dialects = Dialects::default();
    assert_eq!(payload(publication.frame(Dialect::Json, &dialects).unwrap()), (1, json.as_bytes()));
    let frame = publication.frame(Dialect::MessagePack, &dialects).unwrap();
    assert_eq!(payload(frame), (2, &bytes(message_pack)[..]));
}

const BROADCAST: &str = "82 a474797065 a962726f616463617374 a7636f6e74656e74";

#[test]
fn publications_keep_their_bytes() {
    check_publication(
        channel("a\"\\b"),
        Content::json(" {\"x\": 1.50}").unwrap(),
        r#"{"type":"message","channel":"a\"\\b","content":{"x": 1.50}}"#,
        "83 a474797065 a76d657373616765 a76368616e6e656c a461225c62 a7636f6e74656e74 81a178cb3ff8000000000000",
    );
    check_publication(
        Target::Broadcast,
        Content::message_pack(&bytes("82 a161 91 cd0001 a162 ca3dcccccd")).unwrap(),
        r#"{"type":"broadcast","content":{"a":[1],"b":0.1}}"#,
        &format!("{BROADCAST} 82a16191cd0001a162ca3dcccccd"),
    );
    check_publication(
        Target::Broadcast,
        Content::binary(Bytes::from_static(&[0xff, 0])),
        r#"{"type":"broadcast","content_base64":"/wA="}"#,
        &format!("{BROADCAST} c402ff00"),
    );
}

#[test]
fn publications_with_a_place_keep_their_bytes() {
    check_frames(
        Publication::new(channel("news"), Content::json("1").unwrap()).at(at(18)),
        r#"{"type":"message","channel":"news","offset":18,"content":1}"#,
        "84 a474797065 a76d657373616765 a76368616e6e656c a46e657773 a66f6666736574 12 a7636f6e74656e74 01",
    );
    check_frames(
        Publication::new(Target::Broadcast, Content::binary(Bytes::from_static(&[0xff, 0]))).at(at(10)),
        r#"{"type":"broadcast","offset":10,"content_base64":"/wA="}"#,
        "83 a474797065 a962726f616463617374 a66f6666736574 0a a7636f6e74656e74 c402ff00",
    );
}

#[test]
fn a_publication_that_is_given_a_place_gets_new_frames() {
    let (dialects, publication) = (Dialects::default(), Publication::new(Target::Broadcast, Content::string("x")));
    let before = publication.frame(Dialect::Json, &dialects).cloned();
    assert_ne!(publication.at(at(1)).frame(Dialect::Json, &dialects).cloned(), before);
}

#[test]
fn publications_are_equal_by_what_they_say_and_where() {
    let publication = |offset| Publication::new(channel("a"), Content::string("x")).at(at(offset));
    let encoded = publication(1);
    encoded.frame(Dialect::Json, &Dialects::default());
    assert_eq!(encoded, publication(1));
    assert_ne!(publication(1), publication(2));
    assert_ne!(publication(1), Publication::new(channel("a"), Content::string("x")));
    assert_ne!(publication(1), Publication::new(channel("b"), Content::string("x")).at(at(1)));
    assert_ne!(publication(1), Publication::new(channel("a"), Content::string("y")).at(at(1)));
}

#[test]
fn numbers_beyond_64_bits_are_doubles_where_the_text_itself_is_not_passed_on() {
    check_publication(
        Target::Broadcast,
        Content::json("[18446744073709551615,18446744073709551616,-9223372036854775808]").unwrap(),
        r#"{"type":"broadcast","content":[18446744073709551615,18446744073709551616,-9223372036854775808]}"#,
        &format!("{BROADCAST} 93 cfffffffffffffffff cb43f0000000000000 d38000000000000000"),
    );
}

#[test]
fn containers_of_every_size_are_transcoded() {
    for count in [0_usize, 15, 16, 65_535, 65_536] {
        let json = format!("[{}]", vec!["0"; count].join(","));
        let content = Content::json(&json).unwrap();
        let publication = Publication::new(Target::Broadcast, content);
        let frame = publication.frame(Dialect::MessagePack, &Dialects::default()).cloned().unwrap();
        let (_, payload) = payload(&frame);
        let content = Content::message_pack(&payload[bytes(BROADCAST).len()..]).unwrap();
        let publication = Publication::new(Target::Broadcast, content);
        let frame = publication.frame(Dialect::Json, &Dialects::default()).cloned().unwrap();
        assert!(frame.ends_with(format!("{json}}}").as_bytes()));
    }
}
