//! Which dialect a connection speaks, and the way from bytes to commands and from events to frames.
//!
//! Everything that differs between dialects is decided here or below: nobody else asks how one spells things.

use crate::{
    Agreement, CloseReason, Deflate, Encoding, Event, Publication, Refusal, Request, RequestId, Saving,
    deflate::{MalformedExtensions, shorten},
    echo, frame,
    frame::Opcode,
    json, msgpack, plain,
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use thiserror::Error;

pub use crate::plain::{InvalidTemplate, MAX_TEMPLATE_LENGTH, TemplateProblem, TemplateTexts, Templates};

/// How a connection spells commands and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dialect {
    /// Texts for people and for `new WebSocket(url)`.
    Plain,
    /// `fanwire.v1.json`.
    Json,
    /// `fanwire.v1.msgpack`.
    MessagePack,
    /// Every message comes back as it is: what conformance suites want. Spoken only where a node is told to.
    Echo,
}

/// All dialects.
pub const ALL: [Dialect; 4] = [Dialect::Plain, Dialect::Json, Dialect::MessagePack, Dialect::Echo];

/// One complete message from a client.
#[derive(Debug, Clone, Copy)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A command.
    Request(Request),
    /// Nothing that can be carried out; the connection lives on.
    Refused {
        /// The id to echo, where one could be read.
        id: Option<RequestId>,
        /// What is wrong and where.
        refusal: Refusal,
    },
}

/// What one WebSocket message holds, in order: for the dialects of today exactly one entry.
pub type DecodedMessage = SmallVec<[Decoded; 1]>;

/// The request offers subprotocols, and none that this node speaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "unknown WebSocket subprotocol {offered:?}: known are \"fanwire.v1.json\" and \"fanwire.v1.msgpack\", and none at all for plain texts"
)]
pub struct UnknownSubprotocol {
    /// What the request offers.
    pub offered: String,
}

impl Dialect {
    /// The WebSocket subprotocol that picks the dialect; those without one are for requests that name none.
    pub fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Echo => None,
            Self::Json => Some("fanwire.v1.json"),
            Self::MessagePack => Some("fanwire.v1.msgpack"),
        }
    }

    /// The value of the label `dialect` in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::MessagePack => "msgpack",
            Self::Echo => "echo",
        }
    }

    /// The close code for `reason`.
    pub fn close_code(self, reason: CloseReason) -> u16 {
        reason.code()
    }

    /// The complete Close frame for `reason`.
    pub fn close_frame(self, reason: CloseReason) -> Bytes {
        frame::close(self.close_code(reason), reason.text())
    }

    /// The complete frame that asks the peer for a sign of life: a WebSocket ping without payload.
    pub fn heartbeat_frame(self) -> Bytes {
        const PING: [u8; 2] = [0x80 | Opcode::Ping as u8, 0];
        Bytes::from_static(&PING)
    }

    /// Whether a client can send a token when it is connected.
    pub fn can_authenticate(self) -> bool {
        self != Self::Plain
    }

    /// Whether messages may be compressed. Plain clients are those of people who look at what comes.
    pub fn can_compress(self) -> bool {
        self != Self::Plain
    }

    /// Whether answers are compressed too. Not where one may hold what several people have said: whoever sees how long
    /// it is, and says a part of it, would learn about the rest.
    fn compresses_answers(self) -> bool {
        self == Self::Echo
    }

    /// Whether a client may be told that messages were left out. One that can't be told is disconnected instead.
    pub fn can_tell_losses(self) -> bool {
        matches!(self, Self::Json | Self::MessagePack)
    }
}

/// All dialects as this node is configured to speak them.
#[derive(Debug, Clone, Default)]
pub struct Dialects {
    templates: Templates,
    without_subprotocol: WithoutSubprotocol,
    deflate: Option<Deflate>,
}

/// What requests that name no subprotocol get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WithoutSubprotocol {
    /// [`Dialect::Plain`].
    #[default]
    Plain,
    /// [`Dialect::Echo`]: for conformance suites, which name none.
    Echo,
}

impl Dialects {
    /// Dialects whose plain texts are made from `templates`.
    pub fn new(templates: Templates, without_subprotocol: WithoutSubprotocol) -> Self {
        Self { templates, without_subprotocol, deflate: None }
    }

    /// The same, and messages are compressed by `deflate` for those who want it, if there is any.
    pub fn compressed(self, deflate: Option<Deflate>) -> Self {
        Self { deflate, ..self }
    }

    /// What is agreed on with a client of `dialect` whose `Sec-WebSocket-Extensions`, all of its lines joined with
    /// commas, are `extensions`.
    pub fn agree(&self, dialect: Dialect, extensions: &str) -> Result<Option<Agreement>, MalformedExtensions> {
        let agreement = Agreement::of(extensions)?;
        Ok(agreement.filter(|_| self.deflate.is_some() && dialect.can_compress()))
    }

