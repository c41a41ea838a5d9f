//! A text that comes in pieces.

use super::Violation;
use smallvec::SmallVec;

/// What has come of it. It is UTF-8 so far, but for a character that the last piece has cut.
#[derive(Debug, Default)]
pub(super) struct Text {
    whole: String,
    /// The beginning of that character.
    cut: SmallVec<[u8; 4]>,
}

impl Text {
    /// Adds a piece. Fails with the first byte that nothing could make UTF-8 any more.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while !self.cut.is_empty()
            && let [first, rest @ ..] = bytes
        {
            self.cut.push(*first);
            bytes = rest;
            let cut = std::mem::take(&mut self.cut);
            self.add(&cut)?;
        }
        self.add(bytes)
    }

    /// Adds `bytes` where no character is cut.
    fn add(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        match str::from_utf8(bytes) {
            Ok(text) => self.whole.push_str(text),
            Err(error) if error.error_len().is_some() => return Err(Violation::NotUtf8),
            Err(_) => {
                let cut = bytes.utf8_chunks().next();
                self.whole.push_str(cut.as_ref().map_or("", |cut| cut.valid()));
                self.cut.extend_from_slice(cut.as_ref().map_or(&[], |cut| cut.invalid()));
            }
        }
        Ok(())
    }

    /// The text, which has ended.
    pub(super) fn finish(self) -> Result<String, Violation> {
        if self.cut.is_empty() { Ok(self.whole) } else { Err(Violation::NotUtf8) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Adds `bytes` one by one, and tells after how many it failed.
    fn pushed(bytes: &[u8]) -> Result<Text, usize> {
        let mut text = Text::default();
        for (index, byte) in bytes.iter().enumerate() {
            text.push(&[*byte]).map_err(|_| index + 1)?;
        }
        Ok(text)
    }

    #[test]
    fn a_text_may_be_cut_anywhere() {
        let whole = "a\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}z";
        assert_eq!(pushed(whole.as_bytes()).unwrap().finish().unwrap(), whole);
        for cut in 0..=whole.len() {
            let (first, second) = whole.as_bytes().split_at(cut);
            let mut text = Text::default();
            text.push(first).unwrap();
            text.push(second).unwrap();
            assert_eq!(text.finish().unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn the_first_byte_that_can_not_be_mended_is_told() {
        for (bytes, at) in [(&b"\xce\xba\xf4\x90\x80\x80"[..], 4), (b"ab\xff", 3), (b"\xed\xa0", 2), (b"\xc3a", 2)] {
            assert_eq!(pushed(bytes).err(), Some(at), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_text_does_not_end_within_a_character() {
        assert_eq!(pushed(b"a\xe5\xb9").unwrap().finish(), Err(Violation::NotUtf8));
    }
}
