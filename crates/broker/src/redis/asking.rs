//! What is asked on the reading connection.

use crate::{
    ReadError,
    redis::{call::Call, kind::Kind, question::Question},
};
use redis::{RedisResult, aio::MultiplexedConnection};

/// Something that is asked, and whoever waits for the answer.
#[derive(Debug)]
pub(super) enum Asking {
    /// A part of a history.
    History(Box<Question>),
    /// Anything about members.
    Members(Call),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The server has not got what is asked about, or not now; it has done nothing.
    Elsewhere,
    Failed(ReadError),
}

impl Asking {
    /// Asks Redis, which is used with this `kind` of Pub/Sub, unless nobody waits any more.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more.
    pub(super) async fn ask(self, connection: MultiplexedConnection, kind: Kind) -> RedisResult<()> {
        match self {
            Self::History(question) => question.ask(connection).await,
            Self::Members(call) => call.make(connection, kind).await,
        }
    }
}

impl From<Question> for Asking {
    fn from(question: Question) -> Self {
        Self::History(Box::new(question))
    }
}

impl From<Call> for Asking {
    fn from(call: Call) -> Self {
        Self::Members(call)
    }
}
