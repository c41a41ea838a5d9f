//! From the bytes that a client sends to its messages.

use super::{
    Violation,
    assembly::Assembly,
    control,
    head::{Control, Format, Head, Packing, Part},
};
use crate::deflate::{Compression, inflate};
use std::borrow::Cow;

/// One message from a client, or one control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// A ping with its payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A Close frame with its code; nothing may follow it.
    Close(Option<u16>),
}

/// What a client may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes.
    pub message: usize,
    /// How many frames a message may have, at least 1.
    pub fragments: usize,
    /// How many times longer a compressed message may become that is longer than [`crate::deflate::NEVER_A_BOMB`].
    pub ratio: usize,
}

/// Reads the frames of one client. What is in the middle of a message is kept here; a client that is between two
/// messages costs two words.
///
/// It does not matter where the bytes are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    compression: Compression,
    unfinished: Option<Box<Assembly>>,
}

impl Decoder {
    /// Reads frames of a client with whom `compression` was agreed on.
    pub fn new(compression: Compression) -> Self {
        Self { compression, unfinished: None }
    }

    /// Takes the next message from the front of `input`, in place where it can.
    ///
    /// `None` where it is not complete: then what is left of `input` is the beginning of a head or of a control frame, at
    /// most 130 bytes, and comes again, with more behind it. After an error or a Close frame nothing more may be fed.
    pub fn next<'a>(&mut self, input: &mut &'a mut [u8], limits: &Limits) -> Result<Option<Message<'a>>, Violation> {
        loop {
            if let Some(unfinished) = &mut self.unfinished {
                unfinished.take(input)?;
                if !unfinished.has_frame() {
                    return Ok(None);
                }
            }
            if let Some(whole) = self.unfinished.take_if(|unfinished| unfinished.is_whole()) {
                return whole.finish(limits).map(Some);
            }
            let Some((head, length)) = Head::parse(input)? else { return Ok(None) };
            match head.part {
                Part::Control(control) => return take_control(control, head, length, input),
                Part::First(_, Packing::Deflated) if self.compression == Compression::Never => {
                    return Err(Violation::ReservedBit(input[0]));
                }
                Part::First(format, packing) => {
                    if self.unfinished.is_some() {
                        return Err(Violation::Interrupted);
                    }
                    let begun = Assembly::begin(format, packing, head, limits)?;
                    skip(input, length);
                    if head.ends && head.payload <= input.len() {
                        return take_whole(format, packing, head, input, limits).map(Some);
                    }
                    self.unfinished = Some(Box::new(begun));
                }
                Part::Continuation => {
                    self.unfinished.as_mut().ok_or(Violation::NothingToContinue)?.go_on(head, limits)?;
                    skip(input, length);
                }
            }
        }
    }
}

fn take_control<'a>(
    control: Control,
    head: Head,
    length: usize,
    input: &mut &'a mut [u8],
) -> Result<Option<Message<'a>>, Violation> {
    if input.len() < length + head.payload {
        return Ok(None);
    }
    skip(input, length);
    control::message(control, take_payload(head, input)).map(Some)
}

/// A message that is in `input` as a whole, in one frame.
fn take_whole<'a>(
    format: Format,
    packing: Packing,
    head: Head,
    input: &mut &'a mut [u8],
    limits: &Limits,
) -> Result<Message<'a>, Violation> {
    let payload = take_payload(head, input);
    match (packing, format) {
        (Packing::Deflated, _) => inflated(format, payload, limits),
        (Packing::Plain, Format::Text) => {
            str::from_utf8(payload).map(|text| Message::Text(Cow::Borrowed(text))).map_err(|_| Violation::NotUtf8)
        }
        (Packing::Plain, Format::Binary) => Ok(Message::Binary(Cow::Borrowed(payload))),
    }
}

/// The message that came compressed as `payload`.
pub(super) fn inflated<'a>(format: Format, payload: &[u8], limits: &Limits) -> Result<Message<'a>, Violation> {
    let bytes = inflate(payload, limits)?;
    match format {
        Format::Text => {
            String::from_utf8(bytes).map(|text| Message::Text(Cow::Owned(text))).map_err(|_| Violation::NotUtf8)
        }
        Format::Binary => Ok(Message::Binary(Cow::Owned(bytes))),
    }
}

fn take_payload<'a>(mut head: Head, input: &mut &'a mut [u8]) -> &'a [u8] {
    let payload = input.split_off_mut(..head.payload).unwrap_or_default();
    head.mask.remove(payload);
    payload
}

fn skip(input: &mut &mut [u8], count: usize) {
    *input = &mut std::mem::take(input)[count..];
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
