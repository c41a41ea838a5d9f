//! What comes back to a publisher: answers, refusals, pings.

use crate::{
    confirm::Confirmations,
    dialect::Dialect,
    frame::{Frame, Opcode, Parser},
    letter::Form,
    outgoing::Masker,
};
use fanwire_protocol::frame::Opcode as Sending;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// The most texts of refusals that are kept.
const MOST_REFUSALS: usize = 4;

/// The longest head of an HTTP answer, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// What publishing came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How far messages are confirmed.
    pub confirmations: Arc<Confirmations>,
    refusals: Mutex<Vec<String>>,
}

impl Outcome {
    /// The first texts of what was refused.
    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, text: String) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() < MOST_REFUSALS {
            refusals.push(text);
        }
    }
}

/// Reads what comes back.
#[derive(Debug)]
pub enum Answers {
    /// Frames of a node.
    Native(Dialect, Parser),
    /// Frames of another server, with what they are answered with.
    Foreign(Arc<crate::speech::Speech>, Parser),
    /// Answers of HTTP.
    Http(HttpAnswers),
    /// Replies of Redis.
    Redis(Vec<u8>),
}

impl Answers {
    /// Reads the answers to publications of a form other than frames.
    pub fn without_frames(form: &Form) -> Self {
        match form {
            Form::Redis => Self::Redis(Vec::new()),
            _ => Self::Http(HttpAnswers::default()),
        }
    }

    /// Takes what has arrived; what is to be sent at once goes to `out`.
    pub fn take(&mut self, bytes: &[u8], masker: &mut Masker, outcome: &Outcome, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Native(dialect, parser) => frames(parser, bytes, masker, outcome, out, |frame| {
                take_event(*dialect, frame, outcome);
                None
            }),
            Self::Foreign(speech, parser) => {
                frames(parser, bytes, masker, outcome, out, |frame| speech.reply(frame.payload).map(str::to_owned))
            }
            Self::Http(answers) => answers.take(bytes, outcome),
            Self::Redis(line) => take_lines(line, bytes, outcome),
        }
    }
}

fn frames(
    parser: &mut Parser,
    bytes: &[u8],
    masker: &mut Masker,
    outcome: &Outcome,
    out: &mut Vec<u8>,
    mut text: impl FnMut(Frame<'_>) -> Option<String>,
) -> io::Result<()> {
    let fed = parser.feed(bytes, |frame| match frame.opcode {
        Opcode::Ping => masker.frame(Sending::Pong, frame.payload, out),
        Opcode::Text | Opcode::Binary => {
            text(frame).into_iter().for_each(|answer| masker.frame(Sending::Text, answer.as_bytes(), out));
        }
        Opcode::Close => outcome.refuse(format!("publisher's connection closed: {:?}", frame.payload)),
        _ => {}
    });
    fed.map_err(|broken| {
        outcome.refuse(format!("broken frame to the publisher: {broken}"));
        io::ErrorKind::InvalidData.into()
    })
}

fn take_event(dialect: Dialect, frame: Frame<'_>, outcome: &Outcome) {
    match dialect.decode(frame.payload) {
        Some(event) if event.kind == "ok" => event.id.into_iter().for_each(|id| outcome.confirmations.confirm(id)),
        Some(event) if event.kind == "error" => {
            let (code, message) = (event.code.unwrap_or_default(), event.message.unwrap_or_default());
            outcome.refuse(format!("publication refused: {code}: {message}"));
        }
        _ => {}
    }
}

/// Redis answers each publication with one line, which begins with `-` if it was refused.
fn take_lines(line: &mut Vec<u8>, bytes: &[u8], outcome: &Outcome) -> io::Result<()> {
    for byte in bytes {
        if *byte != b'\n' {
            line.push(*byte);
            continue;
        }
        if line.first() == Some(&b'-') {
            outcome.refuse(format!("publication refused: {}", String::from_utf8_lossy(line).trim_end()));
        }
        line.clear();
    }
    if line.len() > LONGEST_HEAD { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
}

/// Cuts a stream into the answers of HTTP/1.1: each confirms one publication, or refuses it.
#[derive(Debug, Default)]
pub struct HttpAnswers {
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body: usize,
    answered: u64,
}

impl HttpAnswers {
    fn take(&mut self, mut bytes: &[u8], outcome: &Outcome) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = &bytes[skipped..];
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            self.head.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if self.head.ends_with(b"\r\n\r\n") {
                self.take_head(outcome)?;
            } else if self.head.len() > LONGEST_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }

    fn take_head(&mut self, outcome: &Outcome) -> io::Result<()> {
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).to_ascii_lowercase();
        let status = head.lines().next().unwrap_or_default().to_owned();
        if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
            outcome.confirmations.confirm(self.answered);
        } else {
            outcome.refuse(format!("publication refused: {status}"));
        }
        self.answered += 1;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        match length.map_or(Ok(0), |text| text.trim().parse()) {
            Ok(length) if !head.contains("transfer-encoding:") => {
                self.body = length;
                Ok(())
            }
            _ => {
                outcome.refuse("an answer of HTTP says no length".to_owned());
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn take(mut answers: Answers, bytes: &[u8], at_a_time: usize) -> (u64, Vec<String>) {
        let (outcome, mut out) = (Outcome::default(), Vec::new());
        for piece in bytes.chunks(at_a_time) {
            answers.take(piece, &mut Masker::default(), &outcome, &mut out).unwrap();
        }
        (outcome.confirmations.confirmed(), outcome.refusals())
    }

    #[test]
    fn answers_of_http_are_counted_however_they_are_cut() {
        let bytes =
            b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nHTTHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n\
                      HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nx";
        for at_a_time in [1, 7, 1000] {
            let (confirmed, refusals) = take(Answers::Http(HttpAnswers::default()), bytes, at_a_time);
            assert_eq!((confirmed, refusals), (2, vec!["publication refused: http/1.1 403 forbidden".to_owned()]));
        }
    }

    #[test]
    fn a_refusal_of_redis_is_told() {
        let (_, refusals) = take(Answers::Redis(Vec::new()), b":1\r\n-NOAUTH who?\r\n:0\r\n", 5);
        assert_eq!(refusals, ["publication refused: -NOAUTH who?"]);
    }
}
