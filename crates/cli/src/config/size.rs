//! Numbers of bytes as people write them.

use std::{fmt, str::FromStr};

/// Units by what they stand for, the largest first. Single letters are not among them: `64K` is 64,000 to one reader
/// and 65,536 to another.
const UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes, written as a whole number with its unit: `64KiB`, `512B`, `1MB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(usize);

impl Size {
    /// `count` KiB.
    pub(crate) const fn kib(count: usize) -> Self {
        Self(count << 10)
    }

    /// `count` bytes.
    pub(crate) const fn new(count: usize) -> Self {
        Self(count)
    }

    /// The number of bytes.
    pub(crate) fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or(())?);
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit.trim_start_matches(' ')).ok_or(())?;
        count.parse().ok().and_then(|count: usize| count.checked_mul(*bytes)).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let binary = UNITS
            .iter()
            .filter(|(name, _)| name.contains('i'))
            .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
        match binary {
            Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
            None => write!(f, "{bytes}B"),
        }
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(usize, &str)>) {
        let size = text.parse::<Size>().ok();
        assert_eq!(size.map(Size::bytes), expected.map(|(bytes, _)| bytes), "{text}");
        assert_eq!(size.map(|size| size.to_string()), expected.map(|(_, shown)| shown.to_owned()), "{text}");
    }

    #[test]
    fn sizes_have_whole_numbers_and_unambiguous_units() {
        check("64KiB", Some((65_536, "64KiB")));
        check("64 KiB", Some((65_536, "64KiB")));
        check("1MiB", Some((1_048_576, "1MiB")));
        check("1MB", Some((1_000_000, "1000000B")));
        check("1024B", Some((1_024, "1KiB")));
        check("0B", Some((0, "0B")));
        for ambiguous in [
            "65536",
            "64K",
            "64k",
            "64kb",
            "64Kib",
            "1.5MiB",
            "-1B",
            "KiB",
            "",
            "64KiB ",
            "1e3B",
            "٦B",
            "99999999999GiB",
        ] {
            check(ambiguous, None);
        }
    }
}
