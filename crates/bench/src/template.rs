//! What another server than a Fanwire node is told, from a file.
//!
//! ```toml
//! name = "socket.io"                                  # in results
//! subprotocol = "x"                                   # to ask for; none by default
//! open = [{ send = "40" }, { wait = "40{" }]          # after the upgrade, in this order
//! publish.frame = '42["publish","{channel}","{content}"]'
//! publish.http = "http://127.0.0.1:8080/pub/{channel}" # or this: a POST whose body is the content
//! echo = '42["echo","{content}"]'                     # a request whose answer contains the content
//! replies = [{ to = "2", with = "3" }]                # a text frame that is answered at once
//! ```
//! `{channel}` stands for the name of the channel, also in the path of `--url`, and `{content}` for the content, which has
//! letters, digits and colons only and must reach subscribers as it is.

use crate::{Error, Target};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// What another server is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Template {
    /// Its name in results.
    pub name: Option<String>,
    /// The WebSocket subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// What happens between the upgrade and being subscribed.
    pub open: Vec<Step>,
    /// How to publish.
    pub publish: Option<Publish>,
    /// A text frame that the server answers with one that has the same content.
    pub echo: Option<String>,
    /// Text frames that are answered at once.
    pub replies: Vec<Reply>,
}

/// One step of opening a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Send a text frame.
    Send(String),
    /// Wait for a frame that contains this.
    Wait(String),
}

/// How to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// As a text frame on a connection opened like the others.
    Frame(String),
    /// As the body of a POST to this address.
    Http(String),
}

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The whole text that is answered.
    pub to: String,
    /// The text of the answer.
    pub with: String,
}

impl Template {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |reason: String| Error::Template { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        Self::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let template: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), String> {
        let frame = match &self.publish {
            Some(Publish::Frame(frame)) => Some(("publish.frame", frame)),
            Some(Publish::Http(url)) => {
                Target::http(url).map(|_| None).map_err(|error| format!("publish.http: {error}"))?
            }
            None => None,
        };
        let echo = self.echo.as_ref().map(|frame| ("echo", frame));
        match frame.into_iter().chain(echo).find(|(_, text)| !text.contains(CONTENT)) {
            Some((key, text)) => Err(format!("{key} is {text:?}, without {CONTENT}: nothing could be recognised")),
            None => Ok(()),
        }
    }

    /// The answer to a frame with `payload`, if it is always the same.
    pub fn reply(&self, payload: &[u8]) -> Option<&str> {
        self.replies.iter().find(|reply| reply.to.as_bytes() == payload).map(|reply| reply.with.as_str())
    }
}

/// What stands for the name of the channel.
pub const CHANNEL: &str = "{channel}";

/// What stands for the content.
pub const CONTENT: &str = "{content}";

/// `text` with the name of the channel and the content in their places.
pub fn fill(text: &str, channel: &str, content: &str) -> String {
    text.replace(CHANNEL, channel).replace(CONTENT, content)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_template_says_how_to_open_and_how_to_publish() {
        let text = "open = [{ send = '40' }, { wait = '40{' }]\npublish.frame = '[\"{channel}\",\"{content}\"]'\n\
                    replies = [{ to = '2', with = '3' }]";
        let template = Template::parse(text).unwrap();
        assert_eq!(template.open, [Step::Send("40".to_owned()), Step::Wait("40{".to_owned())]);
        assert_eq!((template.reply(b"2"), template.reply(b"22")), (Some("3"), None));
        let frame = "[\"{channel}\",\"{content}\"]";
        assert_eq!(template.publish, Some(Publish::Frame(frame.to_owned())));
        assert_eq!(fill(frame, "news", "fw:1:2:"), "[\"news\",\"fw:1:2:\"]");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Template::parse(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("opne = []", "opne");
        check("publish.frame = 'x'", "publish.frame is \"x\", without {content}");
        check("echo = 'x'", "echo is \"x\", without {content}");
        check("publish.http = 'https://127.0.0.1/'", "publish.http: ");
        check("publish.http = 'http://10.0.0.1:80/'", "only loopback addresses");
        check("open = [{ shout = 'x' }]", "shout");
    }

    #[test]
    fn the_file_is_named() {
        let error = Template::read(Path::new("/nowhere.toml")).unwrap_err().to_string();
        assert!(error.contains("/nowhere.toml"), "{error}");
    }
}
