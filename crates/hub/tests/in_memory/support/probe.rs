//! A transport that tells what its shard did with it.

use fanwire_hub::{Transport, transport::Pipe};
use futures_util::future::BoxFuture;
use std::{
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::Notify;

/// A pipe and what was done with it.
#[derive(Debug)]
pub(crate) struct Probe {
    pipe: Arc<Pipe>,
    attempts: AtomicUsize,
    writes: AtomicUsize,
    finished: AtomicBool,
    aborted: AtomicBool,
    broken: AtomicBool,
    late: AtomicBool,
    woken: Notify,
}

impl Probe {
    pub(crate) fn new(pipe: Arc<Pipe>) -> Arc<Self> {
        let (attempts, writes, finished, aborted, broken, late, woken) = Default::default();
        Arc::new(Self { pipe, attempts, writes, finished, aborted, broken, late, woken })
    }

    /// How many writes were tried.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Relaxed)
    }

    /// How many writes took bytes.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Relaxed)
    }

    /// Whether the write side was ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Relaxed)
    }

    /// Whether the socket was reset.
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    /// Holds back the next news that the socket takes more, until [`Self::wake`].
    pub(crate) fn wake_late(&self) {
        self.late.store(true, Relaxed);
    }

    /// Lets the news through that was held back.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Lets every further write fail.
    pub(crate) fn break_writes(&self) {
        self.broken.store(true, Relaxed);
    }
}

impl Transport for Probe {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.is_finished() && !self.is_aborted(), "nothing is written to a socket that was ended");
        self.attempts.fetch_add(1, Relaxed);
        if self.broken.load(Relaxed) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let written = self.pipe.try_write_vectored(buffers);
        self.writes.fetch_add(usize::from(matches!(written, Ok(1..))), Relaxed);
        written
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            Arc::clone(&self.pipe).writable().await;
            if self.late.load(Relaxed) {
                self.woken.notified().await;
            }
        })
    }

    fn finish(&self) {
        self.finished.store(true, Relaxed);
        self.pipe.finish();
    }

    fn abort(&self) {
        self.aborted.store(true, Relaxed);
        self.pipe.abort();
    }
}
