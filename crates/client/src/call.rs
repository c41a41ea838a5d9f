//! What the handles ask of the task.

use crate::{Content, Error, Members, Position, PresenceStats};
use std::{
    collections::VecDeque,
    future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

/// What the node says of a command that it has carried out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Granted {
    /// Where that is in a history, if there is one.
    pub(crate) position: Option<Position>,
    /// Whether all follows that was asked for.
    pub(crate) recovered: Option<bool>,
    /// If it does, the newest offset at that moment.
    pub(crate) newest: Option<u64>,
    /// Parts of the history, by their offsets.
    pub(crate) publications: Vec<(u64, Content)>,
    /// Members of a channel.
    pub(crate) members: Members,
    /// How many there are.
    pub(crate) stats: Option<PresenceStats>,
}

impl Granted {
    /// The answer whose only news is a place.
    pub(crate) fn at(position: Option<Position>) -> Self {
        Self { position, ..Self::default() }
    }
}

/// What comes of a command.
pub(crate) type Answer = Result<Granted, Error>;

/// Where an answer goes.
pub(crate) type Asker = oneshot::Sender<Answer>;

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Call {
    /// To subscribe to `channel`, from a place on if the user gave one, and with what it says of itself.
    Subscribe { channel: String, since: Option<Position>, info: Option<Content>, asker: Asker },
    /// To unsubscribe from `channel`.
    Unsubscribe { channel: String, asker: Asker },
    /// To send a command.
    Send(Sending),
    /// To close the connection.
    Close,
}

/// A command that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Sending {
    /// What its answer is known by.
    pub(crate) id: u64,
    pub(crate) message: Message,
    pub(crate) kind: Kind,
    pub(crate) asker: Asker,
}

/// What there is to know of a command that is ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Whether it may be sent again, since twice is once.
    pub(crate) repeatable: bool,
    /// Whether it is a broadcast, which its sender doesn't get.
    pub(crate) broadcast: bool,
}

/// Numbers for commands, none given twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids(Arc<AtomicU64>);

impl Ids {
    /// A number that was not given before; they begin with 1.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The calls of all handles, in order.
#[derive(Debug)]
pub(crate) struct Calls {
    queue: mpsc::Receiver<Call>,
    /// What was to be sent while there was no connection.
    kept: VecDeque<Call>,
    handles_gone: bool,
}

impl Calls {
    /// The calls that come by `queue`.
    pub(crate) fn new(queue: mpsc::Receiver<Call>) -> Self {
        Self { queue, kept: VecDeque::new(), handles_gone: false }
    }

    /// Whether no further call can come.
    pub(crate) fn handles_gone(&self) -> bool {
        self.handles_gone
    }

    /// The next call, those kept first. Pending for ever once the handles are gone.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Call>> {
        match self.kept.pop_front() {
            Some(call) => Poll::Ready(Some(call)),
            None => self.poll_new(context),
        }
    }

    /// The next call that nobody has seen yet; `None` when the handles are gone.
    pub(crate) async fn next_new(&mut self) -> Option<Call> {
        future::poll_fn(|context| self.poll_new(context)).await
    }

    fn poll_new(&mut self, context: &mut Context<'_>) -> Poll<Option<Call>> {
        if self.handles_gone {
            return Poll::Pending;
        }
        let call = self.queue.poll_recv(context);
        self.handles_gone = matches!(call, Poll::Ready(None));
        call
    }

    /// Keeps what is to be sent for the next connection.
    pub(crate) fn keep(&mut self, call: Call) {
        self.kept.push_back(call);
    }

    /// Keeps what is to be sent again, before all else.
    pub(crate) fn repeat(&mut self, sent: impl DoubleEndedIterator<Item = Sending>) {
        for sending in sent.rev() {
            self.kept.push_front(Call::Send(sending));
        }
    }

    /// Forgets what nobody waits for any more, and tells how many are kept.
    pub(crate) fn tidy(&mut self) -> usize {
        self.kept.retain(|call| !matches!(call, Call::Send(sending) if sending.asker.is_closed()));
        self.kept.len()
    }
}
