//! A connection: its session's side towards the shard, and its peer's end of the socket.

use super::{Frame, channel, probe::Probe, settle, text};
use fanwire_hub::{Activity, ConnectionKey, Interest, Joined, ShardHandle, transport::PipeReader};
use fanwire_protocol::{CloseReason, ConnectionId, Position};
use std::{future::Future, pin::pin, sync::Arc, task::Poll};
use tokio::io::{AsyncReadExt, DuplexStream};

/// One connection, seen from both ends.
pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) key: ConnectionKey,
    /// Where it stands among broadcasts.
    pub(crate) place: Option<Position>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) transport: Arc<Probe>,
    pub(crate) shard: ShardHandle,
    pub(crate) interest: Arc<Interest>,
    index: usize,
    session: PipeReader,
    peer: DuplexStream,
    received: Vec<u8>,
    closed: bool,
}

impl Client {
    #[expect(clippy::too_many_arguments, reason = "called once, by the fixture")]
    pub(crate) fn new(
        shard: ShardHandle,
        key: ConnectionKey,
        place: Option<Position>,
        id: ConnectionId,
        index: usize,
        activity: Arc<Activity>,
        transport: Arc<Probe>,
        session: PipeReader,
        peer: DuplexStream,
        interest: Arc<Interest>,
    ) -> Self {
        let (received, closed) = (Vec::new(), false);
        Self { id, key, place, activity, transport, shard, interest, index, session, peer, received, closed }
    }

    /// Joins a channel; the answer is `joined NAME`.
    pub(crate) async fn join(&self, name: &str) {
        let subscription = self.interest.subscribe(&channel(name), self.index);
        self.shard.join(self.key, subscription, Some(text(&format!("joined {name}")).bytes())).await.unwrap();
    }

    /// Joins a channel with a history at a place; the answer is `joined NAME`. Whether it is live.
    pub(crate) fn join_at(&self, name: &str, place: Position) -> impl Future<Output = bool> + Send + use<> {
        let subscription = self.interest.subscribe(&channel(name), self.index);
        let answer = Some(text(&format!("joined {name}")).bytes());
        let joined = self.shard.join_at(self.key, subscription, place, answer);
        async { matches!(joined.await.unwrap(), Joined::Live) }
    }

    /// Leaves a channel; the answer is `left NAME`.
    pub(crate) async fn leave(&self, name: &str) {
        self.shard.leave(self.key, channel(name), Some(text(&format!("left {name}")).bytes())).await.unwrap();
    }

    /// Answers with a text.
    pub(crate) async fn answer(&self, answer: &str) {
        self.shard.answer(self.key, text(answer).bytes()).await.unwrap();
    }

    /// Closes the connection from our side.
    pub(crate) async fn close(&self, reason: CloseReason) {
        self.shard.close(self.key, reason).await.unwrap();
    }

    /// The peer has sent a Close frame.
    pub(crate) async fn peer_closed(&self, code: Option<u16>) {
        self.shard.peer_closed(self.key, code).await.unwrap();
    }

    /// The session has ended.
    pub(crate) async fn gone(&self) {
        self.shard.gone(self.key).await.unwrap();
    }

    /// Whether the session's side of the socket has ended.
    pub(crate) async fn session_ended(&mut self) -> bool {
        matches!(now(self.session.read(&mut [0])).await, Some(Ok(0)))
    }

    /// The next frame; waits for it.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.parse() {
                return frame;
            }
            assert!(
                self.peer.read_buf(&mut self.received).await.unwrap() > 0,
                "the socket ended, a frame was expected"
            );
        }
    }

    /// Reads at most `limit` bytes that are there and returns the frames that are complete with them.
    pub(crate) async fn read_some(&mut self, limit: usize) -> Vec<Frame> {
        let mut buffer = vec![0; limit];
        let count = now(self.peer.read(&mut buffer)).await.map_or(0, Result::unwrap);
        self.received.extend_from_slice(&buffer[..count]);
        std::iter::from_fn(|| self.parse()).collect()
    }

    /// All frames that come until everything is idle.
    pub(crate) async fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            settle().await;
            let before = (self.received.len(), frames.len());
            frames.extend(self.read_some(1 << 20).await);
            if before == (self.received.len(), frames.len()) {
                return frames;
            }
        }
    }

    /// How many bytes of a frame that is not complete were received.
    pub(crate) fn partial(&self) -> usize {
        self.received.len()
    }

    /// Whether the peer reads the end of the stream.
    pub(crate) async fn ended(&mut self) -> bool {
        assert_eq!(self.partial(), 0, "a frame was cut");
        matches!(now(self.peer.read(&mut [0])).await, Some(Ok(0)))
    }

    fn parse(&mut self) -> Option<Frame> {
        let (frame, length) = Frame::parse(&self.received)?;
        assert!(!self.closed, "{frame:?} came after a Close frame");
        self.closed = matches!(frame, Frame::Close(..));
        self.received.drain(..length);
        Some(frame)
    }
}

/// What a future gives without waiting.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
