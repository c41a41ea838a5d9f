//! WebSocket frames as a client reads them (RFC 6455, section 5.2): unmasked, of any length, in pieces of any size.

use thiserror::Error;

/// The longest payload that is accepted, in bytes: a multiple of what any node would send.
pub const LONGEST_PAYLOAD: u64 = 64 << 20;

/// A carry-over buffer larger than this is given back after its frame, so that idle connections stay small.
const KEPT_CARRY: usize = 4096;

/// What a frame carries (RFC 6455, section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the RFC's own names")]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// One whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a server must never send (RFC 6455, sections 5.1 to 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BrokenFrame {
    /// A reserved bit is set and no extension was agreed on.
    #[error("reserved bits are set in first byte {0:#04x}")]
    ReservedBits(u8),
    /// The opcode has no meaning.
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A server masked a frame.
    #[error("masked by the server")]
    Masked,
    /// A control frame is not final.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame is longer than 125 bytes.
    #[error("control frame longer than 125 bytes")]
    LongControl,
    /// The length is written in more bytes than it needs.
    #[error("length {0} is not in its shortest form")]
    LongForm(u64),
    /// The payload is longer than [`LONGEST_PAYLOAD`].
    #[error("payload of {0} bytes is longer than this reader accepts")]
    TooLong(u64),
    /// A continuation without a beginning.
    #[error("continuation of nothing")]
    Continuation,
    /// A new message inside an unfinished one.
    #[error("a new message begins inside an unfinished one")]
    Interrupted,
}

/// Cuts a stream of bytes into frames. Whole frames are handed out in place; only what is incomplete is kept.
#[derive(Debug, Default)]
pub struct Parser {
    carry: Vec<u8>,
    unfinished_message: bool,
}

struct Header {
    fin: bool,
    opcode: Opcode,
    start: usize,
    end: usize,
}

enum Measure {
    Whole(Header),
    Needs(usize),
}

impl Parser {
    /// Hands every frame that is whole with `bytes` to `each`, in order. After an error nothing more may be fed.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), BrokenFrame> {
        while !bytes.is_empty() {
            bytes = if self.carry.is_empty() {
                self.take_in_place(bytes, &mut each)?
            } else {
                self.fill_carry(bytes, &mut each)?
            };
        }
        Ok(())
    }

    fn take_in_place<'a>(
        &mut self,
        bytes: &'a [u8],
        each: &mut impl FnMut(Frame<'_>),
    ) -> Result<&'a [u8], BrokenFrame> {
        match measure(bytes)? {
            Measure::Whole(header) => {
                self.hand_out(&header, bytes, each)?;
                Ok(&bytes[header.end..])
            }
            Measure::Needs(_) => {
                self.carry.extend_from_slice(bytes);
                Ok(&[])
            }
        }
    }

    fn fill_carry<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Frame<'_>)) -> Result<&'a [u8], BrokenFrame> {
        let Measure::Needs(needed) = measure(&self.carry)? else {
            return Ok(bytes);
        };
        let (taken, rest) = bytes.split_at(bytes.len().min(needed - self.carry.len()));
        self.carry.extend_from_slice(taken);
        if let Measure::Whole(header) = measure(&self.carry)? {
            let mut carry = std::mem::take(&mut self.carry);
            self.hand_out(&header, &carry, each)?;
            if carry.capacity() <= KEPT_CARRY {
                carry.clear();
                self.carry = carry;
            }
        }
        Ok(rest)
    }

    fn hand_out(&mut self, header: &Header, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<(), BrokenFrame> {
        if !header.opcode.is_control() {
            match (header.opcode == Opcode::Continuation, self.unfinished_message) {
                (true, false) => return Err(BrokenFrame::Continuation),
                (false, true) => return Err(BrokenFrame::Interrupted),
                _ => self.unfinished_message = !header.fin,
            }
        }
        each(Frame { fin: header.fin, opcode: header.opcode, payload: &bytes[header.start..header.end] });
        Ok(())
    }
}

fn measure(bytes: &[u8]) -> Result<Measure, BrokenFrame> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(Measure::Needs(2));
    };
    let opcode = check_start(first, second)?;
    let (start, length) = match (second & 0x7f, rest) {
        (126, &[a, b, ..]) => (4, shortest(u64::from(u16::from_be_bytes([a, b])), 126)?),
        (126, _) => return Ok(Measure::Needs(4)),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (10, shortest(u64::from_be_bytes([a, b, c, d, e, f, g, h]), 65_536)?),
        (127, _) => return Ok(Measure::Needs(10)),
        (length, _) => (2, u64::from(length)),
    };
    let fitting = usize::try_from(length).ok().filter(|_| length <= LONGEST_PAYLOAD);
    let end = start + fitting.ok_or(BrokenFrame::TooLong(length))?;
    if bytes.len() < end {
        return Ok(Measure::Needs(end));
    }
    Ok(Measure::Whole(Header { fin: first & 0x80 != 0, opcode, start, end }))
}

fn check_start(first: u8, second: u8) -> Result<Opcode, BrokenFrame> {
    if first & 0x70 != 0 {
        return Err(BrokenFrame::ReservedBits(first));
    }
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(BrokenFrame::UnknownOpcode(first & 0x0f))?;
    match (second & 0x80 != 0, opcode.is_control()) {
        (true, _) => Err(BrokenFrame::Masked),
        (_, true) if first & 0x80 == 0 => Err(BrokenFrame::FragmentedControl),
        (_, true) if second & 0x7f > 125 => Err(BrokenFrame::LongControl),
        _ => Ok(opcode),
    }
}

fn shortest(length: u64, least: u64) -> Result<u64, BrokenFrame> {
    if length < least { Err(BrokenFrame::LongForm(length)) } else { Ok(length) }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
