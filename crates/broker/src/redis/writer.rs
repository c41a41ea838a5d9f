//! The writing half of the subscriber link.

use crate::redis::{interest::Interest, names::Name, subscriptions::Batch};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long Redis may take to read one batch.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Sends what [`Interest`] wants changed until that fails, and returns why.
pub(super) async fn run(mut stream: impl AsyncWrite + Unpin, interest: Arc<Interest>) -> String {
    loop {
        let commands = commands(&interest.next_batch().await);
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

fn commands(batch: &Batch) -> Vec<u8> {
    let mut bytes = command("SUBSCRIBE", &batch.subscribe);
    bytes.extend(command("UNSUBSCRIBE", &batch.unsubscribe));
    bytes
}

/// Nothing for no names: UNSUBSCRIBE without any would leave all channels.
fn command(verb: &str, names: &[Name]) -> Vec<u8> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut command = redis::cmd(verb);
    for name in names {
        command.arg(&**name);
    }
    command.get_packed_command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_at_most_two_commands() {
        let batch = Batch { subscribe: vec!["a".into(), "b".into()], unsubscribe: vec!["c".into()] };
        let expected = b"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\nc\r\n";
        assert_eq!(commands(&batch), expected);
        assert!(commands(&Batch::default()).is_empty());
    }
}
