//! The reading half of the subscriber link: one ordered way from Redis to the feed.

use crate::{
    envelope::{self, InvalidEnvelope},
    redis::{
        doubt::Doubt,
        end::End,
        heartbeat::Heartbeat,
        member::Member,
        outlet::Outlet,
        redirect::{Again, Redirect},
        reply::{Replies, Reply},
        watch::Watch,
    },
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::oneshot,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

/// How many bytes are read at once.
const CHUNK: usize = 64 * 1024;

/// A buffer that a long reply made longer than this is given back.
const KEPT: usize = 1024 * 1024;

/// Reads what Redis sends.
pub(super) struct Reader<S> {
    stream: S,
    buffer: BytesMut,
    replies: Replies,
    watch: Watch,
    outlet: Outlet,
    heartbeat: Arc<Heartbeat>,
    member: Arc<Member>,
    doubt: Arc<Doubt>,
    /// Told when the first heartbeat came round.
    came_round: Option<oneshot::Sender<()>>,
    /// Whether the log was told that a newer node is in the cluster.
    told_of_newer: bool,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(super) fn new(
        stream: S,
        (buffer, replies): (BytesMut, Replies),
        outlet: Outlet,
        heartbeat: Arc<Heartbeat>,
        member: Arc<Member>,
        doubt: Arc<Doubt>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        let (watch, came_round, told_of_newer) = (Watch::default(), Some(tell), false);
        let reader =
            Self { stream, buffer, replies, watch, outlet, heartbeat, member, doubt, came_round, told_of_newer };
        (reader, told)
    }

    /// Reads until the link ends.
    pub(super) async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// What one read brings goes into the feed together. While the feed is full nothing is read, and the watch stands.
    async fn turn(&mut self) -> Result<(), End> {
        self.read().await?;
        while let Some(reply) = self.replies.next(&mut self.buffer).map_err(|error| End::Lost(error.to_string()))? {
            self.take(reply).await?;
        }
        self.outlet.flush().await?;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), End> {
        self.buffer.reserve(CHUNK);
        let since = Instant::now();
        let read = timeout(self.watch.patience(), self.stream.read_buf(&mut self.buffer)).await;
        match read {
            Ok(Ok(0)) => Err(End::Lost("Redis closed the subscriber connection".to_owned())),
            Ok(Ok(bytes)) => {
                self.watch.bytes(since.elapsed());
                self.member.metrics.received_bytes.inc_by(bytes as u64);
                Ok(())
            }
            Ok(Err(error)) => Err(End::Lost(format!("reading from Redis failed: {error}"))),
            Err(_) => Err(End::Lost(self.watch.verdict().to_string())),
        }
    }

    async fn take(&mut self, reply: Reply) -> Result<(), End> {
        match reply {
            Reply::Message { name, payload } if self.heartbeat.is(&name) => self.beat(&payload).await,
            Reply::Message { payload, .. } => self.deliver(&payload).await,
            Reply::Confirmed { name, subscribed } => self.confirmed(&name, subscribed).await,
            Reply::Pong => {
                self.member.interest.pong(self.member.id);
                Ok(())
            }
            Reply::Refused(text) => self.refused(&text),
            Reply::Other => Ok(()),
        }
    }

    async fn confirmed(&mut self, name: &str, subscribed: bool) -> Result<(), End> {
        if !subscribed {
            // The name may come from another server next, and what it brings must stand behind what this one brought.
            self.outlet.flush().await?;
        }
        if self.member.interest.confirmed(self.member.id, name, subscribed) {
            self.doubt.raise();
        }
        Ok(())
    }

    fn refused(&mut self, text: &str) -> Result<(), End> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        match Again::read(code, Some(rest)) {
            Some(Again::Elsewhere(redirect)) => {
                let Redirect { slot, .. } = redirect;
                self.doubt.hint(redirect);
                self.member.interest.refused(self.member.id, slot);
                Ok(())
            }
            _ => Err(End::Lost(format!("Redis refused a subscription: {text}"))),
        }
    }

    async fn deliver(&mut self, payload: &Bytes) -> Result<(), End> {
        match envelope::decode(payload) {
            Ok(envelope) => {
                self.member.metrics.received.inc();
                Ok(self.outlet.push(envelope.delivery, payload.len()).await?)
            }
            Err(error) => {
                self.member.metrics.invalid.inc();
                self.skipped(&error, payload.len());
                Ok(())
            }
        }
    }

    /// Tells once a link that a newer node publishes what this one must not read: it would be a line a publication.
    fn skipped(&mut self, error: &InvalidEnvelope, bytes: usize) {
        match error {
            InvalidEnvelope::Version(_) if !std::mem::replace(&mut self.told_of_newer, true) => {
                warn!("skipping what newer nodes publish, until this node is upgraded: {error}");
            }
            // Not the error: it may quote what was published.
            _ => debug!(bytes, "skipped a message from Redis that is no publication"),
        }
    }

    async fn beat(&mut self, payload: &[u8]) -> Result<(), End> {
        let Some(sent) = self.heartbeat.sent_at(payload) else { return Ok(()) };
        self.watch.heartbeat();
        self.member.metrics.heartbeat.observe(sent.elapsed().as_secs_f64());
        if self.outlet.is_holding() {
            self.open().await?;
        }
        self.tell_arrived().await?;
        // Only now: a gap that did not reach the feed is told of by the next link.
        self.member.window.round(sent);
        Ok(())
    }

    /// Tells of what was missed on its way from another server, once all of it is subscribed here.
    async fn tell_arrived(&mut self) -> Result<(), End> {
        if let Some(gap) = self.member.window.arrived()
            && self.member.interest.has_arrived(self.member.id)
        {
            self.outlet.tell(gap).await?;
            self.member.window.told(&gap);
            self.member.metrics.gap(gap.duration);
        }
        Ok(())
    }

    /// The first heartbeat is sent when every subscription is in place. So the link is up now, even if the feed is full.
    async fn open(&mut self) -> Result<(), End> {
        let gap = self.member.window.gap();
        if let Some(came_round) = self.came_round.take() {
            // The link that waits for it has this reader, so it is there.
            let _ = came_round.send(());
        }
        if let Some(gap) = self.outlet.open(gap).await? {
            self.member.window.told(&gap);
            self.member.metrics.gap(gap.duration);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
