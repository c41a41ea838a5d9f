//! Where a reply ends, before anybody reads what it says.

use crate::redis::reply::{InvalidReply, MAX_REPLY};
use std::ascii::escape_default;

/// How long a line may be, in bytes. Redis repeats at most 128 bytes of a command in an error.
const MAX_LINE: usize = 16 * 1024;

/// How long a line with a number may be, in bytes.
const MAX_NUMBER: usize = 20;

/// How many parts a reply may have. No reply on the subscriber link has more than four.
const MAX_PARTS: usize = 1024;

const END: &[u8; 2] = b"\r\n";

/// The end of the reply that a buffer begins with, found as its bytes arrive. It depends on nothing but those bytes: not on
/// how they were cut.
#[derive(Debug)]
pub(super) struct Extent {
    /// How many bytes the parts have that are complete.
    complete: usize,
    /// How many parts are still to come.
    missing: usize,
    /// How many parts there will be.
    parts: usize,
}

impl Default for Extent {
    fn default() -> Self {
        Self { complete: 0, missing: 1, parts: 1 }
    }
}

/// One part of a reply (RESP2): a line, a line with the bytes that it announces, or a line that announces parts.
struct Part {
    length: usize,
    /// How many more parts it announces.
    announced: usize,
}

impl Extent {
    /// How many bytes of `buffer`, of which there are more with each call, are the reply; `None` until it is complete.
    pub(super) fn find(&mut self, buffer: &[u8]) -> Result<Option<usize>, InvalidReply> {
        while self.missing > 0 {
            let Some(part) = part(buffer.get(self.complete..).unwrap_or_default())? else { return Ok(None) };
            self.parts = self.parts.saturating_add(part.announced);
            if self.parts > MAX_PARTS {
                return Err(InvalidReply::Malformed(format!("a reply of {} parts", self.parts)));
            }
            if part.length > MAX_REPLY - self.complete {
                return Err(InvalidReply::TooLong);
            }
            if self.complete + part.length > buffer.len() {
                return Ok(None);
            }
            self.complete += part.length;
            if !buffer.get(..self.complete).is_some_and(|parts| parts.ends_with(END)) {
                return Err(InvalidReply::Malformed("a text that is longer than announced".to_owned()));
            }
            self.missing += part.announced;
            self.missing -= 1;
        }
        Ok(Some(self.complete))
    }
}

fn part(bytes: &[u8]) -> Result<Option<Part>, InvalidReply> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    let most = match kind {
        b'+' | b'-' => MAX_LINE,
        b':' | b'$' | b'*' => MAX_NUMBER,
        other => return Err(malformed(format!("{} begins no reply", escape_default(*other)))),
    };
    let Some(line) = line(rest, most)? else { return Ok(None) };
    let length = 1 + line.len() + END.len();
    Ok(Some(match kind {
        b'$' => Part { length: count(line)?.map_or(length, |text| with_text(length, text)), announced: 0 },
        b'*' => Part { length, announced: count(line)?.unwrap_or_default() },
        b':' => number(line).map(|_| Part { length, announced: 0 })?,
        _ => Part { length, announced: 0 },
    }))
}

fn with_text(line: usize, text: usize) -> usize {
    text.saturating_add(line + END.len())
}

/// What stands before the first end of a line, which must come within `most` bytes.
fn line(bytes: &[u8], most: usize) -> Result<Option<&[u8]>, InvalidReply> {
    match bytes.windows(END.len()).take(most + 1).position(|window| window == END) {
        Some(at) => Ok(bytes.get(..at)),
        None if bytes.len() >= most + END.len() => Err(malformed(format!("a line of more than {most} bytes"))),
        None => Ok(None),
    }
}

/// How much a line announces; -1 announces nothing at all.
fn count(line: &[u8]) -> Result<Option<usize>, InvalidReply> {
    match number(line)? {
        -1 => Ok(None),
        number => usize::try_from(number).map(Some).map_err(|_| malformed(format!("a length of {number}"))),
    }
}

fn number(line: &[u8]) -> Result<i64, InvalidReply> {
    let number = str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| malformed(format!("{} is no number", line.escape_ascii())))
}

fn malformed(what: String) -> InvalidReply {
    InvalidReply::Malformed(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the reply in `bytes`, however these are cut.
    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<usize>, &str>) {
        let expected = expected.map_err(str::to_owned);
        let told = |found: Result<_, InvalidReply>| found.map_err(|error| error.to_string());
        assert_eq!(told(Extent::default().find(bytes)), expected, "{}", bytes.escape_ascii());
        let mut extent = Extent::default();
        let found = (1..=bytes.len()).map(|cut| told(extent.find(&bytes[..cut]))).find(|found| *found != Ok(None));
        assert_eq!(found.unwrap_or(Ok(None)), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn a_reply_ends_with_its_last_part() {
        for whole in ["+OK", "-ERR no", ":-5", "$-1", "*-1", "*0", "$0\r\n", "$3\r\na\r\n", "*2\r\n*1\r\n:1\r\n$1\r\nx"]
        {
            let bytes = format!("{whole}\r\n+more\r\n");
            let mut extent = Extent::default();
            let end = extent.find(bytes.as_bytes()).unwrap_or(None);
            assert_eq!(end, Some(whole.len() + 2), "{whole}");
            check(&bytes.as_bytes()[..whole.len() + 2], Ok(end));
            check(&bytes.as_bytes()[..whole.len() + 1], Ok(None));
        }
    }

    #[test]
    fn what_is_no_reply_is_told_at_once() {
        let no = |what: &str| format!("Redis sent what is not its protocol: {what}");
        check(b"HTTP/1.1 400\r\n", Err(&no("H begins no reply")));
        check(b"*2\r\n:1\r\n\x00", Err(&no("\\x00 begins no reply")));
        check(b":x\r\n", Err(&no("x is no number")));
        check(b"$-2\r\n", Err(&no("a length of -2")));
        check(b"$1\r\nxyz", Err(&no("a text that is longer than announced")));
        check(b":123456789012345678901234", Err(&no("a line of more than 20 bytes")));
        check(&[b"+".as_slice(), &[b'x'; MAX_LINE + 2]].concat(), Err(&no("a line of more than 16384 bytes")));
        check(b"*1000\r\n*1000\r\n", Err(&no("a reply of 2001 parts")));
    }

    #[test]
    fn what_would_never_end_is_told_when_it_is_announced() {
        for length in [MAX_REPLY.to_string(), i64::MAX.to_string()] {
            check(format!("*1\r\n${length}\r\n").as_bytes(), Err(&InvalidReply::TooLong.to_string()));
        }
    }
}
