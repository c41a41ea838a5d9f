//! Where handshakes of the public port are made.
//!
//! A handshake is milliseconds of arithmetic with some keys. On the thread of a shard or of the relay, many at once would
//! hold up every delivery; here the system shares the processors out.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that make handshakes, up to the upgrade.
#[derive(Debug)]
pub(crate) struct HandshakeThreads {
    runtime: Option<Runtime>,
    /// Where to spawn handshakes, while this lives.
    pub(crate) handle: Handle,
}

impl HandshakeThreads {
    /// Starts half as many as there are `shards`.
    pub(crate) fn start(shards: usize) -> io::Result<Self> {
        let threads = shards.div_ceil(2).max(1);
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).thread_name("handshakes").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for HandshakeThreads {
    fn drop(&mut self) {
        // Not by dropping it, which waits, and so may not be done from within a runtime.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
