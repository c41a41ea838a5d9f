//! Many connections at once.

use crate::{
    Error, Target,
    dialect::Dialect,
    websocket::{Options, Scratch, WebSocket},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{net::IpAddr, sync::Arc};
use tokio_rustls::rustls::ClientConfig;

/// How many connections are being opened at a time: enough to keep a node busy, less than any listen backlog.
const AT_ONCE: usize = 64;

/// File descriptors that the process needs besides its measured sockets.
const SPARE_DESCRIPTORS: u64 = 64;

/// A crowd of subscribers to open.
#[derive(Debug, Clone, Copy)]
pub struct Crowd<'a> {
    /// Nodes, taken in turn.
    pub targets: &'a [Target],
    /// What connections with TLS are made with.
    pub tls: Option<&'a Arc<ClientConfig>>,
    /// What is spoken.
    pub dialect: Dialect,
    /// What each subscribes to.
    pub channel: &'a str,
    /// `SO_RCVBUF` of each, in bytes.
    pub receive_buffer: Option<u32>,
    /// Where they connect from; the system's choice if absent.
    pub source: Option<IpAddr>,
    /// How many.
    pub count: usize,
}

impl Crowd<'_> {
    /// Opens the connections and subscribes each.
    pub async fn open(self, scratch: &Scratch) -> Result<Vec<WebSocket>, Error> {
        let turns = self.targets.iter().cycle().take(self.count);
        let opening = turns.map(|target| self.open_one(target, scratch));
        stream::iter(opening).buffered(AT_ONCE).try_collect().await
    }

    async fn open_one(self, target: &Target, scratch: &Scratch) -> Result<WebSocket, Error> {
        let Self { dialect, receive_buffer, source, .. } = self;
        let mut socket = WebSocket::connect(target, self.tls, Options { dialect, receive_buffer, source }).await?;
        socket.subscribe(scratch, self.channel).await?;
        Ok(socket)
    }
}

/// Raises this process's limit of file descriptors so that `sockets` fit.
pub fn make_room(sockets: usize) -> Result<(), Error> {
    let wanted = sockets as u64 + SPARE_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(wanted.max(1024)).map_err(Error::system("limit of file descriptors"))?;
    if limit < wanted { Err(Error::Descriptors { wanted, limit }) } else { Ok(()) }
}
