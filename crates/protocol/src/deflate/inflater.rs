//! Messages made long again.

use super::TAIL;
use crate::frame::{Limits, Violation};
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::Cell;

/// A message up to this length, in bytes, is taken however much shorter it came.
pub const NEVER_A_BOMB: usize = 16 << 10;

/// An empty final block. An inflater that takes the tail for something else than the end of a block stumbles over it.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

thread_local! {
    static INFLATER: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// The message that came as `payload`, within what `limits` allow.
pub(crate) fn inflate(payload: &[u8], limits: &Limits) -> Result<Vec<u8>, Violation> {
    // An empty message is one byte by the standard, and nothing by some libraries.
    if payload.is_empty() {
        return Ok(Vec::new());
    }
    let mut inflater = INFLATER.take().unwrap_or_else(|| Decompress::new(false));
    inflater.reset(false);
    let mut message = Inflation { inflater: &mut inflater, bytes: Vec::new(), bound: bound(payload.len(), limits) };
    let ended = [payload, &TAIL, &END].into_iter().try_fold(false, |_, part| message.add(part));
    let Inflation { bytes, bound, .. } = message;
    INFLATER.set(Some(inflater));
    if bytes.len() > bound {
        let too_long = Violation::TooLong { limit: limits.message };
        return Err(if bound == limits.message { too_long } else { Violation::Bomb { ratio: limits.ratio } });
    }
    ended.filter(|ended| *ended).map(|_| bytes).ok_or(Violation::NotDeflated)
}

/// How long a message may be that came in `length` bytes.
fn bound(length: usize, limits: &Limits) -> usize {
    length.saturating_mul(limits.ratio).max(NEVER_A_BOMB).min(limits.message)
}

struct Inflation<'a> {
    inflater: &'a mut Decompress,
    bytes: Vec<u8>,
    bound: usize,
}

impl Inflation<'_> {
    /// Adds what `part` becomes, and tells whether it ends as a final block does. `None` where it is nothing that a
    /// compressor makes, or too much.
    fn add(&mut self, mut part: &[u8]) -> Option<bool> {
        loop {
            self.make_room();
            let (taken, length) = (self.inflater.total_in(), self.bytes.len());
            let status = self.inflater.decompress_vec(part, &mut self.bytes, FlushDecompress::None).ok()?;
            let taken = usize::try_from(self.inflater.total_in() - taken).ok()?;
            part = part.get(taken..)?;
            let ended = status == Status::StreamEnd;
            if ended {
                // A sender may end a stream (section 7.2.3.4); what follows begins anew.
                self.inflater.reset(false);
            }
            let has_room = self.bytes.len() < self.bytes.capacity();
            if self.bytes.len() > self.bound {
                return None;
            }
            if part.is_empty() && (ended || has_room) {
                return Some(ended);
            }
            if !ended && taken == 0 && self.bytes.len() == length {
                return None;
            }
        }
    }

    /// Makes room for more, and for a byte beyond the bound, which tells that it is exceeded.
    fn make_room(&mut self) {
        let length = self.bytes.len();
        if length == self.bytes.capacity() {
            self.bytes.reserve_exact(length.max(512).min(self.bound + 1 - length));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    const LIMITS: Limits = Limits { message: 100_000, fragments: 1, ratio: 100 };

    /// Compressed as the standard has it, by another call of the library.
    fn deflated(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 100);
        Compress::new(Compression::best(), false).compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        out.strip_suffix(&TAIL).unwrap().to_vec()
    }

    #[track_caller]
    fn check(payload: &[u8], expected: Result<&[u8], Violation>) {
        assert_eq!(inflate(payload, &LIMITS), expected.map(<[u8]>::to_vec), "{payload:02x?}");
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 7692, sections 7.2.3.1, 7.2.3.3 to 7.2.3.5 and 7.2.3.6.
        for payload in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            check(payload, Ok(b"Hello"));
        }
        check(b"\x00", Ok(b""));
        check(b"", Ok(b""));
    }

    #[test]
    fn no_message_refers_to_another() {
        // RFC 7692, section 7.2.3.2: "Hello" as a reference to the message before.
        check(b"\xf2\x48\xcd\xc9\xc9\x07\x00", Ok(b"Hello"));
        check(b"\xf2\x00\x11\x00\x00", Err(Violation::NotDeflated));
    }

    #[test]
    fn what_no_compressor_makes_is_refused() {
        let whole = deflated(&b"one two three four ".repeat(20));
        for cut in 1..whole.len() {
            assert!(inflate(&whole[..cut], &LIMITS).is_err(), "cut at {cut}");
        }
        for payload in [&b"\x06"[..], b"\xff\xff\xff", b"Hello", b"\x00\x05\x00\xfa\xffHell", b"\x00\x00"] {
            check(payload, Err(Violation::NotDeflated));
        }
    }

    #[test]
    fn a_message_is_as_long_as_the_limit_at_most() {
        let limits = Limits { ratio: 10_000, ..LIMITS };
        let longest = deflated(&[b'a'; 100_000]);
        assert_eq!(inflate(&longest, &limits).unwrap().len(), 100_000);
        let longer = deflated(&[b'a'; 100_001]);
        assert_eq!(inflate(&longer, &limits), Err(Violation::TooLong { limit: 100_000 }));
        let bomb = deflated(&vec![0; 10 << 20]);
        assert_eq!(inflate(&bomb, &limits), Err(Violation::TooLong { limit: 100_000 }));
    }

    #[test]
    fn a_message_becomes_as_many_times_longer_as_the_ratio_at_most() {
        let small = deflated(&[b'a'; NEVER_A_BOMB]);
        assert!(small.len() * LIMITS.ratio < NEVER_A_BOMB);
        assert_eq!(inflate(&small, &LIMITS).unwrap().len(), NEVER_A_BOMB);
        assert_eq!(inflate(&deflated(&[b'a'; 90_000]), &LIMITS), Err(Violation::Bomb { ratio: 100 }));
        let text: Vec<u8> = (0..5000).flat_map(|number: u32| format!("{number},").into_bytes()).collect();
        assert_eq!(inflate(&deflated(&text), &LIMITS), Ok(text));
    }
}
