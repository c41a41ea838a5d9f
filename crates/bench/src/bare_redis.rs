//! What a message costs in time without a node: Redis' own PUBLISH and SUBSCRIBE, by the same publisher and clock.

use crate::{
    Error, Target,
    board::Board,
    dialect::Dialect,
    integrity::Integrity,
    lane::{Channels, Lane},
    latency::Summary,
    letter::{Form, Letter, redis},
    marker::Finder,
    pace::Clock,
    publisher::{Door, Plan, Publisher},
    speech::Speech,
    subscriber::Account,
};
use serde::Serialize;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// How long connecting and subscribing may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a round at Redis alone showed.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Whether all arrived.
    pub integrity: Integrity,
    /// From the time a message was due to its arrival, after the warm-up.
    pub latency: Summary,
    /// By how much the publisher was late.
    pub send_lag: Summary,
}

/// Publishes as `plan` says at the Redis of `target` and reads it there, as one subscriber.
pub async fn play(
    target: &Target,
    size: usize,
    plan: Plan,
    warmup: Duration,
    patience: Duration,
) -> Result<Round, Error> {
    let (clock, channel) = (Clock::start(), format!("bench.{}", std::process::id()));
    let board = Rc::new(Board::new(clock));
    let stream = timeout(PATIENCE, subscribe(target, &channel)).await;
    let stream = stream.map_err(|_| Error::Late { address: target.address, seconds: PATIENCE.as_secs() })??;
    let speech = Arc::new(Speech::Native(Dialect::Json));
    let letter = Letter { form: Form::Redis, channels: Channels::one(channel), size };
    let mut publisher = Publisher::connect(Door { target, tls: None, speech: &speech }, letter, clock).await?;
    board.restart(clock.nanos(plan.start + warmup));
    let account = Account::shared(Lane::default());
    account.borrow_mut().restart(0);
    let mut reading = JoinSet::new();
    reading.spawn_local(follow(stream, Rc::clone(&account), Rc::clone(&board)));
    let publishing = tokio::task::spawn_blocking(move || (publisher.publish(&plan), publisher));
    let (sent, publisher) =
        publishing.await.map_err(|error| Error::System { what: "publishing thread", source: error.into() })?;
    board.arrivals.wait_for(sent.end - sent.first, patience).await;
    let mut integrity = Integrity::of(&[account], &sent);
    integrity.note_errors(&publisher.refusals());
    Ok(Round { integrity, latency: board.take().0.summary(), send_lag: sent.lag.summary() })
}

async fn subscribe(target: &Target, channel: &str) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { address: target.address, source };
    let mut stream = TcpStream::connect(target.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.write_all(redis(&["SUBSCRIBE", channel]).as_bytes()).await.map_err(failed)?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.map_err(failed)? == 0 {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        match Push::take(&mut bytes) {
            Some(Push::Other) => return Ok(stream),
            Some(Push::Error(message)) => {
                let code = "Redis".to_owned();
                return Err(Error::Refused { channel: channel.to_owned(), code, message });
            }
            Some(Push::Message(_)) | None => {}
        }
    }
}

async fn follow(mut stream: TcpStream, account: crate::subscriber::SharedAccount, board: Rc<Board>) {
    let (mut bytes, mut finder) = (Vec::with_capacity(crate::board::SCRATCH), Finder::default());
    while stream.read_buf(&mut bytes).await.is_ok_and(|length| length > 0) {
        let now = board.clock.now();
        while let Some(push) = Push::take(&mut bytes) {
            match push {
                Push::Message(content) => match finder.find(&content) {
                    Some(marker) => {
                        account.borrow_mut().record(marker.sequence);
                        board.record(marker.nanos, now);
                    }
                    None => account.borrow_mut().note("a message without a mark".to_owned()),
                },
                Push::Error(text) => account.borrow_mut().note(text),
                Push::Other => {}
            }
        }
    }
    account.borrow_mut().ended = Some(crate::error::Ended::Eof);
}

/// What Redis tells a subscriber.
#[derive(Debug, PartialEq, Eq)]
enum Push {
    Message(Vec<u8>),
    Error(String),
    Other,
}

impl Push {
    /// Takes the first from `bytes` if it is whole.
    fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let (push, end) = Self::first(bytes)?;
        bytes.drain(..end);
        Some(push)
    }

    fn first(bytes: &[u8]) -> Option<(Self, usize)> {
        let (line, mut at) = line(bytes, 0)?;
        let Some(count) = line.strip_prefix('*').and_then(|count| count.parse().ok()) else {
            return Some((Self::Error(line.to_owned()), at));
        };
        let mut parts = Vec::new();
        for _ in 0..count {
            let (part, next) = element(bytes, at)?;
            parts.push(part);
            at = next;
        }
        match parts[..] {
            [b"message", _, content] => Some((Self::Message(content.to_vec()), at)),
            _ => Some((Self::Other, at)),
        }
    }
}

/// A bulk string, or a number as it is written.
fn element(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (header, start) = line(bytes, at)?;
    match header.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => Some((bytes.get(start..start + length)?, bytes.get(..start + length + 2)?.len())),
        None => Some((header.as_bytes(), start)),
    }
}

fn line(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|window| window == b"\r\n")?;
    Some((std::str::from_utf8(&rest[..end]).unwrap_or_default(), at + end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_taken_when_they_are_whole() {
        let whole =
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nx\r\ny\r\n-ERR no\r\n";
        let (mut bytes, mut pushes) = (Vec::new(), Vec::new());
        for byte in whole {
            bytes.push(*byte);
            pushes.extend(Push::take(&mut bytes));
        }
        let expected = [Push::Other, Push::Message(b"x\r\ny".to_vec()), Push::Error("-ERR no".to_owned())];
        assert_eq!((pushes.as_slice(), bytes.len()), (&expected[..], 0));
    }
}
