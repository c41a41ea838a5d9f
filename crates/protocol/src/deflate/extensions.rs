//! `Sec-WebSocket-Extensions` (RFC 6455, section 9.1).

use thiserror::Error;

/// The header does not have the form of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "Sec-WebSocket-Extensions is malformed at byte {at}: expected {expected}, as in \
     \"permessage-deflate; client_max_window_bits\""
)]
pub struct MalformedExtensions {
    /// How many bytes stand before what is wrong.
    pub at: usize,
    /// What should be there.
    pub expected: &'static str,
}

/// An extension that is offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Vec<(&'a str, Option<String>)>,
}

/// The extensions in `header`, all of its lines joined with commas.
pub(super) fn parse(header: &str) -> Result<Vec<Offer<'_>>, MalformedExtensions> {
    let mut rest = Rest { whole: header, at: 0 };
    let mut offers = Vec::new();
    loop {
        // Lists may have empty elements (RFC 9110, section 5.6.1.2).
        while rest.skips(',') {}
        if rest.is_empty() {
            return Ok(offers);
        }
        offers.push(offer(&mut rest)?);
        if !rest.is_empty() && !rest.skips(',') {
            return Err(rest.expected("a comma or a semicolon"));
        }
    }
}

fn offer<'a>(rest: &mut Rest<'a>) -> Result<Offer<'a>, MalformedExtensions> {
    let (name, mut parameters) = (rest.token()?, Vec::new());
    while rest.skips(';') {
        let key = rest.token()?;
        let value = if rest.skips('=') { Some(rest.value()?) } else { None };
        parameters.push((key, value));
    }
    Ok(Offer { name, parameters })
}

/// What has yet to be read of a header.
struct Rest<'a> {
    whole: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    /// What is left behind white space.
    fn text(&mut self) -> &'a str {
        let rest = &self.whole[self.at..];
        let text = rest.trim_start_matches([' ', '\t']);
        self.at += rest.len() - text.len();
        text
    }

    fn is_empty(&mut self) -> bool {
        self.text().is_empty()
    }

    fn skips(&mut self, separator: char) -> bool {
        let found = self.text().starts_with(separator);
        self.at += usize::from(found);
        found
    }

    fn token(&mut self) -> Result<&'a str, MalformedExtensions> {
        let text = self.text();
        let length = text.find(|c| !is_of_token(c)).unwrap_or(text.len());
        if length == 0 {
            return Err(self.expected("a name of letters, digits and signs"));
        }
        self.at += length;
        Ok(&text[..length])
    }

    /// A token, or a quoted string with the content of one.
    fn value(&mut self) -> Result<String, MalformedExtensions> {
        if !self.skips('"') {
            return self.token().map(str::to_owned);
        }
        let (mut value, mut chars) = (String::new(), self.whole[self.at..].chars());
        loop {
            let (next, length) = match chars.next() {
                Some('"') if !value.is_empty() => {
                    self.at += 1;
                    return Ok(value);
                }
                Some('\\') => (chars.next(), 2),
                other => (other, 1),
            };
            match next.filter(|c| is_of_token(*c)) {
                Some(c) => value.push(c),
                None => {
                    return Err(self.expected("a value of letters, digits and signs, and a quotation mark behind it"));
                }
            }
            self.at += length;
        }
    }

    fn expected(&self, expected: &'static str) -> MalformedExtensions {
        MalformedExtensions { at: self.at, expected }
    }
}

/// RFC 9110, section 5.6.2.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The offers written down again, in one form.
    fn read(header: &str) -> Result<String, usize> {
        let parameter = |(key, value): &(&str, Option<String>)| match value {
            Some(value) => format!(";{key}={value}"),
            None => format!(";{key}"),
        };
        let offer =
            |offer: &Offer<'_>| offer.name.to_owned() + &offer.parameters.iter().map(parameter).collect::<String>();
        let offers = parse(header).map_err(|malformed| malformed.at)?;
        Ok(offers.iter().map(offer).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn offers_are_read_in_their_order() {
        for (header, expected) in [
            ("", ""),
            (" , ,", ""),
            ("permessage-deflate", "permessage-deflate"),
            ("a ; b ; c = 1 ,\td;e=\"x\\y\"", "a;b;c=1,d;e=xy"),
            (",a,,b,", "a,b"),
        ] {
            assert_eq!(read(header), Ok(expected.to_owned()), "{header}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_with_its_place() {
        for (header, at) in [
            (";", 0),
            ("a;", 2),
            ("a b", 2),
            ("a;b=", 4),
            ("a;=1", 2),
            ("a;b=\"\"", 5),
            ("a;b=\"1", 6),
            ("a;b=\"1\\", 6),
            ("a;b=\"1 2\"", 6),
            ("a;b=\"1\"2", 7),
            ("\u{e9}", 0),
        ] {
            assert_eq!(read(header), Err(at), "{header}");
        }
    }
}
