//! How sessions ask where a target stands.

use fanwire_broker::ReadError;
use fanwire_protocol::{Position, Target};
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How many sessions may have asked and not been heard. The others wait.
const ASKED: usize = 1024;

/// How long a session waits for the answer. A read takes up to 2 s, and may stand behind others.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a session is told: the place up to which everything was passed on to this node's readers.
pub(crate) type Followed = Result<Position, ReadError>;

/// A session that wants to know where a target stands.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) target: Target,
    /// A place that was read at the broker. If it is of another epoch than that which the relay follows, the relay
    /// reads too before it answers.
    pub(crate) seen: Option<Position>,
    pub(crate) answer: oneshot::Sender<Followed>,
}

/// The way to ask. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Follower(mpsc::Sender<Follow>);

/// The way to ask, and what the relay hears.
pub(crate) fn follower() -> (Follower, mpsc::Receiver<Follow>) {
    let (asked, follows) = mpsc::channel(ASKED);
    (Follower(asked), follows)
}

impl Follower {
    /// The place up to which everything was passed on of `target`, which must be subscribed at the broker and have a
    /// reader that is counted. Whatever is published behind it is passed on, or told as lost.
    pub(crate) async fn follow(&self, target: Target, seen: Option<Position>) -> Followed {
        let (answer, followed) = oneshot::channel();
        let asked = async {
            self.0.send(Follow { target, seen, answer }).await.ok()?;
            followed.await.ok()
        };
        match timeout(PATIENCE, asked).await {
            Ok(Some(followed)) => followed,
            Ok(None) => Err(ReadError::Unavailable("the node is stopping".to_owned())),
            Err(_) => Err(ReadError::Timeout),
        }
    }
}
