//! The far end of a connection.

use super::{Frame, masked, settle};
use serde_json::Value;
use std::{future::Future, pin::pin, task::Poll, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::{JoinHandle, coop::unconstrained},
    time::timeout,
};

/// A client that reads strictly and writes whatever it is told to.
pub(crate) struct Client {
    peer: DuplexStream,
    session: JoinHandle<()>,
    received: Vec<u8>,
    closed: bool,
}

impl Client {
    pub(crate) fn new(peer: DuplexStream, session: JoinHandle<()>) -> Self {
        Self { peer, session, received: Vec::new(), closed: false }
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, text: &str) {
        self.send_raw(&masked(1, text.as_bytes())).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
    }

    /// Sends bytes as they are, unless the node has ended the socket.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.peer.write_all(bytes).await;
    }

    /// Opcode and payload of all frames that come until everything is idle, whatever they carry.
    pub(crate) async fn raw_frames(&mut self) -> Vec<(u8, Vec<u8>)> {
        settle().await;
        while let Some(Ok(1..)) = now(self.peer.read_buf(&mut self.received)).await {
            settle().await;
        }
        let mut frames = Vec::new();
        while let Some((opcode, payload, length)) = Frame::parts(&self.received) {
            frames.push((opcode, payload.to_vec()));
            self.received.drain(..length);
        }
        assert!(self.received.is_empty(), "a frame was cut");
        frames
    }

    /// Sends as many copies of `bytes` as the socket takes without waiting and returns how many bytes that were.
    pub(crate) async fn stuff(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(count) = now(self.peer.write(&bytes[taken % bytes.len()..])).await {
            taken += count.unwrap();
        }
        taken
    }

    /// Sends a Close frame.
    pub(crate) async fn close(&mut self, code: u16) {
        self.send_raw(&masked(8, &code.to_be_bytes())).await;
    }

    /// The next frame; waits for it.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.parse() {
                return frame;
            }
            assert!(self.peer.read_buf(&mut self.received).await.unwrap() > 0, "the socket ended before a frame");
        }
    }

    /// The next frame, which must be an event.
    pub(crate) async fn event(&mut self) -> Value {
        match self.frame().await {
            Frame::Event(event) => event,
            other => panic!("{other:?} instead of an event"),
        }
    }

    /// All frames that come until everything is idle.
    pub(crate) async fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            settle().await;
            let Some(count) = now(self.peer.read_buf(&mut self.received)).await else { return frames };
            frames.extend(std::iter::from_fn(|| self.parse()));
            if count.unwrap() == 0 {
                return frames;
            }
        }
    }

    /// Waits for the end of the stream, behind whole frames.
    pub(crate) async fn end(&mut self) {
        assert!(self.received.is_empty(), "a frame was cut or not looked at");
        assert_eq!(self.peer.read(&mut [0]).await.unwrap(), 0, "the socket goes on");
    }

    /// Ends the socket and waits for the end of the session.
    pub(crate) async fn vanish(mut self) {
        drop(std::mem::replace(&mut self.peer, tokio::io::duplex(1).0));
        self.session_ended().await;
    }

    /// Waits for the end of the session, which must neither fail nor take for ever.
    pub(crate) async fn session_ended(&mut self) {
        timeout(Duration::from_secs(3600), &mut self.session).await.expect("the session goes on").unwrap();
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
    // Not to be mistaken for having run for too long.
    let mut future = pin!(unconstrained(future));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
