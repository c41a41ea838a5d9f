//! What a measured message carries: its number and the time at which it was to be sent.
//!
//! The mark is plain ASCII within a string, so it stands in JSON and in MessagePack as the same bytes, and a receiver
//! finds it without parsing either.

use std::fmt::Write;

/// How a mark begins.
pub const PREFIX: &str = "fw:";

/// The shortest content that has room for every mark, in bytes: the prefix, two numbers of 20 digits, two colons.
pub const LEAST_SIZE: u32 = 48;

/// A message's number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Its number, from 0.
    pub sequence: u64,
    /// When it was to be sent, in nanoseconds of the run's clock.
    pub nanos: u64,
}

impl Marker {
    /// The content of `size` bytes (at least [`LEAST_SIZE`]) that carries the mark.
    pub fn content(self, size: usize) -> String {
        let mut text = String::with_capacity(size);
        // Writing to a String can't fail.
        let _ = write!(text, "{PREFIX}{}:{}:", self.sequence, self.nanos);
        text.extend(std::iter::repeat_n('x', size.saturating_sub(text.len())));
        text
    }
}

/// Finds marks, looking first where the last one stood: within one channel and dialect that is where they all stand.
#[derive(Debug, Default)]
pub struct Finder {
    hint: usize,
}

impl Finder {
    /// The mark in `payload`, if it has one.
    pub fn find(&mut self, payload: &[u8]) -> Option<Marker> {
        if let Some(marker) = payload.get(self.hint..).and_then(parse) {
            return Some(marker);
        }
        let (position, marker) = scan(payload)?;
        self.hint = position;
        Some(marker)
    }
}

fn scan(payload: &[u8]) -> Option<(usize, Marker)> {
    (0..payload.len()).find_map(|position| Some((position, parse(&payload[position..])?)))
}

fn parse(bytes: &[u8]) -> Option<Marker> {
    let (sequence, rest) = number(bytes.strip_prefix(PREFIX.as_bytes())?)?;
    let (nanos, _) = number(rest)?;
    Some(Marker { sequence, nanos })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(21).position(|byte| *byte == b':').filter(|end| *end > 0)?;
    let value = bytes[..end].iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some((value, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, expected: Option<(u64, u64)>) {
        let expected = expected.map(|(sequence, nanos)| Marker { sequence, nanos });
        assert_eq!(Finder::default().find(payload.as_bytes()), expected, "{payload}");
        assert_eq!(Finder { hint: 7 }.find(payload.as_bytes()), expected, "{payload} with a wrong hint");
    }

    #[test]
    fn marks_are_found_wherever_they_stand() {
        check("fw:12:345:xxxx", Some((12, 345)));
        check(r#"{"type":"message","channel":"a","content":"fw:0:1:"}"#, Some((0, 1)));
        check("fw:fw:3:4:", Some((3, 4)));
        check("fw:18446744073709551615:0:", Some((u64::MAX, 0)));
    }

    #[test]
    fn what_only_looks_like_a_mark_is_none() {
        for payload in
            ["", "fw:", "fw:1", "fw:1:", "fw:1:2", "fw::2:", "fw:-1:2:", "fw:18446744073709551616:0:", "FW:1:2:"]
        {
            check(payload, None);
        }
    }

    #[test]
    fn the_hint_follows_the_marks() {
        let mut finder = Finder::default();
        for payload in ["....fw:1:2:", "....fw:2:3:", "fw:3:4:", "fw:4:5:"] {
            assert!(finder.find(payload.as_bytes()).is_some());
        }
        assert_eq!(finder.hint, 0);
    }

    #[test]
    fn content_has_the_size_asked_for() {
        let marker = Marker { sequence: u64::MAX, nanos: u64::MAX };
        assert_eq!(marker.content(LEAST_SIZE as usize).len(), LEAST_SIZE as usize);
        assert_eq!(Finder::default().find(marker.content(128).as_bytes()), Some(marker));
    }
}