    pub(crate) fn shorten(&self, frame: &Bytes) -> Option<Bytes> {
        shorten(self.deflate?, frame)
    }

    /// The dialect for a request: the one table of (path, query, subprotocol).
    ///
    /// `subprotocols` is the value of `Sec-WebSocket-Protocol` (RFC 6455, section 11.3.4), all of its lines joined
    /// with commas; the first known one wins, and an empty value counts as none.
    pub fn choose(
        &self,
        _path: &str,
        _query: Option<&str>,
        subprotocols: Option<&str>,
    ) -> Result<Dialect, UnknownSubprotocol> {
        let offered = subprotocols.unwrap_or_default();
        let mut names = offered.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            return Ok(match self.without_subprotocol {
                WithoutSubprotocol::Plain => Dialect::Plain,
                WithoutSubprotocol::Echo => Dialect::Echo,
            });
        }
        names
            .find_map(|name| ALL.into_iter().find(|dialect| dialect.subprotocol() == Some(name)))
            .ok_or_else(|| UnknownSubprotocol { offered: offered.trim().to_owned() })
    }

    /// What `message` asks.
    pub fn decode(&self, dialect: Dialect, message: Incoming<'_>) -> DecodedMessage {
        smallvec![match dialect {
            Dialect::Plain => plain::decode(&self.templates, message),
            Dialect::Json => json::decode(message),
            Dialect::MessagePack => msgpack::decode(message),
            Dialect::Echo => echo::decode(message),
        }]
    }

    /// The complete frame for `event`, where the dialect has a form for it.
    pub fn encode(&self, encoding: impl Into<Encoding>, event: &Event) -> Option<Bytes> {
        let Encoding { dialect, compression } = encoding.into();
        let frame = match dialect {
            Dialect::Plain => plain::encode(&self.templates, event),
            Dialect::Json => json::encode(event),
            Dialect::MessagePack => msgpack::encode(event),
            Dialect::Echo => echo::encode(event),
        }?;
        let may_be_shorter = dialect.compresses_answers() && compression.fits(frame.len());
        Some(may_be_shorter.then(|| self.shorten(&frame)).flatten().unwrap_or(frame))
    }

    /// Appends to `frames` the complete frames that carry `publications`, all of one target, in their order.
    ///
    /// A publication is encoded once per encoding, by whoever asks first. The plain dialect has no channels, so none of
    /// theirs has a frame there; the echo dialect has no publications at all. Returns what compression saves in them.
    pub fn frames(
        &self,
        encoding: impl Into<Encoding>,
        publications: &[Arc<Publication>],
        frames: &mut Vec<Bytes>,
    ) -> Saving {
        let encoding = encoding.into();
        frames.extend(publications.iter().filter_map(|publication| publication.frame(encoding, self)).cloned());
        publications.iter().map(|publication| publication.saving(encoding, self)).sum()
    }

    pub(crate) fn encode_publication(&self, dialect: Dialect, publication: &Publication) -> Option<Bytes> {
        match dialect {
            Dialect::Plain => plain::encode_publication(&self.templates, publication),
            Dialect::Json => json::encode_publication(publication),
            Dialect::MessagePack => msgpack::encode_publication(publication),
            Dialect::Echo => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subprotocols: Option<&str>, expected: Option<Dialect>) {
        assert_eq!(Dialects::default().choose("/any", None, subprotocols).ok(), expected);
    }

    #[test]
    fn the_first_known_subprotocol_wins() {
        check(None, Some(Dialect::Plain));
        check(Some(""), Some(Dialect::Plain));
        check(Some(" , "), Some(Dialect::Plain));
        check(Some("fanwire.v1.json"), Some(Dialect::Json));
        check(Some("fanwire.v1.msgpack, fanwire.v1.json"), Some(Dialect::MessagePack));
        check(Some("mqtt, fanwire.v1.json"), Some(Dialect::Json));
        check(Some("mqtt"), None);
        check(Some("FANWIRE.V1.JSON"), None);
    }

    #[test]
    fn an_unknown_subprotocol_is_told_the_known_ones() {
        let error = Dialects::default().choose("/", None, Some("mqtt")).expect_err("mqtt is not spoken");
        for dialect in ALL {
            assert!(error.to_string().contains(dialect.subprotocol().unwrap_or_default()));
        }
    }

    #[test]
    fn echo_takes_the_place_of_plain_where_it_is_wanted() {
        let dialects = Dialects::new(Templates::default(), WithoutSubprotocol::Echo);
        assert_eq!(dialects.choose("/", None, None), Ok(Dialect::Echo));
        assert_eq!(dialects.choose("/", None, Some("fanwire.v1.json")), Ok(Dialect::Json));
        assert!(dialects.choose("/", None, Some("echo")).is_err());
    }
}
