//! A thread and a runtime for each shard.
//!
//! A shard shares its thread with the sessions of its connections, so that a command and its answer never leave it.

use fanwire_hub::Shard;
use futures_util::future::select_all;
use std::{future::Future, io, thread};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// The running shards.
#[derive(Debug)]
pub(crate) struct ShardThreads {
    handles: Vec<Handle>,
    ended: Vec<oneshot::Receiver<()>>,
}

impl ShardThreads {
    /// Starts a thread for each of `shards`.
    pub(crate) fn start(shards: Vec<Shard>) -> io::Result<Self> {
        let (handles, ended) = shards
            .into_iter()
            .enumerate()
            .map(|(index, shard)| start(index, shard))
            .collect::<io::Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        Ok(Self { handles, ended })
    }

    /// The runtimes, by the index of their shard.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Resolves when one of the shards has ended, which none does while the node runs, unless it fails.
    pub(crate) fn any_ended(self) -> impl Future<Output = ()> {
        let first = select_all(self.ended);
        async move {
            // A thread that fails drops its sender, which ends its receiver too.
            let _ = first.await;
        }
    }
}

fn start(index: usize, shard: Shard) -> io::Result<(Handle, oneshot::Receiver<()>)> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("can't start the thread of shard {index}: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(named)?;
    let handle = runtime.handle().clone();
    let (alive, ended) = oneshot::channel::<()>();
    let spawned = thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
        // Dropped when the thread ends, by a panic too.
        let _alive = alive;
        runtime.block_on(shard.run());
    });
    spawned.map(|_| (handle, ended)).map_err(named)
}

#[cfg(test)]
mod tests;
