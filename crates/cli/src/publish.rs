//! `fanwire pub`.

use crate::{args::PubArgs, endpoint, failure::Failure};
use fanwire_client::{Client, Content, Options};
use std::{
    io::{self, BufRead, Read},
    thread,
};
use tokio::sync::mpsc;

/// Bytes of a line of standard input. No node takes more in one message.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Publishes what the arguments say, one after the other, until one is refused.
pub(crate) async fn publish(args: PubArgs) -> Result<(), Failure> {
    let (channel, text) = match &args.second {
        Some(content) => (Some(args.first.as_str()), content),
        None => (None, &args.first),
    };
    let read = |text| content(text, args.json);
    let single = if text == "-" { None } else { Some(read(text.clone())?) };
    let options = Options { connect_timeout: args.timeout, answer_timeout: args.timeout, ..Options::default() };
    let (client, events) = endpoint::connect(&args.endpoint, options).await?;
    // What others send doesn't matter here.
    drop(events);
    let outcome = match single {
        Some(content) => send(&client, channel, content).await,
        None => send_lines(&client, channel, read).await,
    };
    client.close().await;
    outcome
}

async fn send_lines(
    client: &Client,
    channel: Option<&str>,
    read: impl Fn(String) -> Result<Content, Failure>,
) -> Result<(), Failure> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        send(client, channel, read(line?)?).await?;
    }
    Ok(())
}

async fn send(client: &Client, channel: Option<&str>, content: Content) -> Result<(), Failure> {
    match channel {
        Some(channel) => client.publish(channel, content).await?,
        None => client.broadcast(content).await?,
    }
    Ok(())
}

fn content(text: String, json: bool) -> Result<Content, Failure> {
    if !json {
        return Ok(text.into());
    }
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Failed(format!("the content is not JSON: {error}: {text}")))?;
    Ok(value.into())
}

/// The lines of standard input. Its reading can't be cancelled, hence a thread, which ends with the process.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Some(line) = line(&mut stdin).transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
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
