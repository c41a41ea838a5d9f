//! The keys of a native command, gathered in any order and then judged: the same for both encodings.

use crate::{
    ChannelName, Command, ConnectionId, Content, Decoded, Dialect, Epoch, ErrorCode, IdempotencyKey, InvalidContent,
    Position, Refusal, Request, RequestId, Token,
    command::DEFAULT_LIMIT,
    key::{KEYS, Key},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::borrow::Cow;

/// A command: its name, the keys it has besides `type` and `id`, and how it is made of them.
type Spec = (&'static str, &'static [Key], fn(Values<'_>, &str) -> Result<Command, Refusal>);

const COMMANDS: [Spec; 11] = [
    ("subscribe", &[Key::Channel, Key::Recover, Key::Info, Key::InfoBase64], |mut values, name| {
        let (channel, info) = (values.channel(name)?, values.info()?);
        Ok(Command::Subscribe { channel, recover: values.recover, info })
    }),
    ("unsubscribe", &[Key::Channel], |mut values, name| Ok(Command::Unsubscribe { channel: values.channel(name)? })),
    ("publish", &[Key::Channel, Key::Content, Key::ContentBase64, Key::Echo, Key::Idempotency], |mut values, name| {
        let (channel, content) = (values.channel(name)?, values.content(name)?);
        let (echo, idempotency_key) = (values.echo.unwrap_or(true), values.idempotency_key);
        Ok(Command::Publish { channel, content, echo, idempotency_key })
    }),
    ("broadcast", &[Key::Content, Key::ContentBase64, Key::Echo, Key::Idempotency], |mut values, name| {
        let (content, echo) = (values.content(name)?, values.echo.unwrap_or(false));
        Ok(Command::Broadcast { content, echo, idempotency_key: values.idempotency_key })
    }),
    ("recover_broadcast", &[Key::Epoch, Key::Offset], |mut values, name| {
        Ok(Command::RecoverBroadcast { position: values.position(name)? })
    }),
    ("history", &[Key::Channel, Key::Since, Key::Limit, Key::Reverse], |mut values, name| {
        let (limit, reverse) = (values.limit.unwrap_or(DEFAULT_LIMIT), values.reverse.unwrap_or(false));
        Ok(Command::History { channel: values.channel(name)?, since: values.since, limit, reverse })
    }),
    ("presence", &[Key::Channel, Key::Limit, Key::After], |mut values, name| {
        let limit = values.limit.unwrap_or(DEFAULT_LIMIT);
        Ok(Command::Presence { channel: values.channel(name)?, limit, after: values.after })
    }),
    ("presence_stats", &[Key::Channel], |mut values, name| {
        Ok(Command::PresenceStats { channel: values.channel(name)? })
    }),
    ("auth", &[Key::Token], |mut values, name| Ok(Command::Auth { token: values.token(name)? })),
    ("refresh", &[Key::Token], |mut values, name| Ok(Command::Refresh { token: values.token(name)? })),
    ("ping", &[], |_, _| Ok(Command::Ping)),
];

/// A content within its message, unchecked.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// A JSON text and what stands before it.
    Json { text: &'a str, before: &'a str },
    /// A MessagePack value and where it begins.
    MessagePack { bytes: &'a [u8], at: usize },
}

impl Payload<'_> {
    fn check(self) -> Result<Content, InvalidContent> {
        match self {
            Self::Json { text, before } => Content::json(text).map_err(|error| error.after_text(before)),
            Self::MessagePack { bytes, at } => Content::message_pack(bytes).map_err(|error| error.after_bytes(at)),
        }
    }
}

/// What stands under a message's keys. The channel and the content are still to be judged.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) command: Option<Cow<'a, str>>,
    pub(crate) id: Option<RequestId>,
    pub(crate) channel: Option<Cow<'a, str>>,
    pub(crate) content: Option<Payload<'a>>,
    pub(crate) base64: Option<Cow<'a, str>>,
    pub(crate) echo: Option<bool>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) recover: Option<Position>,
    pub(crate) since: Option<Position>,
    pub(crate) limit: Option<u32>,
    pub(crate) reverse: Option<bool>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) offset: Option<u64>,
    pub(crate) info: Option<Payload<'a>>,
    pub(crate) info_base64: Option<Cow<'a, str>>,
    pub(crate) after: Option<ConnectionId>,
    pub(crate) token: Option<Token>,
}

/// The keys of a message and what stands under them.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) values: Values<'a>,
    dialect: Dialect,
    seen: [bool; KEYS.len()],
    /// The first key that no command has, as [`quote`] gives it.
    stray: Option<String>,
}

