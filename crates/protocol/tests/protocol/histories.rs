//! What the native dialects read about histories.

use crate::{
    commands::{ID, channel, check, check_bad_json, check_bad_message_pack},
    support::{bytes, decode_message_pack, message_pack, refused},
};
use fanwire_protocol::{
    Command, Decoded, Epoch, ErrorCode, IdempotencyKey, Position, Request,
    command::{DEFAULT_LIMIT, MAX_KEY_LENGTH, MAX_LIMIT},
    position::MAX_EPOCH,
};

fn position(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset }
}

#[test]
fn commands_about_histories_are_read_in_both_encodings() {
    let subscribe = r#"{"type":"subscribe","channel":"chat:1","recover":{"epoch":"aB3","offset":12}}"#;
    check(subscribe, None, |_| Command::Subscribe {
        channel: channel("chat:1"),
        recover: Some(position("aB3", 12)),
        info: None,
    });
    let broadcast = r#"{"offset":0,"epoch":"e","type":"recover_broadcast"}"#;
    check(broadcast, None, |_| Command::RecoverBroadcast { position: position("e", 0) });
    check(r#"{"type":"history","channel":"a"}"#, None, |_| Command::History {
        channel: channel("a"),
        since: None,
        limit: DEFAULT_LIMIT,
        reverse: false,
    });
    let page = r#"{"type":"history","channel":"a","since":{"offset":18446744073709551615,"epoch":"e"},"limit":1000,"reverse":true}"#;
    check(page, None, |_| Command::History {
        channel: channel("a"),
        since: Some(position("e", u64::MAX)),
        limit: MAX_LIMIT,
        reverse: true,
    });
    check(r#"{"type":"publish","channel":"a","content":1,"idempotency_key":"k 1"}"#, None, |content| {
        let idempotency_key = IdempotencyKey::new("k 1");
        Command::Publish { channel: channel("a"), content: content("1"), echo: true, idempotency_key }
    });
    let longest = "é".repeat(MAX_KEY_LENGTH / 2);
    let broadcast = format!(r#"{{"type":"broadcast","content":1,"idempotency_key":"{longest}"}}"#);
    check(&broadcast, None, |content| {
        let idempotency_key = IdempotencyKey::new(&longest);
        Command::Broadcast { content: content("1"), echo: false, idempotency_key }
    });
}

