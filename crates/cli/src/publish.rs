//! `fanwire pub`.

use crate::{args::PubArgs, config::Environment, endpoint, failure::Failure};
use fanwire_client::{Client, Content, Error, Events, Json, Options, Reconnect};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    future,
    io::{self, BufRead, Read},
    thread,
};
use tokio::sync::mpsc;

/// Bytes of a line of standard input. No node takes more in one message.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Publications that may wait for their answers at a time.
const UNANSWERED: usize = 64;

/// Publishes what the arguments say, in order, until something is refused.
pub(crate) async fn publish(args: PubArgs, environment: &Environment) -> Result<(), Failure> {
    let (channel, text) = match &args.second {
        Some(content) => (Some(args.first.as_str()), content),
        None => (None, &args.first),
    };
    let single = if text == "-" { None } else { Some(content(text.clone(), args.json)?) };
    let key = args.key.as_deref();
    // What has a key is sent again after a lost connection; the rest is not, so there would be no use for another.
    let reconnect = key.map(|_| Reconnect::default());
    let (connect_timeout, answer_timeout) = (args.timeout, args.timeout);
    let options = Options { connect_timeout, answer_timeout, reconnect, ..Options::default() };
    let (client, events) = endpoint::connect(&args.endpoint, environment, options).await?;
    let sending = async {
        match single {
            Some(content) => Ok(send(&client, channel, content, key).await?),
            None => send_lines(&client, channel, key, args.json).await,
        }
    };
    // The end of the connection matters also while there is nothing to send.
    let outcome = tokio::select! {
        biased;
        sent = sending => sent,
        error = end(events) => Err(error.into()),
    };
    client.close().await;
    outcome
}

/// Waits for the end of the connection. What others send doesn't matter here.
async fn end(mut events: Events) -> Error {
    loop {
        if let Err(error) = events.next().await {
            return error;
        }
    }
}

/// Sends lines without waiting for the answers of those before, and takes the answers in order.
async fn send_lines(client: &Client, channel: Option<&str>, key: Option<&str>, json: bool) -> Result<(), Failure> {
    let mut contents = contents(json);
    stream::poll_fn(|context| contents.poll_recv(context))
        .zip(stream::iter(1..))
        .map(|(content, number)| async move {
            let key = key.map(|key| format!("{key}:{number}"));
            let sent = async { Ok(send(client, channel, content?, key.as_deref()).await?) };
            sent.await.map_err(|failure: Failure| failure.of_line(number))
        })
        .buffered(UNANSWERED)
        .try_for_each(|()| future::ready(Ok(())))
        .await
}

async fn send(client: &Client, channel: Option<&str>, content: Content, key: Option<&str>) -> Result<(), Error> {
    match (channel, key) {
        (Some(channel), None) => client.publish(channel, content).await?,
        (Some(channel), Some(key)) => client.publish_once(channel, content, key).await?,
        (None, None) => client.broadcast(content).await?,
        (None, Some(key)) => client.broadcast_once(content, key).await?,
    };
    Ok(())
}

fn content(text: String, json: bool) -> Result<Content, Failure> {
    if !json {
        return Ok(text.into());
    }
    let json: Json =
        text.parse().map_err(|error| Failure::Failed(format!("the content is not JSON: {error}: {text}")))?;
    Ok(json.into())
}

/// What the lines of standard input hold, up to the first that can't be read. Reading can't be cancelled, hence a
/// thread, which ends with the process.
fn contents(json: bool) -> mpsc::Receiver<Result<Content, Failure>> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(line) = line(&mut stdin).transpose() {
            let content = line.map_err(Failure::from).and_then(|line| content(line, json));
            let failed = content.is_err();
            if sender.blocking_send(content).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

/// The next line without its end; `None` after the last.
fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let length = input.by_ref().take(LONGEST_LINE).read_line(&mut line)?;
    match line.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        _ if length == 0 => Ok(None),
        Some(line) => Ok(Some(line.to_owned())),
        None if u64::try_from(length).is_ok_and(|length| length < LONGEST_LINE) => Ok(Some(line)),
        None => Err(io::Error::other(format!("a line of standard input is longer than {LONGEST_LINE} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &[&str]) {
        let mut input = input.as_bytes();
        let lines: Vec<_> = std::iter::from_fn(|| line(&mut input).ok().flatten()).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_end_with_either_line_break_or_the_input() {
        check("", &[]);
        check("a\nb\r\n\nc", &["a", "b", "", "c"]);
        check("a\n", &["a"]);
    }
}
