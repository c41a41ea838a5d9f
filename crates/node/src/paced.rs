//! A socket that is read no faster than it may be: what comes faster waits in the kernel, and then at the peer.

use crate::pace::{Bucket, Rate};
use fanwire_hub::{Activity, Clock};
use prometheus::IntCounter;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep_until},
};

/// How long nobody looks whether the connection has ended, in milliseconds.
const LOOK: u64 = 1000;

/// How much may be read at once in any case, in bytes: no read is worth less.
const LEAST: u64 = 1024;

/// The read side of a socket.
pub(crate) struct Paced<R> {
    socket: R,
    /// Boxed, for most nodes have none.
    gate: Option<Box<Gate>>,
}

/// What holds reading up while bytes are ahead of their rate. They are by [`LEAST`] at most, and by
/// what came before.
pub(crate) struct Gate {
    rate: Rate,
    bytes: Bucket,
    clock: Clock,
    activity: Arc<Activity>,
    throttled: IntCounter,
    /// While it is closed.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<R> Paced<R> {
    /// Reads `socket` as fast as `gate` lets it.
    pub(crate) fn new(socket: R, gate: Option<Gate>) -> Self {
        Self { socket, gate: gate.map(Box::new) }
    }
}

impl Gate {
    /// Lets bytes through at `rate`, of which `read` came before. Notes in `activity` for how long nothing can arrive,
    /// and counts in `throttled` how often it closes.
    pub(crate) fn new(rate: Rate, read: usize, clock: Clock, activity: Arc<Activity>, throttled: IntCounter) -> Self {
        let mut bytes = Bucket::default();
        bytes.overdraw(rate, read as u64, clock.now());
        Self { rate, bytes, clock, activity, throttled, timer: None }
    }

    /// Ready when something may be read. Always so once the connection has ended: what is read then is thrown away.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (now, opens) = (self.clock.now(), self.bytes.is_even_at(self.rate));
            if now >= opens || self.activity.ended_by().is_some() {
                self.timer = None;
                return Poll::Ready(());
            }
            // What answers a ping waits with the rest: it is not the peer that is silent.
            self.activity.arrived(opens);
            ready!(self.poll_timer(now, opens, cx));
        }
    }

    /// How many bytes may be read now.
    fn room(&self) -> usize {
        let left = self.bytes.left(self.rate, self.clock.now()).max(LEAST);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn poll_timer(&mut self, now: u64, opens: u64, cx: &mut Context<'_>) -> Poll<()> {
        let next = self.clock.at(opens.min(now + LOOK));
        let timer = self.timer.get_or_insert_with(|| {
            self.throttled.inc();
            Box::pin(sleep_until(next))
        });
        if timer.is_elapsed() {
            timer.as_mut().reset(next);
        }
        timer.as_mut().poll(cx)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Paced<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, gate } = self.get_mut();
        let Some(gate) = gate else { return Pin::new(socket).poll_read(cx, buffer) };
        ready!(gate.poll_open(cx));
        let room = gate.room().min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(socket).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        gate.bytes.overdraw(gate.rate, read as u64, gate.clock.now());
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::CloseReason;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{Instant, sleep, timeout},
    };

    struct Rig {
        reader: Paced<DuplexStream>,
        peer: DuplexStream,
        activity: Arc<Activity>,
        throttled: IntCounter,
        begun: Instant,
    }

    impl Rig {
        /// 1,000 bytes a second, 100 at once, of which `read` came before.
        fn new(read: usize) -> Self {
            let (socket, peer) = duplex(1 << 20);
            let (activity, throttled) = (Arc::new(Activity::default()), IntCounter::new("x", "x").unwrap());
            let rate = Rate::new(1000, 100).unwrap();
            let gate = Gate::new(rate, read, Clock::start(), Arc::clone(&activity), throttled.clone());
            Self { reader: Paced::new(socket, Some(gate)), peer, activity, throttled, begun: Instant::now() }
        }

        /// Reads `count` bytes, as few at a time; when they are there, in milliseconds.
        async fn read(&mut self, count: usize, at_once: usize) -> u128 {
            let mut left = count;
            while left > 0 {
                let mut buffer = vec![0; at_once.min(left)];
                left -= self.reader.read(&mut buffer).await.unwrap();
            }
            self.begun.elapsed().as_millis()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_come_at_the_rate_and_are_all_there() {
        let mut rig = Rig::new(0);
        rig.peer.write_all(&[7; 5000]).await.unwrap();
        assert_eq!(rig.read(100, 10).await, 0);
        assert_eq!(rig.throttled.get(), 0);
        // The last read need not wait for its own bytes.
        let took = rig.read(4900, 10).await;
        assert!((4880..=4900).contains(&took), "{took} ms");
        assert!(rig.throttled.get() > 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_read_is_cut_to_what_may_come() {
        let mut rig = Rig::new(0);
        rig.peer.write_all(&[7; 5000]).await.unwrap();
        let mut buffer = [0; 5000];
        let mut reads = Vec::new();
        while rig.begun.elapsed() < Duration::from_secs(2) {
            reads.push(rig.reader.read(&mut buffer).await.unwrap());
        }
        assert_eq!(reads, [1024; 4]);
        assert_eq!(rig.begun.elapsed().as_millis(), 2972);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_counts() {
        let mut rig = Rig::new(600);
        rig.peer.write_all(&[7; 10]).await.unwrap();
        assert_eq!(rig.read(10, 10).await, 500);
        assert_eq!(rig.throttled.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_silent_who_is_not_read() {
        let mut rig = Rig::new(60_100);
        rig.peer.write_all(b"pong").await.unwrap();
        assert!(timeout(Duration::from_secs(30), rig.reader.read_u8()).await.is_err());
        assert_eq!(rig.activity.last_arrival(), 60_000);
        assert_eq!((rig.read(4, 4).await, rig.throttled.get()), (60_000, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_ended_is_read_to_its_end() {
        let mut rig = Rig::new(60_100);
        rig.peer.write_all(&[7; 5000]).await.unwrap();
        let activity = Arc::clone(&rig.activity);
        let ends = async {
            sleep(Duration::from_millis(1500)).await;
            activity.end(CloseReason::Draining);
        };
        let (read, ()) = tokio::join!(rig.read(5000, 100), ends);
        assert_eq!(read, 2000);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let (socket, mut peer) = duplex(1 << 20);
        let mut reader = Paced::new(socket, None);
        peer.write_all(&[7; 1 << 16]).await.unwrap();
        let begun = Instant::now();
        reader.read_exact(&mut [0; 1 << 16]).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