impl Fields<'_> {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { values: Values::default(), dialect, seen: [false; KEYS.len()], stray: None }
    }

    /// Notes that a key called `name` occurs. A known one may do so once; of the others the first is remembered.
    pub(crate) fn enter(&mut self, name: &str) -> Result<Option<Key>, String> {
        let Some(key) = self.keys().find(|key| key.name() == name) else {
            self.stray.get_or_insert_with(|| quote(name));
            return Ok(None);
        };
        if std::mem::replace(&mut self.seen[key as usize], true) {
            return Err(format!("duplicate key \"{name}\""));
        }
        Ok(Some(key))
    }

    /// The keys of the dialect. MessagePack writes bytes as binary and needs no key of their own for them.
    fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let has_base64 = self.dialect == Dialect::Json;
        KEYS.into_iter()
            .map(|(key, _)| key)
            .filter(move |key| has_base64 || !matches!(key, Key::ContentBase64 | Key::InfoBase64))
    }

    /// The command, or why there is none.
    pub(crate) fn into_decoded(mut self) -> Decoded {
        let id = self.values.id.take();
        match self.into_command() {
            Ok(command) => Decoded::Request(Request { id, command }),
            Err(refusal) => Decoded::Refused { id, refusal },
        }
    }

    fn into_command(mut self) -> Result<Command, Refusal> {
        let name = self.values.command.take().ok_or_else(|| missing("a command", Key::Type))?;
        let known = COMMANDS.into_iter().find(|(known, ..)| *known == name);
        let (name, keys, make) = known.ok_or_else(|| unknown_command(&name))?;
        self.refuse_foreign_keys(name, keys)?;
        make(self.values, name)
    }

    fn refuse_foreign_keys(&mut self, command: &str, keys: &[Key]) -> Result<(), Refusal> {
        let is_own = |key: &Key| matches!(key, Key::Type | Key::Id) || keys.contains(key);
        let foreign = self.keys().find(|key| self.seen[*key as usize] && !is_own(key)).map(|key| quote(key.name()));
        let Some(foreign) = self.stray.take().or(foreign) else { return Ok(()) };
        let known: Vec<_> = self.keys().filter(is_own).map(Key::name).collect();
        Err(Refusal::bad_request(format!("unknown key {foreign}: the keys of \"{command}\" are {}", known.join(", "))))
    }
}

impl Values<'_> {
    fn channel(&mut self, command: &str) -> Result<ChannelName, Refusal> {
        let name = self.channel.take().ok_or_else(|| missing(command, Key::Channel))?;
        ChannelName::parse(&name).map_err(|error| Refusal::bad_request(format!("channel: {error}")))
    }

    fn position(&mut self, command: &str) -> Result<Position, Refusal> {
        let epoch = self.epoch.take().ok_or_else(|| missing(command, Key::Epoch))?;
        let offset = self.offset.ok_or_else(|| missing(command, Key::Offset))?;
        Ok(Position { epoch, offset })
    }

    fn token(&mut self, command: &str) -> Result<Token, Refusal> {
        self.token.take().ok_or_else(|| missing(command, Key::Token))
    }

    fn content(&mut self, command: &str) -> Result<Content, Refusal> {
        let content = either([Key::Content, Key::ContentBase64], self.content.take(), self.base64.take())?;
        content.ok_or_else(|| missing(command, Key::Content))
    }

    fn info(&mut self) -> Result<Option<Content>, Refusal> {
        either([Key::Info, Key::InfoBase64], self.info.take(), self.info_base64.take())
    }
}

/// The content that stands under one of two keys, as a value or as base64.
fn either(
    [key, key_of_base64]: [Key; 2],
    payload: Option<Payload<'_>>,
    base64: Option<Cow<'_, str>>,
) -> Result<Option<Content>, Refusal> {
    let (name, name_of_base64) = (key.name(), key_of_base64.name());
    let bad = |problem: String| Refusal::bad_request(problem);
    match (payload, base64) {
        (Some(payload), None) => payload.check().map(Some).map_err(|error| bad(format!("{name}: {error}"))),
        (None, Some(base64)) => binary(name_of_base64, &base64).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(bad(format!("both \"{name}\" and \"{name_of_base64}\": there is one {name}"))),
    }
}

fn binary(key: &str, base64: &str) -> Result<Content, Refusal> {
    let bytes = STANDARD.decode(base64).map_err(|error| {
        Refusal::bad_request(format!("{key}: no base64 of the standard alphabet with padding: {error}"))
    })?;
    Ok(Content::binary(bytes.into()))
}

fn missing(command: &str, key: Key) -> Refusal {
    Refusal::bad_request(format!("missing key \"{}\" in {command}", key.name()))
}

fn unknown_command(name: &str) -> Refusal {
    let known = COMMANDS.map(|(name, ..)| name).join(", ");
    Refusal::new(ErrorCode::UnknownCommand, format!("unknown command {}: known are {known}", quote(name)))
}

/// How much of a client's own text an error repeats, in bytes.
const MAX_QUOTE: usize = 64;

/// `text` in quotes, cut to what an error repeats.
pub(crate) fn quote(text: &str) -> String {
    match &text[..text.floor_char_boundary(MAX_QUOTE)] {
        whole if whole.len() == text.len() => format!("{whole:?}"),
        start => format!("{start:?}…"),
    }
}
