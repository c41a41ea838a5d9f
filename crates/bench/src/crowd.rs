//! Many connections at once.

use crate::{
    Error, Target,
    lane::Channels,
    memory::available,
    websocket::{Options, Scratch, WebSocket},
};
use futures_util::{StreamExt, stream};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::rustls::ClientConfig;

/// How many connections are being opened at a time: enough to keep a node busy, less than any listen backlog.
const AT_ONCE: usize = 64;

/// The memory of the machine is looked at once in so many connections.
const LOOK_EVERY: usize = 64;

/// File descriptors that the process needs besides its measured sockets.
const SPARE_DESCRIPTORS: u64 = 64;

/// A crowd of subscribers to open.
#[derive(Debug)]
pub struct Crowd<'a> {
    /// Nodes, taken in turn.
    pub targets: &'a [Target],
    /// What connections with TLS are made with.
    pub tls: Option<&'a Arc<ClientConfig>>,
    /// How each connects.
    pub options: &'a Options,
    /// What they subscribe to, each to one.
    pub channels: &'a Channels,
    /// The number of the first of them among all subscribers of a run.
    pub first: u32,
    /// How many.
    pub count: usize,
    /// How many a second at most; as fast as can be if absent.
    pub ramp: Option<f64>,
    /// No more are opened when the machine has less memory than this available, in bytes.
    pub least_memory: u64,
}

impl Crowd<'_> {
    /// Opens the connections and subscribes each, and tells `each` how many are open. Fewer than asked for come back when
    /// memory ran short.
    pub async fn open(&self, scratch: &Scratch, each: impl Fn(usize)) -> Result<Vec<WebSocket>, Error> {
        let start = Instant::now();
        let opening = (0..self.count)
            .zip(self.targets.iter().cycle())
            .take_while(|(index, _)| self.is_room(*index))
            .map(|(index, target)| self.open_one(index, target, scratch, start));
        let mut open = Vec::with_capacity(self.count);
        let mut opening = stream::iter(opening).buffered(AT_ONCE);
        while let Some(socket) = opening.next().await {
            open.push(socket?);
            each(open.len());
        }
        Ok(open)
    }

    fn is_room(&self, index: usize) -> bool {
        self.least_memory == 0
            || !index.is_multiple_of(LOOK_EVERY)
            || available().is_none_or(|free| free >= self.least_memory)
    }

    async fn open_one(
        &self,
        index: usize,
        target: &Target,
        scratch: &Scratch,
        start: Instant,
    ) -> Result<WebSocket, Error> {
        if let Some(ramp) = self.ramp {
            sleep_until(start + Duration::from_secs_f64(index as f64 / ramp)).await;
        }
        let channel = self.channels.name(u64::from(self.first) + index as u64);
        let target = target.of_channel(&channel);
        let mut socket = WebSocket::connect(&target, self.tls, self.options.clone()).await?;
        socket.subscribe(scratch, &channel).await?;
        Ok(socket)
    }
}

/// Raises this process's limit of file descriptors so that `sockets` fit.
pub fn make_room(sockets: usize) -> Result<(), Error> {
    let wanted = sockets as u64 + SPARE_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(wanted.max(1024)).map_err(Error::system("limit of file descriptors"))?;
    if limit < wanted { Err(Error::Descriptors { wanted, limit }) } else { Ok(()) }
}