#[test]
fn a_wrong_position_is_refused_with_the_place() {
    let under = |value: &str| format!(r#"{{"type":"subscribe","id":7,"channel":"a","recover":{value}}}"#);
    let check = |value: &str, message: &str| check_bad_json(&under(value), Some(7), message);
    let wanted = "expected a map of epoch and offset as \"recover\" at line 1 column";
    check("12", &format!("invalid type: integer `12`, {wanted} 53"));
    check("null", &format!("invalid type: null, {wanted} 55"));
    check(r#""aB3.12""#, &format!("invalid type: string, {wanted} 59"));
    check(r#"["aB3",12]"#, &format!("invalid type: sequence, {wanted} 52"));
    check("{}", "missing key \"epoch\" in recover at line 1 column 53");
    check(r#"{"epoch":"e"}"#, "missing key \"offset\" in recover at line 1 column 64");
    let stray = "unknown key \"ofset\": the keys of \"recover\" are epoch, offset at line 1 column 59";
    check(r#"{"ofset":1}"#, stray);
    check(r#"{"offset":1,"offset":1}"#, "duplicate key \"offset\" at line 1 column 71");
    let epoch = "expected a string of 1 to 32 ASCII letters and digits as \"epoch\" at line 1 column";
    check(r#"{"epoch":5,"offset":1}"#, &format!("invalid type: integer `5`, {epoch} 61"));
    check(r#"{"epoch":"a-b","offset":1}"#, &format!("invalid value: string, {epoch} 65"));
    check(r#"{"epoch":"","offset":1}"#, &format!("invalid value: string, {epoch} 62"));
    let long = format!(r#"{{"epoch":"{}","offset":1}}"#, "x".repeat(MAX_EPOCH + 1));
    check(&long, &format!("invalid value: string, {epoch} 95"));
    let offset = "expected an integer from 0 to 2^64-1 as \"offset\" at line 1 column";
    check(r#"{"epoch":"e","offset":-1}"#, &format!("invalid type: integer `-1`, {offset} 75"));
    check(r#"{"epoch":"e","offset":1.0}"#, &format!("invalid type: floating point `1.0`, {offset} 76"));
    check(r#"{"epoch":"e","offset":"1"}"#, &format!("invalid type: string, {offset} 76"));
    check(r#"{"epoch":"e","offset":1"#, "broken JSON: EOF while parsing an object at line 1 column 75");
}

#[test]
fn a_wrong_limit_flag_or_key_is_refused_with_the_place() {
    let history = |rest: &str| format!(r#"{{"type":"history","id":7,"channel":"a",{rest}}}"#);
    let limit = "expected an integer from 1 to 1000 as \"limit\" at line 1 column";
    check_bad_json(&history(r#""limit":0"#), Some(7), &format!("invalid value: integer `0`, {limit} 48"));
    check_bad_json(&history(r#""limit":1001"#), Some(7), &format!("invalid value: integer `1001`, {limit} 51"));
    check_bad_json(
        &history(r#""limit":4294967297"#),
        Some(7),
        &format!("invalid value: integer `4294967297`, {limit} 57"),
    );
    check_bad_json(&history(r#""limit":"9""#), Some(7), &format!("invalid type: string, {limit} 50"));
    let reverse = "invalid type: integer `1`, expected a boolean as \"reverse\" at line 1 column 50";
    check_bad_json(&history(r#""reverse":1"#), Some(7), reverse);
    check_bad_json(
        &history(r#""recover":{"epoch":"e","offset":1}"#),
        Some(7),
        "unknown key \"recover\": the keys of \"history\" are type, id, channel, since, limit, reverse",
    );
    let publish = |key: &str| format!(r#"{{"type":"broadcast","content":1,"idempotency_key":{key}}}"#);
    let key = "expected a string of 1 to 64 bytes as \"idempotency_key\" at line 1 column";
    check_bad_json(&publish("\"\""), None, &format!("invalid value: string, {key} 52"));
    check_bad_json(&publish(&format!("{:?}", "x".repeat(65))), None, &format!("invalid value: string, {key} 117"));
    check_bad_json(&publish("7"), None, &format!("invalid type: integer `7`, {key} 51"));
}

#[test]
fn recover_broadcast_names_the_whole_place() {
    let keys = "the keys of \"recover_broadcast\" are type, id, epoch, offset";
    let channel = r#"{"type":"recover_broadcast","id":7,"epoch":"e","offset":1,"channel":"a"}"#;
    check_bad_json(channel, Some(7), &format!("unknown key \"channel\": {keys}"));
    let epoch = r#"{"type":"recover_broadcast","id":7,"offset":1}"#;
    check_bad_json(epoch, Some(7), "missing key \"epoch\" in recover_broadcast");
    let offset = r#"{"type":"recover_broadcast","id":7,"epoch":"e"}"#;
    check_bad_json(offset, Some(7), "missing key \"offset\" in recover_broadcast");
}

/// `"type":"subscribe"` and the keys of a position, in MessagePack.
const SUBSCRIBE: &str = "a474797065 a9737562736372696265";
const RECOVER: &str = "a77265636f766572";
const EPOCH: &str = "a565706f6368";
const OFFSET: &str = "a66f6666736574";

#[test]
fn a_wrong_position_in_message_pack_is_refused_with_the_place() {
    // `recover` begins at byte 20, what stands under it at byte 28, a first key within at byte 29.
    let check = |value: &str, message: &str| {
        check_bad_message_pack(&format!("83 {ID} {SUBSCRIBE} {RECOVER} {value}"), Some(7), message);
    };
    check("05", "invalid type: integer `5`, expected a map of epoch and offset as \"recover\" at byte 28");
    check("80", "missing key \"epoch\" in recover at byte 28");
    check(&format!("81 {EPOCH} a165"), "missing key \"offset\" in recover at byte 28");
    check("81 a178 c0", "unknown key \"x\": the keys of \"recover\" are epoch, offset at byte 29");
    check(&format!("82 {OFFSET} 01 {OFFSET} 01"), "duplicate key \"offset\" at byte 37");
    check("81 01 c0", "invalid type: integer `1`, expected a string as a key at byte 29");
    let epoch = "expected a string of 1 to 32 ASCII letters and digits as \"epoch\" at byte 35";
    check(&format!("81 {EPOCH} a3612d62"), &format!("invalid value: string, {epoch}"));
    check(&format!("81 {EPOCH} c403613262"), &format!("invalid type: binary, {epoch}"));
    let offset = "expected an integer from 0 to 2^64-1 as \"offset\" at byte 36";
    check(&format!("81 {OFFSET} ff"), &format!("invalid type: integer `-1`, {offset}"));
    check(&format!("81 {OFFSET} cb3ff0000000000000"), &format!("invalid type: floating point `1.0`, {offset}"));
    check(&format!("dfffffffff {OFFSET} 01"), "the message ends within the value that begins at byte 41");
}

#[test]
fn message_pack_integers_may_have_any_width() {
    let history = |limit: &str| {
        let hex = format!("83 a474797065 a7686973746f7279 a76368616e6e656c a161 a56c696d6974 {limit}");
        decode_message_pack(&bytes(&hex))
    };
    for ten in [
        "0a",
        "cc0a",
        "cd000a",
        "ce0000000a",
        "cf000000000000000a",
        "d00a",
        "d1000a",
        "d20000000a",
        "d3000000000000000a",
    ] {
        let command = Command::History { channel: channel("a"), since: None, limit: 10, reverse: false };
        assert_eq!(history(ten), Decoded::Request(Request { id: None, command }), "{ten}");
    }
    let (_, code, message) = refused(history("cd03e9"));
    let expected = "invalid value: integer `1001`, expected an integer from 1 to 1000 as \"limit\" at byte 30";
    assert_eq!((code, message.as_str()), (ErrorCode::BadRequest, expected));
    let (_, _, message) =
        refused(decode_message_pack(&message_pack(r#"{"content":1,"idempotency_key":"","type":"broadcast"}"#)));
    assert!(
        message
            .starts_with("invalid value: string, expected a string of 1 to 64 bytes as \"idempotency_key\" at byte ")
    );
}
