//! A message of which a part has arrived.

use super::{
    Limits, Message, Violation,
    decoder::inflated,
    head::{Format, Head, Packing},
    mask::Mask,
    text::Text,
};
use std::borrow::Cow;

/// What is there of it.
#[derive(Debug)]
pub(super) struct Assembly {
    body: Body,
    /// How many frames it has.
    fragments: usize,
    /// How many bytes these frames have, be they here or announced.
    announced: usize,
    /// How many bytes of the last of them have yet to come.
    missing: usize,
    /// The mask of these.
    mask: Mask,
    /// Whether that frame ends the message.
    ends: bool,
}

#[derive(Debug)]
enum Body {
    Text(Text),
    Binary(Vec<u8>),
    Deflated(Format, Vec<u8>),
}

impl Assembly {
    /// A message that begins with a frame of this head.
    pub(super) fn begin(format: Format, packing: Packing, head: Head, limits: &Limits) -> Result<Self, Violation> {
        let body = match (packing, format) {
            (Packing::Plain, Format::Text) => Body::Text(Text::default()),
            (Packing::Plain, Format::Binary) => Body::Binary(Vec::new()),
            (Packing::Deflated, _) => Body::Deflated(format, Vec::new()),
        };
        let mut begun = Self { body, fragments: 0, announced: 0, missing: 0, mask: head.mask, ends: false };
        begun.go_on(head, limits)?;
        Ok(begun)
    }

    /// Goes on with a further frame.
    pub(super) fn go_on(&mut self, head: Head, limits: &Limits) -> Result<(), Violation> {
        self.announced = self.announced.saturating_add(head.payload);
        if self.announced > self.longest(limits) {
            return Err(Violation::TooLong { limit: limits.message });
        }
        self.fragments += 1;
        if self.fragments > limits.fragments {
            return Err(Violation::TooManyFragments { limit: limits.fragments });
        }
        (self.missing, self.mask, self.ends) = (head.payload, head.mask, head.ends);
        Ok(())
    }

    /// How many bytes its frames may have.
    fn longest(&self, limits: &Limits) -> usize {
        match self.body {
            // What can't be made shorter becomes a little longer: a block has 5 bytes more than its content, and no
            // compressor makes them of less than 2 KiB.
            Body::Deflated(..) => limits.message.saturating_add(limits.message / 256 + 64),
            _ => limits.message,
        }
    }

    /// Takes from the front of `input` what belongs to the frame.
    pub(super) fn take(&mut self, input: &mut &mut [u8]) -> Result<(), Violation> {
        let Some(payload) = input.split_off_mut(..self.missing.min(input.len())) else { return Ok(()) };
        self.missing -= payload.len();
        self.mask.remove(payload);
        match &mut self.body {
            Body::Text(text) => text.push(payload),
            Body::Binary(bytes) | Body::Deflated(_, bytes) => {
                bytes.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    /// Whether the frame is here as a whole.
    pub(super) fn has_frame(&self) -> bool {
        self.missing == 0
    }

    /// Whether the message is.
    pub(super) fn is_whole(&self) -> bool {
        self.has_frame() && self.ends
    }

    /// The message, which is here as a whole.
    pub(super) fn finish<'a>(self, limits: &Limits) -> Result<Message<'a>, Violation> {
        Ok(match self.body {
            Body::Text(text) => Message::Text(Cow::Owned(text.finish()?)),
            Body::Deflated(format, bytes) => return inflated(format, &bytes, limits),
            Body::Binary(bytes) => Message::Binary(Cow::Owned(bytes)),
        })
    }
}
