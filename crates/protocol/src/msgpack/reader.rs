//! MessagePack, one item after the other, with its place.

use rmp::Marker;
use serde::de::Unexpected;
use std::fmt::{self, Display};

/// What is wrong, and the first byte of the value that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    pub(crate) at: usize,
}

impl Fault {
    pub(super) fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), at }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.at)
    }
}

/// A scalar, or the head of an array or map whose items follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Not yet known to be UTF-8.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Extension,
    /// How many values follow.
    Array(u64),
    /// How many pairs of key and value follow.
    Map(u64),
}

impl Item<'_> {
    /// How many items follow that belong to this one.
    pub(super) fn children(&self) -> u64 {
        match self {
            Self::Array(values) => *values,
            Self::Map(pairs) => 2 * pairs,
            _ => 0,
        }
    }

    /// The number, if it is an integer that is not negative, of whichever width.
    pub(super) fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The complaint that something else should stand here.
    pub(super) fn instead_of(&self, expected: impl Display) -> String {
        let found = match self {
            Self::Nil => Unexpected::Other("nil"),
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Unsigned(value) => Unexpected::Unsigned(*value),
            Self::Signed(value) => Unexpected::Signed(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(_) => Unexpected::Other("string"),
            Self::Binary(_) => Unexpected::Other("binary"),
            Self::Extension => Unexpected::Other("extension type"),
            Self::Array(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        };
        format!("invalid type: {found}, expected {expected}")
    }
}

/// A place in MessagePack bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next item.
    pub(super) fn item(&mut self) -> Result<Item<'a>, Fault> {
        let start = self.at;
        if self.input.get(start) == Some(&Marker::Reserved.to_u8()) {
            return Err(Fault::new(start, "0xc1, which MessagePack never uses,"));
        }
        self.read().ok_or_else(|| Fault::new(start, "the message ends within the value that begins"))
    }

    /// The bytes of the next value with all that belongs to it, whatever it is. No stack grows with its depth.
    pub(super) fn value(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        let mut pending: u64 = 1;
        while pending > 0 {
            pending = (pending - 1).saturating_add(self.item()?.children());
        }
        Ok(&self.input[start..self.at])
    }

    /// The next item, which must be a string; `expected` says what it should be.
    pub(super) fn text(&mut self, expected: impl Display) -> Result<&'a str, Fault> {
        let start = self.at;
        match self.item()? {
            Item::Text(bytes) => str::from_utf8(bytes).map_err(|_| Fault::new(start, "a string that is not UTF-8")),
            other => Err(Fault::new(start, other.instead_of(expected))),
        }
    }

    /// Nothing follows.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.at < self.input.len() {
            return Err(Fault::new(self.at, "more than one value: the second begins"));
        }
        Ok(())
    }

    fn read(&mut self) -> Option<Item<'a>> {
        let marker = Marker::from_u8(*self.take(1)?.first()?);
        Some(match marker {
            Marker::Null | Marker::Reserved => Item::Nil,
            Marker::False => Item::Bool(false),
            Marker::True => Item::Bool(true),
            Marker::FixPos(number) => Item::Unsigned(number.into()),
            Marker::U8 => Item::Unsigned(self.unsigned(1)?),
            Marker::U16 => Item::Unsigned(self.unsigned(2)?),
            Marker::U32 => Item::Unsigned(self.unsigned(4)?),
            Marker::U64 => Item::Unsigned(self.unsigned(8)?),
            Marker::FixNeg(number) => Item::Signed(number.into()),
            Marker::I8 => Item::Signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Item::Signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Item::Signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Item::Signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Item::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => Item::Text(self.take(length.into())?),
            Marker::Str8 => Item::Text(self.counted(1)?),
            Marker::Str16 => Item::Text(self.counted(2)?),
            Marker::Str32 => Item::Text(self.counted(4)?),
            Marker::Bin8 => Item::Binary(self.counted(1)?),
            Marker::Bin16 => Item::Binary(self.counted(2)?),
            Marker::Bin32 => Item::Binary(self.counted(4)?),
            Marker::FixArray(count) => Item::Array(count.into()),
            Marker::Array16 => Item::Array(self.unsigned(2)?),
            Marker::Array32 => Item::Array(self.unsigned(4)?),
            Marker::FixMap(count) => Item::Map(count.into()),
            Marker::Map16 => Item::Map(self.unsigned(2)?),
            Marker::Map32 => Item::Map(self.unsigned(4)?),
            extension => self.extension(extension)?,
        })
    }

    /// An extension is its type's byte and its data.
    fn extension(&mut self, marker: Marker) -> Option<Item<'a>> {
        let length = match marker {
            Marker::Ext8 => self.unsigned(1)?,
            Marker::Ext16 => self.unsigned(2)?,
            Marker::Ext32 => self.unsigned(4)?,
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            _ => 16,
        };
        self.take(usize::try_from(1 + length).ok()?)?;
        Some(Item::Extension)
    }

    fn counted(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.unsigned(width)?;
        self.take(usize::try_from(length).ok()?)
    }

    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.input.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }
}
