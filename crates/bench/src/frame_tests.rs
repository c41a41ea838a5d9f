#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use fanwire_protocol::frame::{Opcode as Sent, frame};
use proptest::prelude::*;

type Seen = Vec<(bool, Opcode, Vec<u8>)>;

fn parse(pieces: &[&[u8]]) -> Result<Seen, BrokenFrame> {
    let mut parser = Parser::default();
    let mut seen = Seen::new();
    for piece in pieces {
        parser.feed(piece, |frame| seen.push((frame.fin, frame.opcode, frame.payload.to_vec())))?;
    }
    Ok(seen)
}

#[track_caller]
fn check_broken(bytes: &[u8], expected: BrokenFrame) {
    assert_eq!(parse(&[bytes]), Err(expected));
}

#[test]
fn what_a_server_must_never_send_is_named() {
    check_broken(&[0xc1, 0], BrokenFrame::ReservedBits(0xc1));
    check_broken(&[0x83, 0], BrokenFrame::UnknownOpcode(3));
    check_broken(&[0x81, 0x80], BrokenFrame::Masked);
    check_broken(&[0x09, 0], BrokenFrame::FragmentedControl);
    check_broken(&[0x89, 126], BrokenFrame::LongControl);
    check_broken(&[0x82, 126, 0, 125], BrokenFrame::LongForm(125));
    check_broken(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], BrokenFrame::LongForm(65_535));
    check_broken(&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], BrokenFrame::TooLong(0xff << 56));
    check_broken(&[0x80, 0], BrokenFrame::Continuation);
    check_broken(&[0x01, 0, 0x81, 0], BrokenFrame::Interrupted);
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let seen = parse(&[&[0x01, 1, b'a', 0x89, 1, b'p', 0x80, 1, b'b']]).unwrap();
    let expected: Seen = vec![
        (false, Opcode::Text, b"a".to_vec()),
        (true, Opcode::Ping, b"p".to_vec()),
        (true, Opcode::Continuation, b"b".to_vec()),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_large_carry_is_given_back() {
    let mut parser = Parser::default();
    for byte in frame(Sent::Binary, &[1; 10_000]).iter() {
        parser.feed(&[*byte], |_| {}).unwrap();
    }
    assert_eq!(parser.carry.capacity(), 0);
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![0..4usize, 124..128usize, 65_534..65_538usize];
    proptest::collection::vec((any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length]), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_of_any_size_give_the_same_frames(payloads in payloads(), step in prop_oneof![Just(1usize), 2..70_000usize]) {
        let stream: Vec<u8> = payloads.iter().flat_map(|p| frame(Sent::Binary, p).to_vec()).collect();
        let expected: Seen = payloads.into_iter().map(|p| (true, Opcode::Binary, p)).collect();
        prop_assert_eq!(parse(&stream.chunks(step).collect::<Vec<_>>()).unwrap(), expected);
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), step in 1..64usize) {
        let whole = parse(&[&bytes]);
        let pieces = parse(&bytes.chunks(step).collect::<Vec<_>>());
        prop_assert_eq!(whole, pieces);
    }
}
