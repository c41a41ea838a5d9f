//! The head of a request, until it is complete.
//!
//! Of a connection on which it waits hyper keeps 8 KiB and a large future. Nobody waits with it here: whoever sends half a
//! request costs that half.

use httparse::{EMPTY_HEADER, Error, Request};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once, in bytes.
const CHUNK: usize = 2048;

/// How many headers are looked at where a head may be none: what comes behind them is hyper's to judge.
const LOOKED_AT: usize = 16;

/// A socket of which something was read already, which is read again first.
#[derive(Debug)]
pub(super) struct Begun<S> {
    read: Vec<u8>,
    /// How much of that was read again.
    taken: usize,
    socket: S,
}

impl<S: AsyncRead + Unpin> Begun<S> {
    /// Waits until there is a head, or can be none: since it has more than `limit` bytes, is no HTTP, or the socket has
    /// ended. Which of these it is shows when it is read.
    pub(super) async fn wait(mut socket: S, limit: usize) -> Self {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            let ended = !matches!(poll_fn(|context| read(&mut socket, context, &mut head)).await, Ok(1..));
            if ended || head.len() >= limit || is_over(&head, before) {
                return Self { read: head, taken: 0, socket };
            }
        }
    }
}

impl<S> Begun<S> {
    /// The socket, and what was not read again.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        let Self { mut read, taken, socket } = self;
        read.drain(..taken);
        (socket, read)
    }
}

/// Appends what there is to `head`, by way of the stack: what is waited for takes no memory.
fn read(
    socket: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    head: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut chunk = [0; CHUNK];
    let mut chunk = ReadBuf::new(&mut chunk);
    ready!(Pin::new(socket).poll_read(context, &mut chunk))?;
    head.extend_from_slice(chunk.filled());
    Poll::Ready(Ok(chunk.filled().len()))
}

/// Whether `head`, of which the first `before` bytes were looked at before, ends, or is none.
fn is_over(head: &[u8], before: usize) -> bool {
    // Empty lines may stand before a request (RFC 9112, section 2.2).
    let begin = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    let new = head.get(begin.max(before.saturating_sub(2))..).unwrap_or_default();
    let ends = new.windows(2).any(|end| end == b"\n\n") || new.windows(3).any(|end| end == b"\n\r\n");
    // Only at first, for else it would be much to look at what comes byte by byte. hyper does the same.
    ends || (before == 0 && is_none(head))
}

fn is_none(head: &[u8]) -> bool {
    let mut headers = [EMPTY_HEADER; LOOKED_AT];
    Request::new(&mut headers).parse(head).is_err_and(|error| error != Error::TooManyHeaders)
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = self.read.get(self.taken..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, to);
        }
        let taken = rest.len().min(to.remaining());
        to.put_slice(&rest[..taken]);
        self.taken += taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// How many bytes of `sent`, which come one by one, are waited for.
    async fn waited_for(sent: &[u8], limit: usize) -> usize {
        let (mut client, node) = duplex(1);
        let sending = async {
            let _ = client.write_all(sent).await;
            drop(client);
        };
        let waiting = async {
            let begun = Begun::wait(node, limit).await;
            begun.into_parts().1.len()
        };
        tokio::join!(waiting, sending).0
    }

    #[tokio::test]
    async fn a_head_is_waited_for_to_its_end() {
        let frames = [HEAD, b"frames"].concat();
        assert_eq!(waited_for(&frames, 1024).await, HEAD.len());
        assert_eq!(waited_for(&[b"\r\n\r\n", HEAD].concat(), 1024).await, HEAD.len() + 4);
        assert_eq!(waited_for(b"GET / HTTP/1.1\nHost: a\n\nframes", 1024).await, 24);
        assert_eq!(waited_for(&HEAD[..20], 1024).await, 20);
        assert_eq!(waited_for(HEAD, 10).await, 10);
        assert_eq!(waited_for(b"\0more", 1024).await, 1);
        assert_eq!(waited_for(b"", 1024).await, 0);
    }

    #[tokio::test]
    async fn what_was_read_is_read_again_before_what_follows() {
        let (mut client, node) = duplex(1024);
        let frames = [HEAD, b"frames"].concat();
        client.write_all(&frames).await.unwrap();
        let mut begun = Begun::wait(node, 1024).await;
        client.write_all(b"more").await.unwrap();
        let mut again = vec![0; frames.len() + 4];
        begun.read_exact(&mut again[..5]).await.unwrap();
        begun.read_exact(&mut again[5..]).await.unwrap();
        assert_eq!(again, [&frames, &b"more"[..]].concat());
        begun.write_all(b"answer").await.unwrap();
        let (node, rest) = begun.into_parts();
        assert!(rest.is_empty());
        drop(node);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[test]
    fn many_headers_at_once_are_no_end() {
        let many = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(LOOKED_AT + 1));
        assert!(!is_over(many.as_bytes(), 0));
        assert!(is_over(format!("{many}\r\n").as_bytes(), many.len()));
    }
}
