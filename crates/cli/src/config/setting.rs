//! How a single value is read, shown and bounded.

use super::{
    Effective, Origin, Problems,
    layer::Values,
    problem::{Problem, shown},
    secret_url::{self, SecretUrl},
    size::Size,
};
use config::{Value, ValueKind};
use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

/// Is shown every setting of a configuration: its key, the place of its value, and the rule that the value obeys.
pub(crate) trait Visitor {
    /// One setting. `rule` says what is wrong with a value, or nothing.
    fn setting<T: Setting>(&mut self, key: &str, value: &mut T, rule: impl Fn(&T) -> Option<String>);
}

/// A type that values of the configuration can have.
pub(crate) trait Setting: Sized {
    /// What a value must look like, after "expected".
    fn expected() -> String;
    /// The value, if it is one of this type.
    fn read(kind: &ValueKind) -> Option<Self>;
    /// The value as [`Setting::read`] takes it.
    fn write(&self) -> ValueKind;
    /// `text` as it may be shown: without secrets.
    fn hide(text: &str) -> String {
        text.to_owned()
    }
}

/// A type that is written as a string.
trait Text: FromStr + ToString {
    const EXPECTED: &'static str;
}

impl Text for SocketAddr {
    const EXPECTED: &'static str = "an IP address with a port, such as 127.0.0.1:8765 or [::]:8765";
}

impl Text for Size {
    const EXPECTED: &'static str = "a whole number with a unit (B, KB, KiB, MB, MiB, GB, GiB), such as 64KiB";
}

macro_rules! text_settings {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn expected() -> String {
                <$type as Text>::EXPECTED.to_owned()
            }
            fn read(kind: &ValueKind) -> Option<Self> {
                text(kind)?.parse().ok()
            }
            fn write(&self) -> ValueKind {
                self.to_string().into()
            }
        }
    )*};
}
text_settings!(SocketAddr, Size);

impl Setting for String {
    fn expected() -> String {
        "a text".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        text(kind).map(str::to_owned)
    }

    fn write(&self) -> ValueKind {
        self.as_str().into()
    }
}

impl Setting for Vec<String> {
    fn expected() -> String {
        "a list of texts".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::Array(items) => items.iter().map(|item| text(&item.kind).map(str::to_owned)).collect(),
            _ => None,
        }
    }

    fn write(&self) -> ValueKind {
        self.iter().map(|item| Value::from(item.as_str())).collect::<Vec<_>>().into()
    }
}

impl Setting for SecretUrl {
    fn expected() -> String {
        "a text".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        text(kind).map(Self::new)
    }

    fn write(&self) -> ValueKind {
        self.expose().unwrap_or_default().into()
    }

    fn hide(text: &str) -> String {
        secret_url::hide(text)
    }
}

impl Setting for Vec<SecretUrl> {
    fn expected() -> String {
        Vec::<String>::expected()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        Vec::<String>::read(kind).map(|urls| urls.iter().map(|url| SecretUrl::new(url)).collect())
    }

    fn write(&self) -> ValueKind {
        let urls = self.iter().map(|url| url.expose().unwrap_or_default().to_owned());
        urls.collect::<Vec<_>>().write()
    }

    fn hide(text: &str) -> String {
        secret_url::hide(text)
    }
}

/// Units are restricted to those that nobody confuses: humantime's `M`, for one, is a month.
const DURATION_UNITS: [&str; 5] = ["ms", "s", "m", "h", "d"];

impl Setting for Duration {
    fn expected() -> String {
        "a time with its unit (ms, s, m, h, d), such as 20s or 1m 30s".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        let text = text(kind)?;
        let mut units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty()).peekable();
        units.peek()?;
        if units.all(|unit| DURATION_UNITS.contains(&unit)) { humantime::parse_duration(text).ok() } else { None }
    }

    fn write(&self) -> ValueKind {
        humantime::format_duration(*self).to_string().replace("days", "d").replace("day", "d").into()
    }
}

impl Setting for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::Boolean(switch) => Some(*switch),
            _ => None,
        }
    }

    fn write(&self) -> ValueKind {
        (*self).into()
    }
}

impl Setting for usize {
    fn expected() -> String {
        "a whole number".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::I64(number) => Self::try_from(*number).ok(),
            _ => None,
        }
    }

    fn write(&self) -> ValueKind {
        i64::try_from(*self).unwrap_or(i64::MAX).into()
    }
}

/// A type with few values, each with a name.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// All names with what they stand for.
    const NAMES: &'static [(&'static str, Self)];
}

impl<T: Choice> Setting for T {
    fn expected() -> String {
        let names: Vec<_> = T::NAMES.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        let text = text(kind)?;
        T::NAMES.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice)
    }

    fn write(&self) -> ValueKind {
        T::NAMES.iter().find(|(_, choice)| choice == self).map_or("", |(name, _)| name).into()
    }
}

fn text(kind: &ValueKind) -> Option<&str> {
    match kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

/// The rule of a setting that takes every value of its type.
pub(crate) fn any<T>(_: &T) -> Option<String> {
    None
}

/// The rule that a value lies in `range`.
pub(crate) fn within<T: Setting + PartialOrd>(range: RangeInclusive<T>) -> impl Fn(&T) -> Option<String> {
    move |value| {
        let bounds = || format!("must be from {} to {}", bare(range.start()), bare(range.end()));
        (!range.contains(value)).then(bounds)
    }
}

fn bare(value: &impl Setting) -> impl Display {
    value.write()
}

/// Reads merged values into a configuration and remembers what was wrong.
pub(crate) struct Reader<'a> {
    values: &'a Values,
    effective: Effective,
    problems: Problems,
}

impl<'a> Reader<'a> {
    /// A reader of `values`.
    pub(crate) fn new(values: &'a Values) -> Self {
        Self { values, effective: Effective::default(), problems: Problems::default() }
    }

    /// What was read, and what could not be.
    pub(crate) fn finish(self) -> (Effective, Problems) {
        (self.effective, self.problems)
    }
}

impl Visitor for Reader<'_> {
    fn setting<T: Setting>(&mut self, key: &str, value: &mut T, rule: impl Fn(&T) -> Option<String>) {
        let Some(found) = self.values.get(key) else { return };
        let origin = Origin::of(found);
        let literal = shown(&found.kind, &T::hide);
        let outcome = match T::read(&found.kind) {
            None => Err(format!("expected {}", T::expected())),
            Some(read) => rule(&read).map_or(Ok(read), Err),
        };
        match outcome {
            Ok(read) => *value = read,
            Err(wrong) => self.problems.push(Problem::value(key, &literal, &origin, wrong)),
        }
        self.effective.push(key, literal, origin);
    }
}
