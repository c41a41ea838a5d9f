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

/// A pipe and what was done with it.
#[derive(Debug)]
pub(crate) struct Probe {
    pipe: Arc<Pipe>,
    writes: AtomicUsize,
    finished: AtomicBool,
    aborted: AtomicBool,
    broken: AtomicBool,
}

impl Probe {
    pub(crate) fn new(pipe: Arc<Pipe>) -> Arc<Self> {
        let (writes, finished, aborted, broken) = Default::default();
        Arc::new(Self { pipe, writes, finished, aborted, broken })
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

    /// Lets every further write fail.
    pub(crate) fn break_writes(&self) {
        self.broken.store(true, Relaxed);
    }
}

impl Transport for Probe {
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.is_finished() && !self.is_aborted(), "nothing is written to a socket that was ended");
        if self.broken.load(Relaxed) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let written = self.pipe.try_write_vectored(buffers);
        self.writes.fetch_add(usize::from(matches!(written, Ok(1..))), Relaxed);
        written
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Arc::clone(&self.pipe).writable()
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
