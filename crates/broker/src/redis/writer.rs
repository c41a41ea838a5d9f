//! The writing half of the subscriber link.

use crate::redis::{
    kind::Kind,
    member::Member,
    names::{Name, tag},
    subscriptions::Batch,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long Redis may take to read one batch.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Sends what is to be changed at `member` until that fails, and returns why.
pub(super) async fn run(mut stream: impl AsyncWrite + Unpin, member: Arc<Member>, kind: Kind) -> String {
    loop {
        let commands = commands(&member.interest.next_batch(member.id).await, kind);
        let written = async {
            stream.write_all(&commands).await?;
            // An encrypted stream keeps what it could not write at once.
            stream.flush().await
        };
        match timeout(LIMIT, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format!("subscribing failed: {error}"),
            Err(_) => return format!("Redis did not read a command within {LIMIT:?}"),
        }
    }
}

fn commands(batch: &Batch, kind: Kind) -> Vec<u8> {
    let mut bytes = if batch.ping { redis::cmd("PING").get_packed_command() } else { Vec::new() };
    bytes.extend(command(kind.subscribe(), &batch.subscribe, kind));
    bytes.extend(command(kind.unsubscribe(), &batch.unsubscribe, kind));
    bytes
}

/// Nothing for no names: UNSUBSCRIBE without any would leave all channels.
fn command(verb: &str, names: &[Name], kind: Kind) -> Vec<u8> {
    let packed = |names: &[&Name]| {
        let mut command = redis::cmd(verb);
        for name in names {
            command.arg(&***name);
        }
        command.get_packed_command()
    };
    let mut names: Vec<_> = names.iter().collect();
    match kind {
        _ if names.is_empty() => Vec::new(),
        Kind::Plain => packed(&names),
        // What is in different slots is refused together, even at one server.
        Kind::Sharded => {
            names.sort_unstable();
            names.chunk_by(|one, other| tag(one) == tag(other)).flat_map(packed).collect()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_at_most_two_commands() {
        let (subscribe, unsubscribe) = (vec!["a".into(), "b".into()], vec!["c".into()]);
        let batch = Batch { ping: false, subscribe, unsubscribe };
        let expected = b"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\nc\r\n";
        assert_eq!(commands(&batch, Kind::Plain), expected);
        assert!(commands(&Batch::default(), Kind::Plain).is_empty());
    }

    #[test]
    fn what_is_sharded_is_a_command_for_each_slot() {
        let subscribe = ["p:{1}:c:x", "p:{2}:c:y", "p:{1}:c:z"].map(Name::from).to_vec();
        let batch = Batch { ping: true, subscribe, unsubscribe: vec!["p:{3}:c:w".into()] };
        let sent = String::from_utf8(commands(&batch, Kind::Sharded)).unwrap();
        let words: Vec<_> = sent.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
        let expected =
            ["PING", "SSUBSCRIBE", "p:{1}:c:x", "p:{1}:c:z", "SSUBSCRIBE", "p:{2}:c:y", "SUNSUBSCRIBE", "p:{3}:c:w"];
        assert_eq!(words, expected);
        assert!(commands(&Batch::default(), Kind::Sharded).is_empty());
    }
}
