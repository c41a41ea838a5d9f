//! Reads histories and asks about members: one task for each link, some questions under way at once.

use crate::redis::{asking::Asking, kind::Kind};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::sync::mpsc;

/// How many questions are on their way to Redis at once. It answers one after the other, and each holds up what others
/// publish for as long as it takes.
pub(super) const MAX_IN_FLIGHT: usize = 16;

/// How many questions may wait for their turn.
pub(super) const QUEUE: usize = 256;

/// Takes questions and answers them.
pub(super) struct Histories {
    connection: MultiplexedConnection,
    kind: Kind,
    questions: mpsc::Receiver<Asking>,
    in_flight: FuturesUnordered<BoxFuture<'static, RedisResult<()>>>,
}

impl Histories {
    /// `connection` must have room for [`MAX_IN_FLIGHT`] requests.
    pub(super) fn new(connection: MultiplexedConnection, kind: Kind, questions: mpsc::Receiver<Asking>) -> Self {
        Self { connection, kind, questions, in_flight: FuturesUnordered::new() }
    }

    /// Answers until the connection fails, and returns why. Dropping it drops all questions.
    ///
    /// A question keeps its place until Redis has answered, even if nobody waits any more: those that Redis works on
    /// are as few as they seem.
    pub(super) async fn run(mut self) -> String {
        loop {
            tokio::select! {
                Some(answered) = self.in_flight.next() => {
                    if let Err(error) = answered {
                        return format!("reading from Redis failed: {error}");
                    }
                }
                taken = self.questions.recv(), if self.in_flight.len() < MAX_IN_FLIGHT => match taken {
                    Some(question) => self.in_flight.push(question.ask(self.connection.clone(), self.kind).boxed()),
                    None => return "nobody asks any more".to_owned(),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
