//! What a publication is as bytes.

use crate::{
    Error, Target,
    dialect::{Command, Dialect},
    lane::Channels,
    marker::Marker,
    outgoing::Masker,
    speech::Speech,
    template::{Publish, fill},
};
use fanwire_protocol::frame::Opcode;

/// What every message has in common.
#[derive(Debug, Clone)]
pub struct Letter {
    /// How it is told.
    pub form: Form,
    /// Where messages go, to each channel in turn.
    pub channels: Channels,
    /// The length of the content, in bytes.
    pub size: usize,
}

/// How a publication is told.
#[derive(Debug, Clone)]
pub enum Form {
    /// By a command of a native dialect.
    Native {
        /// Which dialect.
        dialect: Dialect,
        /// `publish` or `broadcast`.
        kind: &'static str,
        /// Whether it has an id, so that it is answered.
        answered: bool,
    },
    /// By a text frame.
    Frame(String),
    /// As the body of a POST.
    Http {
        /// Where it goes; the path may name the channel.
        target: Target,
    },
    /// By Redis' PUBLISH.
    Redis,
}

impl Form {
    /// How publications are told in `speech`; `answered` if each is to be answered.
    pub fn of(speech: &Speech, answered: bool) -> Result<Self, Error> {
        match speech {
            Speech::Native(dialect) => Ok(Self::Native { dialect: *dialect, kind: "publish", answered }),
            Speech::Foreign(template) => match &template.publish {
                Some(Publish::Frame(frame)) => Ok(Self::Frame(frame.clone())),
                Some(Publish::Http(url)) => {
                    let target = Target::http(url);
                    target.map(|target| Self::Http { target }).map_err(|_| Error::Lacking { key: "publish.http" })
                }
                None => Err(Error::Lacking { key: "publish" }),
            },
        }
    }

    /// A message to every connection where there is such a thing, and a publication elsewhere.
    pub fn to_all(speech: &Speech) -> Result<Self, Error> {
        match speech {
            Speech::Native(dialect) => Ok(Self::Native { dialect: *dialect, kind: "broadcast", answered: false }),
            Speech::Foreign(_) => Self::of(speech, false),
        }
    }
}

impl Letter {
    /// Appends message `sequence`, which is due at `nanos`, to `out`.
    pub fn append(&self, sequence: u64, nanos: u64, masker: &mut Masker, out: &mut Vec<u8>) {
        let content = Marker { sequence, nanos }.content(self.size);
        let channel = self.channels.name(sequence);
        match &self.form {
            Form::Native { dialect, kind, answered } => {
                let command = Command {
                    kind,
                    id: answered.then_some(sequence),
                    channel: (*kind == "publish").then_some(&channel),
                    content: Some(&content),
                    ..Command::default()
                };
                masker.frame(dialect.opcode(), &dialect.encode(&command), out);
            }
            Form::Frame(frame) => masker.frame(Opcode::Text, fill(frame, &channel, &content).as_bytes(), out),
            Form::Http { target } => out.extend_from_slice(post(target, &channel, &content).as_bytes()),
            Form::Redis => out.extend_from_slice(redis(&["PUBLISH", &channel, &content]).as_bytes()),
        }
    }
}

fn post(target: &Target, channel: &str, content: &str) -> String {
    let (path, host, length) = (fill(&target.path, channel, ""), target.address, content.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{content}"
    )
}

/// A command as Redis reads it (RESP, an array of bulk strings).
pub fn redis(words: &[&str]) -> String {
    let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(word).collect::<String>())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn bytes(form: Form) -> Vec<u8> {
        let channels = Channels { name: "a".to_owned(), count: 2 };
        let mut out = Vec::new();
        Letter { form, channels, size: 48 }.append(3, 7, &mut Masker::default(), &mut out);
        out
    }

    #[track_caller]
    fn check_text(form: Form, expected: &str) {
        let content = Marker { sequence: 3, nanos: 7 }.content(48);
        assert_eq!(String::from_utf8(bytes(form)).unwrap(), expected.replace("CONTENT", &content));
    }

    #[test]
    fn http_and_redis_have_the_channel_and_the_content() {
        let target = Target::http("http://127.0.0.1:80/pub/{channel}").unwrap();
        let head =
            "POST /pub/a.1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n\r\n";
        check_text(Form::Http { target }, &format!("{head}CONTENT"));
        check_text(Form::Redis, "*3\r\n$7\r\nPUBLISH\r\n$3\r\na.1\r\n$48\r\nCONTENT\r\n");
    }

    #[test]
    fn frames_are_as_long_as_they_say() {
        let native = bytes(Form::Native { dialect: Dialect::Json, kind: "broadcast", answered: false });
        // The length is in the second byte or the two behind it; header, mask and payload make up the whole.
        assert_eq!(native.len(), 6 + usize::from(native[1] & 0x7f));
        assert_eq!(bytes(Form::Frame("[{content}]".to_owned())).len(), 6 + 50);
    }

    #[test]
    fn a_template_that_can_not_publish_says_so() {
        let error = Form::of(&Speech::Foreign(crate::template::Template::default()), false).unwrap_err();
        assert!(error.to_string().contains("publish"), "{error}");
    }
}
