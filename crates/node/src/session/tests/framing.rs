//! What breaks RFC 6455, and what only looks so.

use crate::testing::{Fixture, Frame, Settings, fragment, masked, settle};
use fanwire_protocol::Dialect;
use serde_json::json;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;
const FINAL: u8 = 0x80;

/// Bytes that end the connection with `code`, whatever follows them.
async fn check(bytes: &[u8], code: u16) {
    let fixture = Fixture::with(Settings { message_limit: 1024, ..Settings::default() });
    let (mut client, mut other) = (fixture.connect_narrow(4096).await, fixture.connect().await);
    client.send(r#"{"type":"ping"}"#).await;
    client.send_raw(bytes).await;
    client.send_raw(&[0xff; 100_000]).await;
    assert_eq!(client.event().await, json!({ "type": "pong" }), "what came before {bytes:?} is answered");
    assert_eq!(client.frame().await, Frame::Close(Some(code)), "to {bytes:?}");
    client.end().await;
    client.vanish().await;

    other.send(r#"{"type":"ping"}"#).await;
    assert_eq!(other.event().await, json!({ "type": "pong" }), "the others live on");
    other.vanish().await;
    settle().await;
    fixture.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_is_1002() {
    for reserved in [0x40, 0x20, 0x10] {
        check(&fragment(FINAL | reserved | TEXT, b"{}"), 1002).await;
    }
    for opcode in [3, 7, 11, 15] {
        check(&masked(opcode, b""), 1002).await;
    }
    check(b"\x81\x02{}", 1002).await;
    check(&fragment(PING, b""), 1002).await;
    check(&masked(PING, &[0; 126]), 1002).await;
    check(&masked(0, b"{}"), 1002).await;
    check(&[fragment(TEXT, b"{"), masked(TEXT, b"{}")].concat(), 1002).await;
    check(&masked(8, &[3]), 1002).await;
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_not_utf8_is_1007() {
    check(&masked(TEXT, b"\xff"), 1007).await;
    check(&[fragment(TEXT, b"\xe5"), masked(0, b"\xff")].concat(), 1007).await;
    check(&[fragment(TEXT, b"\xe5\xb9"), masked(0, b"")].concat(), 1007).await;
    check(&masked(8, b"\x03\xe8\xff"), 1007).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_beyond_the_limit_is_1009() {
    check(&masked(TEXT, &[b' '; 1025]), 1009).await;
    check(&masked(BINARY, &[0; 1025]), 1009).await;
    // The header alone tells.
    check(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009).await;
    check(&[fragment(TEXT, &[b' '; 1000]), masked(0, &[b' '; 25])].concat(), 1009).await;
}

#[tokio::test(start_paused = true)]
async fn a_compressed_command_is_carried_out_where_compression_was_agreed_on() {
    // {"type":"ping"} in a stored block.
    let ping = [&b"\x00\x0f\x00\xf0\xff"[..], br#"{"type":"ping"}"#, b"\x00"].concat();
    let fixture = Fixture::start();
    let mut client = fixture.connect_compressed(Dialect::Json, 4096, &fragment(FINAL | 0x40 | TEXT, &ping));
    assert_eq!(client.event().await["type"], "welcome");
    assert_eq!(client.event().await, json!({ "type": "pong" }));
    client.send_raw(&fragment(FINAL | 0x40 | TEXT, b"{}")).await;
    assert_eq!(client.frame().await, Frame::Close(Some(1002)));
    client.vanish().await;
}

#[tokio::test(start_paused = true)]
async fn control_frames_come_between_the_fragments_of_a_message() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    let message = [
        fragment(TEXT, br#"{"type":"#),
        masked(PING, b"1"),
        masked(10, b"unasked"),
        fragment(0, b""),
        fragment(0, br#""ping","id":"#),
        masked(PING, b"2"),
        masked(0, b"7}"),
    ];
    for byte in message.concat() {
        client.send_raw(&[byte]).await;
    }
    let expected =
        [Frame::Pong(b"1".to_vec()), Frame::Pong(b"2".to_vec()), Frame::Event(json!({ "type": "pong", "id": 7 }))];
    assert_eq!(client.frames().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_character_may_be_cut_by_a_fragment() {
    let fixture = Fixture::start();
    let mut client = fixture.connect().await;
    let (first, second) = "{\"type\":\"ping\",\"id\":\"\u{e9}\"}".as_bytes().split_at(22);
    assert!(std::str::from_utf8(first).is_err());
    client.send_raw(&[fragment(TEXT, first), masked(0, second)].concat()).await;
    assert_eq!(client.event().await, json!({ "type": "pong", "id": "\u{e9}" }));
}

#[tokio::test(start_paused = true)]
async fn a_message_as_long_as_the_limit_is_served() {
    let fixture = Fixture::with(Settings { message_limit: 1024, ..Settings::default() });
    let mut client = fixture.connect().await;
    client.send(&format!("{:1024}", r#"{"type":"ping"}"#)).await;
    assert_eq!(client.event().await, json!({ "type": "pong" }));
}

#[tokio::test(start_paused = true)]
async fn a_message_in_more_fragments_than_may_be_is_1008() {
    let fragments = [fragment(TEXT, b"{"), fragment(0, b"").repeat(100)].concat();
    check(&fragments, 1008).await;
}
