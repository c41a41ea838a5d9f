//! The head of a frame from a client (RFC 6455, section 5.2).

use super::{COMPRESSED, FINAL, MAX_CONTROL_PAYLOAD, Opcode, Violation, mask::Mask};

const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) part: Part,
    /// Whether it ends its message.
    pub(super) ends: bool,
    /// The length of the payload in bytes.
    pub(super) payload: usize,
    pub(super) mask: Mask,
}

/// What a frame is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The first of a message.
    First(Format, Packing),
    /// A later one.
    Continuation,
    /// No message.
    Control(Control),
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// Whether a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Deflated,
}

/// What a control frame is (section 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Close,
    Ping,
    Pong,
}

impl Head {
    /// The head that begins `bytes`, and its length; `None` while it is incomplete.
    ///
    /// What is wrong with a head is told by its first byte that tells it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let part = part(*first)?;
        let [second, rest @ ..] = rest else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & !MASKED;
        if matches!(part, Part::Control(_)) && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(Violation::LongControl);
        }
        let Some((payload, rest)) = length(short, rest)? else { return Ok(None) };
        let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let head = Self { part, ends: first & FINAL != 0, payload, mask: Mask::new(*key) };
        Ok(Some((head, bytes.len() - rest.len())))
    }
}

fn part(first: u8) -> Result<Part, Violation> {
    let packing = match first & RESERVED {
        0 => Packing::Plain,
        COMPRESSED => Packing::Deflated,
        _ => return Err(Violation::ReservedBit(first)),
    };
    let part = match first & 0x0f {
        0 => Part::Continuation,
        opcode if opcode == Opcode::Text as u8 => Part::First(Format::Text, packing),
        opcode if opcode == Opcode::Binary as u8 => Part::First(Format::Binary, packing),
        opcode if opcode == Opcode::Close as u8 => Part::Control(Control::Close),
        opcode if opcode == Opcode::Ping as u8 => Part::Control(Control::Ping),
        opcode if opcode == Opcode::Pong as u8 => Part::Control(Control::Pong),
        unknown => return Err(Violation::UnknownOpcode(unknown)),
    };
    if packing == Packing::Deflated && !matches!(part, Part::First(..)) {
        return Err(Violation::ReservedBit(first));
    }
    if matches!(part, Part::Control(_)) && first & FINAL == 0 {
        return Err(Violation::FragmentedControl);
    }
    Ok(part)
}

/// The length of the payload, and what stands behind it.
fn length(short: u8, bytes: &[u8]) -> Result<Option<(usize, &[u8])>, Violation> {
    match short {
        126 => bytes.split_first_chunk().map(|(long, rest)| long_form(u16::from_be_bytes(*long).into(), 126, rest)),
        127 => bytes.split_first_chunk().map(|(long, rest)| long_form(u64::from_be_bytes(*long), 1 << 16, rest)),
        short => Some(Ok((short.into(), bytes))),
    }
    .transpose()
}

fn long_form(length: u64, least: u64, rest: &[u8]) -> Result<(usize, &[u8]), Violation> {
    if length > i64::MAX.unsigned_abs() {
        return Err(Violation::NegativeLength);
    }
    if length < least {
        return Err(Violation::LongForm(length));
    }
    Ok((usize::try_from(length).unwrap_or(usize::MAX), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<(Part, bool, usize, usize)>, Violation>) {
        let seen = Head::parse(bytes).map(|head| head.map(|(head, own)| (head.part, head.ends, head.payload, own)));
        assert_eq!(seen, expected, "{bytes:02x?}");
    }

    #[test]
    fn a_head_is_as_long_as_its_length_needs() {
        const TEXT: Part = Part::First(Format::Text, Packing::Plain);
        check(b"\x81\x80abcd", Ok(Some((TEXT, true, 0, 6))));
        check(b"\x01\xfdabcd", Ok(Some((TEXT, false, 125, 6))));
        check(b"\x81\xfe\x00\x7eabcd", Ok(Some((TEXT, true, 126, 8))));
        check(b"\x81\xfe\xff\xffabcd", Ok(Some((TEXT, true, 65_535, 8))));
        check(b"\x81\xff\0\0\0\0\x00\x01\0\0abcd!", Ok(Some((TEXT, true, 65_536, 14))));
        for cut in 0..14 {
            check(&b"\x81\xff\0\0\0\0\x00\x01\0\0abcd"[..cut], Ok(None));
        }
    }

    #[test]
    fn the_first_frame_of_a_message_may_say_that_it_is_compressed() {
        check(b"\xc1\x80abcd", Ok(Some((Part::First(Format::Text, Packing::Deflated), true, 0, 6))));
        check(b"\x42\x80abcd", Ok(Some((Part::First(Format::Binary, Packing::Deflated), false, 0, 6))));
    }

    #[test]
    fn a_length_has_one_form() {
        check(b"\x81\xfe\x00\x7d", Err(Violation::LongForm(125)));
        check(b"\x81\xff\0\0\0\0\0\0\xff\xff", Err(Violation::LongForm(65_535)));
        check(b"\x81\xff\x80\0\0\0\0\0\0\0", Err(Violation::NegativeLength));
    }

    #[test]
    fn a_control_frame_is_whole_and_short() {
        check(b"\x89\xfdabcd", Ok(Some((Part::Control(Control::Ping), true, 125, 6))));
        check(b"\x89\xfe", Err(Violation::LongControl));
        check(b"\x8a\xff", Err(Violation::LongControl));
        for opcode in [8, 9, 10] {
            check(&[opcode], Err(Violation::FragmentedControl));
        }
    }

    #[test]
    fn what_has_no_meaning_is_refused_by_its_first_byte() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode], Err(Violation::UnknownOpcode(opcode)));
        }
        for first in [0xa1, 0x91, 0xf1, 0xe2, 0xc0, 0x40, 0xc8, 0xc9, 0xca] {
            check(&[first], Err(Violation::ReservedBit(first)));
        }
        check(b"\x81\x02", Err(Violation::Unmasked));
    }
}
