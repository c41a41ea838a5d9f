//! Streams of frames, whole and cut, by the letter of RFC 6455.

use super::*;
use proptest::prelude::*;

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LIMITS: Limits = Limits { message: 70_000, fragments: 8, ratio: 100 };

/// A masked frame whose first byte is `first`.
fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0xa1, 0x5e, 0x03, 0xf7];
    let length = match payload.len() {
        short @ ..126 => vec![u8::try_from(short).unwrap()],
        medium @ ..65_536 => [&[126][..], &u16::try_from(medium).unwrap().to_be_bytes()].concat(),
        long => [&[127][..], &(long as u64).to_be_bytes()].concat(),
    };
    let masked = payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key);
    [first, 0x80 | length[0]].iter().chain(&length[1..]).chain(&KEY).copied().chain(masked).collect()
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    fragment(FINAL | opcode, payload)
}

/// What came of a stream: its messages as they are shown, then what it broke.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<String>,
    broken: Option<Violation>,
}

/// Feeds `stream` in the pieces that the connection would read, keeping what is not taken.
fn outcome<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    outcome_with(Compression::Never, pieces)
}

/// The same where compression may have been agreed on.
fn outcome_with<'a>(compression: Compression, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut decoder, mut kept, mut messages) = (Decoder::new(compression), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut rest = &mut kept[..];
        loop {
            match decoder.next(&mut rest, &LIMITS) {
                Ok(Some(message)) => messages.push(format!("{message:?}")),
                Ok(None) => break,
                Err(violation) => return Outcome { messages, broken: Some(violation) },
            }
        }
        assert!(rest.len() <= 130, "{} bytes are left", rest.len());
        kept = rest.to_vec();
    }
    Outcome { messages, broken: None }
}

/// The outcome of `frames`, which is the same byte by byte.
fn whole(frames: &[Vec<u8>]) -> Outcome {
    let stream = frames.concat();
    let at_once = outcome([&stream[..]]);
    assert_eq!(outcome(stream.chunks(1)), at_once, "byte by byte");
    at_once
}

#[track_caller]
fn reads(frames: &[Vec<u8>], messages: &[&str]) {
    assert_eq!(
        whole(frames),
        Outcome { messages: messages.iter().map(|text| (*text).to_owned()).collect(), broken: None }
    );
}

#[track_caller]
fn breaks(frames: &[Vec<u8>], violation: Violation) {
    assert_eq!(whole(frames).broken, Some(violation));
}

