//! A script or a command about members, with keys of one partition.

use crate::{
    ReadError,
    redis::{asking::Unanswered, doubt::Doubt, keep::refusal, kind::Kind, redirect::Again, script::Script},
};
use redis::{Cmd, RedisResult, Value, aio::MultiplexedConnection};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What Redis is to do.
#[derive(Debug)]
pub(super) enum Doing {
    /// A command.
    Command(Cmd),
    /// A script, with what stands behind it: the number of keys, keys, arguments.
    Script(&'static Script, Vec<Vec<u8>>),
    /// A script that may publish, for which the last argument says how.
    Telling(&'static Script, Vec<Vec<u8>>),
}

impl Doing {
    /// `script`, which publishes nothing, with `keys` and `arguments`.
    pub(super) fn script<K: AsRef<str>>(script: &'static Script, keys: &[K], arguments: Vec<Vec<u8>>) -> Self {
        Self::Script(script, behind(keys, arguments))
    }

    /// `script`, which may publish, with `keys` and `arguments`.
    pub(super) fn telling<K: AsRef<str>>(script: &'static Script, keys: &[K], arguments: Vec<Vec<u8>>) -> Self {
        Self::Telling(script, behind(keys, arguments))
    }

    async fn done(&self, connection: &mut MultiplexedConnection, kind: Kind) -> RedisResult<Value> {
        match self {
            Self::Command(command) => connection.send_packed_command(command).await,
            Self::Script(script, arguments) => script.run(connection, arguments).await,
            Self::Telling(script, arguments) => script.run(connection, &(arguments, kind.publish())).await,
        }
    }
}

fn behind<K: AsRef<str>>(keys: &[K], arguments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let names = keys.iter().map(|key| key.as_ref().as_bytes().to_vec());
    [keys.len().to_string().into_bytes()].into_iter().chain(names).chain(arguments).collect()
}

/// What is to be done, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Call {
    doing: Arc<Doing>,
    doubt: Arc<Doubt>,
    answer: oneshot::Sender<Result<Value, Unanswered>>,
}

impl Call {
    pub(super) fn new(doing: Arc<Doing>, doubt: Arc<Doubt>) -> (Self, oneshot::Receiver<Result<Value, Unanswered>>) {
        let (answer, answered) = oneshot::channel();
        (Self { doing, doubt, answer }, answered)
    }

    /// Has it done, unless nobody waits any more.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more.
    pub(super) async fn make(self, mut connection: MultiplexedConnection, kind: Kind) -> RedisResult<()> {
        if self.answer.is_closed() {
            return Ok(());
        }
        let reply = self.doing.done(&mut connection, kind).await?;
        let outcome = match (Again::in_reply(&reply), reply) {
            (Some(again), _) => Err(self.doubt.about(again)),
            (None, Value::ServerError(error)) => Err(Unanswered::Failed(ReadError::Unavailable(refusal(&error)))),
            (None, reply) => Ok(reply),
        };
        // One who has gone needs no answer.
        let _ = self.answer.send(outcome);
        Ok(())
    }
}
