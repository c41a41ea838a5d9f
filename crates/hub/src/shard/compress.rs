//! Long messages are compressed on other threads, while their channel waits and others go on.

use super::Shard;
use crate::channel::Batch;
use fanwire_protocol::Encoding;
use futures_util::Stream;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::task::spawn_blocking;

/// The longest content that is compressed between two deliveries, in bytes. It takes half a millisecond, less than the
/// writes of a turn.
pub(crate) const AT_ONCE: usize = 64 << 10;

/// The outcome for a channel's batch.
#[derive(Debug)]
pub(super) struct Compressed {
    channel: usize,
    /// Whether it panicked.
    failed: bool,
}

impl Shard {
    /// The encoding for the next member of a walk, where that has to be compressed and is too long to be at once.
    pub(super) fn costly(&self, channel: usize, batch: &Batch) -> Option<Encoding> {
        let member = self.channels[channel].roster.ahead(1).next()?;
        let encoding = self.connections[member].encoding();
        batch.publications.iter().any(|publication| publication.is_costly(encoding, AT_ONCE)).then_some(encoding)
    }

    /// Has a batch compressed. Its channel keeps its place in the queue meanwhile, so that nobody else puts it there.
    pub(super) fn compress(&mut self, channel: usize, batch: Box<Batch>, encoding: Encoding) {
        let (publications, dialects) = (batch.publications.clone(), self.terms.dialects.clone());
        let turn = Arc::clone(&self.compressor);
        self.channels[channel].batch = Some(batch);
        self.channels[channel].parked = true;
        self.compressing.push(Box::pin(async move {
            // One at a time, so that a shard has one more thread at most.
            let _turn = turn.acquire_owned().await;
            let done = spawn_blocking(move || dialects.frames(encoding, &publications, &mut Vec::new())).await;
            Compressed { channel, failed: done.is_err() }
        }));
    }

    /// Goes on with channels whose batch is compressed.
    pub(super) fn poll_compressing(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(Compressed { channel: key, failed })) = Pin::new(&mut self.compressing).poll_next(cx)
        {
            let channel = &mut self.channels[key];
            channel.parked = false;
            // What has failed by a bug is not tried there again, but here, where the node ends by it.
            channel.batch.iter_mut().filter(|_| failed).for_each(|batch| batch.is_long = false);
            self.queue.push_back(key);
            progress = true;
        }
        progress
    }
}
