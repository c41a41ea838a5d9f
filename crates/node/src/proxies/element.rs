//! What a line of `Forwarded` says (RFC 7239, section 4).
//!
//! Read from the left and as a whole, for only so is it known which commas stand in quotes: what a proxy quotes, such as
//! a `Host`, is the client's to choose.

use crate::origins::Scheme;
use std::{borrow::Cow, net::IpAddr};

/// How many pairs an element may have: four have a meaning, and each is compared with those before it.
const MOST_PAIRS: usize = 16;

/// What one proxy says of its own client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Its address, if it names one: not where it says `unknown`, or another word for it.
    pub(crate) client: Option<IpAddr>,
    /// By which scheme it was asked.
    pub(crate) scheme: Option<Scheme>,
}

/// The elements of a line, or nothing where any of it is not as it should be.
pub(crate) fn elements(line: &[u8]) -> Option<Vec<Element>> {
    let (mut rest, mut elements) = (Rest(line), Vec::new());
    loop {
        rest.skip_blanks();
        // Lists may have empty places (RFC 9110, section 5.6.1.2).
        if !rest.is_at(b",") {
            elements.push(rest.element()?);
        }
        if rest.0.is_empty() {
            return Some(elements);
        }
        if !rest.take(b',') {
            return None;
        }
    }
}

/// What of a line is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// An element, up to the comma behind it or the end.
    fn element(&mut self) -> Option<Element> {
        let (mut element, mut names) = (Element::default(), Vec::new());
        loop {
            self.skip_blanks();
            if !self.is_at(b";,") {
                let (name, value) = self.pair()?;
                // Which of two would count?
                if names.len() == MOST_PAIRS || names.contains(&name) {
                    return None;
                }
                element.note(&name, &value)?;
                names.push(name);
            }
            self.skip_blanks();
            if !self.take(b';') {
                return self.is_at(b",").then_some(element);
            }
        }
    }

    fn pair(&mut self) -> Option<(Vec<u8>, Cow<'a, [u8]>)> {
        let name = self.while_all(is_of_token).to_ascii_lowercase();
        let is_whole = !name.is_empty() && self.take(b'=');
        is_whole.then(|| self.value())?.map(|value| (name, value))
    }

    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.take(b'"') {
            return self.quoted().map(Cow::Owned);
        }
        let value = self.while_all(is_of_value);
        (!value.is_empty()).then_some(Cow::Borrowed(value))
    }

    /// The content of a quoted string (RFC 9110, section 5.6.4), behind its first quote.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(content),
                b'\\' => content.push(self.next()?),
                byte => content.push(byte),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn while_all(&mut self, is_of: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_of(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.while_all(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Whether one of `ends` comes next, or nothing.
    fn is_at(&self, ends: &[u8]) -> bool {
        self.0.first().is_none_or(|byte| ends.contains(byte))
    }
}

impl Element {
    /// Takes in a pair; `None` where its value can't be one of that name.
    fn note(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match name {
            b"for" => self.client = client(str::from_utf8(value).ok()?),
            b"proto" => self.scheme = Scheme::named(str::from_utf8(value).ok()?),
            _ => {}
        }
        Some(())
    }
}

/// The address that a node's identifier names (section 6), if it is one.
fn client(node: &str) -> Option<IpAddr> {
    if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let has_port = port.strip_prefix(':').map_or(port.is_empty(), is_port);
        return has_port.then(|| address.parse().ok().map(IpAddr::V6))?.map(|address| address.to_canonical());
    }
    let (address, has_port) = node.split_once(':').map_or((node, true), |(address, port)| (address, is_port(port)));
    has_port.then(|| address.parse().ok().map(IpAddr::V4))?
}

/// A port, or another word for it.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(word) => {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// RFC 9110, section 5.6.2.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Addresses of IPv6 and ports would have to be quoted, which not all proxies do.
fn is_of_value(byte: u8) -> bool {
    is_of_token(byte) || b"[]:".contains(&byte)
}
