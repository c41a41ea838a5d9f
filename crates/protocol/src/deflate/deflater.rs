//! Messages made shorter.

use super::{Deflate, TAIL};
use crate::frame::{COMPRESSED, build, split};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use std::cell::Cell;

thread_local! {
    /// This thread's compressor, with the level that it has.
    static DEFLATER: Cell<Option<(u32, Compress)>> = const { Cell::new(None) };
}

/// The frame that says compressed what the complete `frame` says, where that is long enough and makes it shorter.
pub(crate) fn shorten(deflate: Deflate, frame: &[u8]) -> Option<Bytes> {
    let (first, payload) = split(frame).filter(|(_, payload)| payload.len() >= deflate.least)?;
    let kept = DEFLATER.take().filter(|(level, _)| *level == deflate.level);
    let (_, mut compressor) =
        kept.unwrap_or_else(|| (deflate.level, Compress::new(Compression::new(deflate.level), false)));
    compressor.reset();
    // Room for what is worth it and the tail: whatever needs more isn't.
    let room = payload.len() + TAIL.len();
    let frame = build(COMPRESSED | first, room, |out| {
        let start = out.len();
        compressor.compress_vec(payload, out, FlushCompress::Sync).ok()?;
        out.truncate(out.len().checked_sub(TAIL.len()).filter(|_| out.ends_with(&TAIL))?);
        (compressor.total_in() == payload.len() as u64 && out.len() - start < payload.len()).then_some(())
    });
    DEFLATER.set(Some((deflate.level, compressor)));
    frame
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        deflate::inflate,
        frame::{Limits, Opcode, frame},
    };
    use proptest::prelude::*;

    const DEFLATE: Deflate = Deflate { level: 3, least: 100 };
    const LIMITS: Limits = Limits { message: 1 << 20, fragments: 1, ratio: 2000 };

    fn shortened(payload: &[u8]) -> Option<Bytes> {
        shorten(DEFLATE, &frame(Opcode::Text, payload))
    }

    fn inflated(frame: &[u8]) -> Vec<u8> {
        let (first, payload) = split(frame).unwrap();
        assert_eq!(first, 0xc1, "final, compressed, text");
        inflate(payload, &LIMITS).unwrap()
    }

    #[test]
    fn what_is_short_or_can_not_be_made_shorter_stays_as_it_is() {
        assert_eq!(shortened(&[b'a'; 99]), None);
        assert!(shortened(&[b'a'; 100]).is_some());
        let mut noise = 1_u32;
        let mut random = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        let incompressible: Vec<u8> = (0..100_000).map(|_| random()).collect();
        assert_eq!(shortened(&incompressible), None);
    }

    #[test]
    fn levels_may_change_between_messages() {
        let text = br#"{"type":"message","channel":"news","content":1}"#.repeat(50);
        for level in [1, 9, 6, 1] {
            let short = shorten(Deflate { level, ..DEFLATE }, &frame(Opcode::Text, &text)).unwrap();
            assert!(short.len() < text.len() / 5);
            assert_eq!(inflated(&short), text);
        }
    }

    proptest! {
        #[test]
        fn every_message_comes_back_from_its_own_frame_alone(words in prop::collection::vec("[a-z]{1,4}", 30..600)) {
            let text = words.join(" ");
            if let Some(short) = shortened(text.as_bytes()) {
                prop_assert_eq!(inflated(&short), text.into_bytes());
            }
        }
    }
}
