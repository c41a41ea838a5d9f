//! What is done for a connection beside its commands.

use super::Sessions;
use bytes::Bytes;
use fanwire_hub::{Activity, ConnectionKey, ShardGone, ShardHandle};
use fanwire_protocol::{ChannelName, ConnectionId, Dialect, Event};
use futures_util::future::BoxFuture;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The way to a connection for what outlasts a command.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) shared: Arc<Sessions>,
    pub(super) shard: ShardHandle,
    pub(super) key: ConnectionKey,
    pub(super) id: ConnectionId,
    pub(super) dialect: Dialect,
    pub(super) activity: Arc<Activity>,
    /// Held by whoever sends pages: one after the other, so that a connection never has more than one waiting.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Peer {
    /// Waits for the turn to send pages.
    pub(super) fn turn(&self) -> impl Future<Output = OwnedMutexGuard<()>> + use<> {
        Arc::clone(&self.turn).lock_owned()
    }

    /// Whether the connection is about to end, so that nothing more need be sent.
    pub(super) fn is_ending(&self) -> bool {
        self.activity.ended_by().is_some()
    }

    pub(super) fn encode(&self, event: &Event) -> Option<Bytes> {
        self.shared.dialects.encode(self.dialect, event)
    }

    /// Sends frames that may be many, as the client takes them.
    pub(super) async fn page(&self, frames: Vec<Bytes>) -> Result<(), ShardGone> {
        if frames.is_empty() { Ok(()) } else { self.shard.page(self.key, frames).await }
    }

    /// Sends an event that stands behind what was sent before.
    pub(super) async fn tell(&self, event: &Event) -> Result<(), ShardGone> {
        match self.encode(event) {
            Some(frame) => self.shard.answer(self.key, frame).await,
            None => Ok(()),
        }
    }
}

/// What something is done about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// A channel is being joined.
    Channel(ChannelName),
    /// Broadcasts are being recovered.
    Broadcasts,
    /// A long answer is being sent.
    Answer,
}

type Work = BoxFuture<'static, Result<(), ShardGone>>;

/// All that is under way for a connection beside its commands. It exists only as long as anything is.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) turn: Arc<Mutex<()>>,
    works: Vec<(About, Work)>,
}

impl Beside {
    pub(super) fn begin(&mut self, about: About, work: Work) {
        self.works.push((about, work));
    }

    /// Gives up what is done about `about`.
    pub(super) fn give_up(&mut self, about: &About) {
        self.works.retain(|(of, _)| of != about);
    }

    /// How many are about `about`.
    pub(super) fn count(&self, about: &About) -> usize {
        self.works.iter().filter(|(of, _)| of == about).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    /// Goes on with everything; ready when one has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ShardGone>> {
        for index in 0..self.works.len() {
            if let Poll::Ready(result) = self.works[index].1.as_mut().poll(cx) {
                // In order, for they take turns.
                drop(self.works.remove(index));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }
}