#[test]
fn messages_are_read_in_their_order() {
    reads(
        &[frame(TEXT, b"a"), frame(BINARY, b"\xff"), frame(PING, b"p"), frame(PONG, b"q"), frame(CLOSE, b"\x03\xe8")],
        &[r#"Text("a")"#, "Binary([255])", "Ping([112])", "Pong", "Close(Some(1000))"],
    );
    reads(&[frame(TEXT, b""), frame(BINARY, b""), frame(PING, b"")], &[r#"Text("")"#, "Binary([])", "Ping([])"]);
}

#[test]
fn control_frames_come_between_fragments() {
    reads(
        &[fragment(TEXT, "é".as_bytes()), frame(PING, b"p"), fragment(CONTINUATION, b""), frame(CONTINUATION, b"b")],
        &["Ping([112])", "Text(\"é\\u{62}\")"].map(|text| if text.starts_with('T') { r#"Text("éb")"# } else { text }),
    );
}

#[test]
fn a_whole_message_is_read_in_place() {
    for opcode in [TEXT, BINARY] {
        let mut stream = frame(opcode, b"in place");
        let message = Decoder::default().next(&mut &mut stream[..], &LIMITS).unwrap().unwrap();
        assert!(matches!(
            message,
            Message::Text(Cow::Borrowed("in place")) | Message::Binary(Cow::Borrowed(b"in place"))
        ));
    }
}

#[test]
fn a_connection_between_messages_costs_two_words() {
    assert_eq!(size_of::<Decoder>(), 2 * size_of::<usize>());
    let mut decoder = Decoder::default();
    let mut stream = [fragment(BINARY, &[7; 100]), frame(CONTINUATION, b"!")].concat();
    assert!(decoder.next(&mut &mut stream[..], &LIMITS).unwrap().is_some());
    assert!(decoder.unfinished.is_none());
}

#[test]
fn fragments_have_one_beginning() {
    breaks(&[frame(CONTINUATION, b"a")], Violation::NothingToContinue);
    breaks(&[frame(TEXT, b"a"), fragment(CONTINUATION, b"b")], Violation::NothingToContinue);
    breaks(&[fragment(TEXT, b"a"), frame(TEXT, b"b")], Violation::Interrupted);
    breaks(&[fragment(TEXT, b"a"), fragment(BINARY, b"b")], Violation::Interrupted);
}

#[test]
fn a_message_is_as_long_as_the_limit_at_most() {
    let too_long = Violation::TooLong { limit: LIMITS.message };
    assert_eq!(whole(&[frame(BINARY, &[0; 70_000])]).messages.len(), 1);
    breaks(&[frame(BINARY, &[0; 70_001])[..14].to_vec()], too_long);
    breaks(&[fragment(BINARY, &[0; 69_999]), frame(CONTINUATION, &[0; 2])], too_long);
    breaks(&[b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec()], too_long);
    let twice = [fragment(BINARY, b"0"), b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec()];
    breaks(&twice, too_long);
}

#[test]
fn a_message_has_as_many_fragments_as_the_limit_at_most() {
    let begun = |count| [vec![fragment(TEXT, b"")], vec![fragment(CONTINUATION, b""); count]].concat();
    reads(&[begun(6), vec![frame(CONTINUATION, b"")]].concat(), &[r#"Text("")"#]);
    breaks(&begun(8), Violation::TooManyFragments { limit: LIMITS.fragments });
    let messages = vec![[begun(6), vec![frame(CONTINUATION, b"")]].concat(); 3].concat();
    assert_eq!(whole(&messages).messages.len(), 3, "each message is counted on its own");
}

#[test]
fn a_text_is_utf8_as_soon_as_it_can_be_told() {
    breaks(&[frame(TEXT, b"\xff")], Violation::NotUtf8);
    breaks(&[frame(TEXT, b"\xe5\xb9")], Violation::NotUtf8);
    breaks(&[fragment(TEXT, b"\xe5"), frame(CONTINUATION, b"\xff")], Violation::NotUtf8);
    breaks(&[fragment(TEXT, b"\xe5\xb9"), frame(CONTINUATION, b"")], Violation::NotUtf8);
    reads(
        &[fragment(TEXT, b"\xe5"), fragment(CONTINUATION, b"\xb9"), frame(CONTINUATION, b"\xb3")],
        &[r#"Text("平")"#],
    );
    // 6.4.3 of Autobahn's suite: the rest of the frame is not waited for.
    let begun = frame(TEXT, b"\xce\xba\xf4\x90\x80\x80 and on");
    breaks(&[begun[..6 + 4].to_vec()], Violation::NotUtf8);
    assert_eq!(whole(&[begun[..6 + 3].to_vec()]).broken, None);
}

#[test]
fn a_control_frame_waits_until_it_is_whole() {
    let ping = frame(PING, &[7; 125]);
    for cut in 0..ping.len() {
        assert_eq!(outcome([&ping[..cut]]), Outcome { messages: Vec::new(), broken: None });
    }
    breaks(&[frame(CLOSE, b"\x03\xed")], Violation::CloseCode(1005));
}

/// "Hello", from RFC 7692, section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const COMPRESSED: u8 = 0x40;
const AGREED: Compression = Compression::Deflate { window: 15 };

#[track_caller]
fn reads_compressed(frames: &[Vec<u8>], messages: &[&str], broken: Option<Violation>) {
    let stream = frames.concat();
    let expected = Outcome { messages: messages.iter().map(|text| (*text).to_owned()).collect(), broken };
    assert_eq!(outcome_with(AGREED, [&stream[..]]), expected);
    assert_eq!(outcome_with(AGREED, stream.chunks(1)), expected, "byte by byte");
}

#[test]
fn a_message_is_compressed_where_that_was_agreed_on() {
    let hello = fragment(FINAL | COMPRESSED | TEXT, &HELLO);
    reads_compressed(
        &[hello.clone(), frame(TEXT, b"plain"), fragment(FINAL | COMPRESSED | BINARY, &HELLO)],
        &[r#"Text("Hello")"#, r#"Text("plain")"#, "Binary([72, 101, 108, 108, 111])"],
        None,
    );
    breaks(&[hello], Violation::ReservedBit(0xc1));
    // RFC 7692, section 7.2.3.1: the same in two fragments, of which the first says so.
    let halves = [fragment(COMPRESSED | TEXT, &HELLO[..3]), frame(PING, b""), frame(CONTINUATION, &HELLO[3..])];
    reads_compressed(&halves, &["Ping([])", r#"Text("Hello")"#], None);
    let again = [fragment(COMPRESSED | TEXT, &HELLO[..3]), frame(CONTINUATION | COMPRESSED, &HELLO[3..])];
    reads_compressed(&again, &[], Some(Violation::ReservedBit(0xc0)));
    reads_compressed(&[frame(PING | COMPRESSED, b"")], &[], Some(Violation::ReservedBit(0xc9)));
}

#[test]
fn what_is_compressed_is_held_to_the_rules_of_what_it_becomes() {
    reads_compressed(&[frame(TEXT | COMPRESSED, b"Hello")], &[], Some(Violation::NotDeflated));
    // A stored block of one byte that is no UTF-8.
    let not_utf8 = b"\x00\x01\x00\xfe\xff\xff\x00";
    reads_compressed(&[frame(TEXT | COMPRESSED, not_utf8)], &[], Some(Violation::NotUtf8));
    reads_compressed(&[frame(BINARY | COMPRESSED, not_utf8)], &["Binary([255])"], None);
    let incompressible =
        [&[0, 0xff, 0xff, 0, 0][..], &[7; 65_535], &[0, 0x11, 0x11, 0xee, 0xee], &[7; 4369], &[0]].concat();
    assert_eq!(outcome_with(AGREED, [&frame(BINARY | COMPRESSED, &incompressible)[..]]).messages.len(), 1);
    let too_long = vec![frame(BINARY | COMPRESSED, &[0; 70_400])];
    reads_compressed(&too_long, &[], Some(Violation::TooLong { limit: LIMITS.message }));
}

fn message() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<String>)> {
    let control = (prop::sample::select(vec![PING, PONG]), prop::collection::vec(any::<u8>(), 0..126));
    let data = prop_oneof![
        (any::<String>(), Just(TEXT)).prop_map(|(text, opcode)| (text.into_bytes(), opcode)),
        (prop::collection::vec(any::<u8>(), 0..400), Just(BINARY)),
    ];
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(control)), 0..4);
    (data, cuts).prop_map(|((payload, opcode), mut cuts)| {
        cuts.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
        let (mut frames, mut messages, mut from, mut first) = (Vec::new(), Vec::new(), 0, opcode);
        for (cut, control) in cuts {
            let cut = cut.index(payload.len() + 1);
            frames.push(fragment(first, &payload[from..cut]));
            (from, first) = (cut, CONTINUATION);
            if let Some((opcode, payload)) = control {
                frames.push(frame(opcode, &payload));
                messages.push(if opcode == PING { format!("Ping({payload:?})") } else { "Pong".to_owned() });
            }
        }
        frames.push(frame(first, &payload[from..]));
        messages.push(match opcode {
            TEXT => format!("Text({:?})", String::from_utf8(payload).unwrap()),
            _ => format!("Binary({payload:?})"),
        });
        (frames, messages)
    })
}

proptest! {
    #[test]
    fn valid_frames_give_the_same_messages_wherever_they_are_cut(
        sent in prop::collection::vec(message(), 0..6),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let stream = sent.iter().flat_map(|(frames, _)| frames.concat()).collect::<Vec<_>>();
        let messages = sent.into_iter().flat_map(|(_, messages)| messages).collect();
        cuts.sort_by_key(|cut| cut.index(stream.len() + 1));
        let ends = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([stream.len()]);
        let pieces = ends.scan(0, |from, to| Some(&stream[std::mem::replace(from, to)..to]));
        prop_assert_eq!(outcome(pieces), Outcome { messages, broken: None });
    }

    #[test]
    fn any_bytes_mean_the_same_wherever_they_are_cut(
        stream in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0x81, 0x82, 0x80, 0x01, 0x89, 0x84])], 0..200),
        size in 1..20_usize,
    ) {
        prop_assert_eq!(outcome(stream.chunks(size)), outcome([&stream[..]]));
    }
}
