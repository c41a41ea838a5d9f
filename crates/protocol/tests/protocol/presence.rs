//! What the native dialects read and write about presence.

use crate::{
    commands::{channel, check, check_bad_json, check_bad_message_pack},
    support::{bytes, decode_json, decode_message_pack, payload},
};
use fanwire_protocol::{
    ChangeKind, ChannelName, Command, ConnectionId, Content, Decoded, Dialect, Dialects, Member, MemberChange, NodeId,
    Publication, Request, UserId,
    command::{DEFAULT_LIMIT, MAX_LIMIT},
};
use serde_json::{Value, json};

fn id(node: u64, sequence: u64) -> ConnectionId {
    ConnectionId(NodeId::from_random(node), sequence)
}

#[test]
fn commands_about_presence_are_read_in_both_encodings() {
    check(r#"{"type":"subscribe","channel":"a","info":{"n":1}}"#, None, |content| Command::Subscribe {
        channel: channel("a"),
        recover: None,
        info: Some(content(r#"{"n":1}"#)),
    });
    check(r#"{"type":"presence","channel":"a"}"#, None, |_| Command::Presence {
        channel: channel("a"),
        limit: DEFAULT_LIMIT,
        after: None,
    });
    let page = r#"{"type":"presence","channel":"a","limit":1000,"after":[9007199254740991,18446744073709551615]}"#;
    check(page, None, |_| Command::Presence {
        channel: channel("a"),
        limit: MAX_LIMIT,
        after: Some(id(NodeId::LIMIT - 1, u64::MAX)),
    });
    check(r#"{"type":"presence_stats","channel":"a"}"#, None, |_| Command::PresenceStats { channel: channel("a") });
}

#[test]
fn binary_info_has_a_form_in_each_encoding() {
    let info = Some(Content::binary(vec![1].into()));
    let command = Command::Subscribe { channel: channel("a"), recover: None, info };
    let wanted = Decoded::Request(Request { id: None, command });
    assert_eq!(decode_json(r#"{"type":"subscribe","channel":"a","info_base64":"AQ=="}"#), wanted);
    let packed = bytes("83 a474797065 a9737562736372696265 a76368616e6e656c a161 a4696e666f c40101");
    assert_eq!(decode_message_pack(&packed), wanted);
}

#[test]
fn what_is_wrong_is_told_with_the_place() {
    let after = |value: &str| format!(r#"{{"type":"presence","id":7,"channel":"a","after":{value}}}"#);
    let wanted = "expected an array of two integers, a connection, as \"after\" at line 1 column";
    check_bad_json(&after("5"), Some(7), &format!("invalid type: integer `5`, {wanted} 49"));
    check_bad_json(&after("[1]"), Some(7), &format!("invalid value: sequence, {wanted} 51"));
    check_bad_json(&after("[1,2,3]"), Some(7), &format!("invalid value: sequence, {wanted} 55"));
    check_bad_json(&after("[9007199254740992,1]"), Some(7), &format!("invalid value: sequence, {wanted} 68"));
    check_bad_json(&after(r#""1-2""#), Some(7), &format!("invalid type: string, {wanted} 53"));
    let both = r#"{"type":"subscribe","id":7,"channel":"a","info":1,"info_base64":"AQ=="}"#;
    check_bad_json(both, Some(7), "both \"info\" and \"info_base64\": there is one info");
    let broken = r#"{"type":"subscribe","id":7,"channel":"a","info_base64":"?"}"#;
    let message = "info_base64: no base64 of the standard alphabet with padding: Invalid symbol 63, offset 0.";
    check_bad_json(broken, Some(7), message);
    let packed = "84 a474797065 a870726573656e6365 a26964 07 a76368616e6e656c a161 a56166746572 9101";
    let message = "invalid type: sequence, expected an array of two integers, a connection, as \"after\" at byte 35";
    check_bad_message_pack(packed, Some(7), message);
}

#[test]
fn changes_say_the_same_in_both_encodings() {
    let dialects = Dialects::default();
    let member = |user: &str, info| Member { connection: id(1, 2), user: UserId::parse(user).ok(), info };
    for (kind, member, with_user, expected) in [
        (ChangeKind::Join, member("", None), false, json!({ "type": "join" })),
        (ChangeKind::Join, member("zoe", None), true, json!({ "type": "join", "user": "zoe", "first": true })),
        (
            ChangeKind::Leave,
            member("zoe", Some(Content::string("x"))),
            true,
            json!({ "type": "leave", "user": "zoe", "info": "x", "last": true }),
        ),
        (ChangeKind::Leave, member("zoe", None), false, json!({ "type": "leave", "user": "zoe" })),
    ] {
        let mut expected = expected;
        expected["channel"] = json!("a");
        expected["connection"] = json!([1, 2]);
        let change = MemberChange { kind, member, with_user };
        let told = Publication::of_change(ChannelName::parse("a").unwrap(), change);
        let json: Value = serde_json::from_slice(payload(told.frame(Dialect::Json, &dialects).unwrap()).1).unwrap();
        let packed = payload(told.frame(Dialect::MessagePack, &dialects).unwrap()).1;
        assert_eq!((&json, &rmp_serde::from_slice::<Value>(packed).unwrap()), (&expected, &expected));
        assert_eq!(told.frame(Dialect::Plain, &dialects), None);
    }
}
