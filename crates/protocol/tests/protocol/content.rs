//! Which contents are accepted, and what is said of the others.

use crate::support::bytes;
use bytes::Bytes;
use fanwire_protocol::{Content, ContentKind, content::MAX_DEPTH};

#[track_caller]
fn check_json(text: &str, expected: Result<&str, &str>) {
    let got = Content::json(text).map_err(|error| error.to_string());
    let got = got.as_ref().map(|content| str::from_utf8(content.parts().1).unwrap()).map_err(String::as_str);
    assert_eq!(got, expected, "{text:?}");
}

#[track_caller]
fn check_message_pack(hex: &str, expected: Result<ContentKind, &str>) {
    let got = Content::message_pack(&bytes(hex)).map_err(|error| error.to_string());
    assert_eq!(got.as_ref().map(|content| content.parts().0).map_err(String::as_str), expected, "{hex}");
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

fn nested_message_pack(depth: usize) -> String {
    "91".repeat(depth - 1) + "90"
}

#[test]
fn any_json_value_is_accepted_as_it_is_written() {
    check_json("1", Ok("1"));
    check_json(" \r\n{ \"a\" : [1.50, -0, 1e2, null] }\t", Ok("{ \"a\" : [1.50, -0, 1e2, null] }"));
    check_json(r#""\ud83d\ude00 \u0000""#, Ok(r#""\ud83d\ude00 \u0000""#));
    check_json(r#"{"a":1,"a":2}"#, Ok(r#"{"a":1,"a":2}"#));
    check_json("18446744073709551616", Ok("18446744073709551616"));
    check_json("-9223372036854775809", Ok("-9223372036854775809"));
    check_json("1e-999", Ok("1e-999"));
}

#[test]
fn broken_json_is_refused_with_the_place() {
    check_json("", Err("EOF while parsing a value at line 1 column 0"));
    check_json("{\"a\":1,\n\"b\" 2}", Err("expected `:` at line 2 column 5"));
    check_json("[1,]", Err("trailing comma at line 1 column 4"));
    check_json("1 2", Err("trailing characters at line 1 column 3"));
    check_json("NaN", Err("expected value at line 1 column 1"));
    check_json("01", Err("invalid number at line 1 column 2"));
    check_json("\"a\nb\"", Err("control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0"));
}

#[test]
fn json_without_a_form_elsewhere_is_refused_with_the_place() {
    check_json("[1, 1e999]", Err("number out of range at line 1 column 9"));
    check_json(&"9".repeat(400), Err("number out of range at line 1 column 400"));
    check_json(r#""\ud800""#, Err("unexpected end of hex escape at line 1 column 8"));
    check_json(r#"["\ud800 "]"#, Err("unexpected end of hex escape at line 1 column 9"));
    check_json(r#"{"\udc00":1}"#, Err("lone leading surrogate in hex escape at line 1 column 8"));
    check_json(r#""\ud800\u0041""#, Err("lone leading surrogate in hex escape at line 1 column 13"));
}

#[test]
fn json_nests_to_the_bound_and_no_further() {
    check_json(&nested(MAX_DEPTH), Ok(&nested(MAX_DEPTH)));
    let objects = r#"{"a":"#.repeat(MAX_DEPTH - 1) + "{}" + &"}".repeat(MAX_DEPTH - 1);
    check_json(&objects, Ok(&objects));
    for depth in [MAX_DEPTH + 1, 100, 128, 1000, 100_000] {
        let message = Content::json(&nested(depth)).unwrap_err().to_string();
        assert!(message.starts_with("nested more than 64 levels deep at line 1 column 6"), "{message}");
        assert!(Content::json(&"[".repeat(depth)).is_err());
    }
}

#[test]
fn message_pack_that_json_can_express_is_accepted() {
    let accepted = [
        "c0",
        "c2",
        "7f",
        "e0",
        "ccff",
        "cdffff",
        "ceffffffff",
        "cfffffffffffffffff",
        "d080",
        "d18000",
        "d280000000",
        "d38000000000000000",
        "ca7f7fffff",
        "cb3ff8000000000000",
        "a0",
        "d90161",
        "da000161",
        "db0000000161",
        "90",
        "93 c0 80 a161",
        "dc0001 c0",
        "dd00000001 c0",
        "80",
        "81 a161 c0",
        "de0001 a161 c0",
        "df00000001 a161 91 c0",
    ];
    for hex in accepted {
        check_message_pack(hex, Ok(ContentKind::MessagePack));
    }
}

#[test]
fn what_is_wholly_binary_is_binary() {
    for hex in ["c400", "c403 010203", "c50001 ff", "c600000001 00"] {
        check_message_pack(hex, Ok(ContentKind::Binary));
    }
    assert_eq!(Content::message_pack(&bytes("c403 010203")), Ok(Content::binary(Bytes::from_static(&[1, 2, 3]))));
}

#[test]
fn message_pack_that_json_cant_express_is_refused_with_the_place() {
    check_message_pack("91 c401ff", Err("binary inside of other content, which JSON can't express, at byte 1"));
    check_message_pack("81 c40161 c0", Err("invalid type: binary, expected a string as a map's key at byte 1"));
    check_message_pack(
        "82 a161 01 02 03",
        Err("invalid type: integer `2`, expected a string as a map's key at byte 4"),
    );
    check_message_pack("81 91c0 01", Err("invalid type: sequence, expected a string as a map's key at byte 1"));
    check_message_pack("92 c0 d6ff00000000", Err("an extension type, which JSON can't express, at byte 2"));
    check_message_pack("c70105ff", Err("an extension type, which JSON can't express, at byte 0"));
    check_message_pack("91 cb7ff8000000000000", Err("NaN, which JSON can't express, at byte 1"));
    check_message_pack("cb7ff0000000000000", Err("inf, which JSON can't express, at byte 0"));
    check_message_pack("caff800000", Err("-inf, which JSON can't express, at byte 0"));
    check_message_pack("91 a2c328", Err("a string that is not UTF-8 at byte 1"));
    check_message_pack("81 a1ff c0", Err("a string that is not UTF-8 at byte 1"));
}

#[test]
fn broken_message_pack_is_refused_with_the_place() {
    check_message_pack("", Err("the message ends within the value that begins at byte 0"));
    check_message_pack("92 01", Err("the message ends within the value that begins at byte 2"));
    check_message_pack("91 cd01", Err("the message ends within the value that begins at byte 1"));
    check_message_pack("a561", Err("the message ends within the value that begins at byte 0"));
    check_message_pack("dbffffffff 61", Err("the message ends within the value that begins at byte 0"));
    check_message_pack("c6ffffffff 61", Err("the message ends within the value that begins at byte 0"));
    check_message_pack("c9ffffffff 01", Err("the message ends within the value that begins at byte 0"));
    check_message_pack("ddffffffff", Err("the message ends within the value that begins at byte 5"));
    check_message_pack("dfffffffff a161", Err("the message ends within the value that begins at byte 7"));
    check_message_pack("c0 c0", Err("more than one value: the second begins at byte 1"));
    check_message_pack("c401ff c0", Err("binary inside of other content, which JSON can't express, at byte 0"));
    check_message_pack("91 c1", Err("0xc1, which MessagePack never uses, at byte 1"));
}

#[test]
fn message_pack_nests_to_the_bound_and_no_further() {
    check_message_pack(&nested_message_pack(MAX_DEPTH), Ok(ContentKind::MessagePack));
    for depth in [MAX_DEPTH + 1, 1000, 100_000] {
        check_message_pack(&nested_message_pack(depth), Err("nested more than 64 levels deep at byte 64"));
        check_message_pack(&"81a0".repeat(depth), Err("nested more than 64 levels deep at byte 128"));
    }
}

#[test]
fn parts_are_checked_again() {
    let parts = |kind, bytes| Content::from_parts(kind, Bytes::from_static(bytes));
    assert_eq!(parts(ContentKind::Json, b"[1]"), Content::json("[1]"));
    assert_eq!(parts(ContentKind::MessagePack, b"\x91\x01"), Content::message_pack(b"\x91\x01"));
    assert_eq!(parts(ContentKind::Binary, b"\xff"), Ok(Content::binary(Bytes::from_static(b"\xff"))));
    assert_eq!(parts(ContentKind::Json, b"[1").unwrap_err().to_string(), "EOF while parsing a list at line 1 column 2");
    assert_eq!(parts(ContentKind::Json, b"\n[\"\xff\"]").unwrap_err().to_string(), "no UTF-8 at line 2 column 2");
    assert!(parts(ContentKind::MessagePack, b"\xc1").is_err());
}

#[test]
fn a_content_holds_on_to_nothing_but_itself() {
    for (kind, bytes) in [(ContentKind::Json, "[1]"), (ContentKind::MessagePack, "\u{1}"), (ContentKind::Binary, "x")] {
        let message = Bytes::from(bytes.to_owned());
        let content = Content::from_parts(kind, message.clone()).unwrap();
        assert_eq!(content.parts(), (kind, &message));
        assert_ne!(content.parts().1.as_ptr(), message.as_ptr());
    }
}

#[test]
fn a_string_is_a_content() {
    assert_eq!(Content::string("a\"\u{1}").parts().1, "\"a\\\"\\u0001\"");
}
