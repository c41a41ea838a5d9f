//! Requests at a rate: a thread that keeps the time, because the runtime's timers are too coarse (1 ms), tells connections
//! in turn that one is due.

use crate::{
    Error,
    latency::{Latency, Summary},
    pace::{Schedule, to_nanos},
};
use std::{
    thread::{self, JoinHandle, sleep},
    time::Instant,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// So many requests may be due at a connection that does not get to send them.
const MOST_DUE: usize = 1024;

/// The thread that keeps the time.
#[derive(Debug)]
pub struct Metronome {
    thread: JoinHandle<Beaten>,
}

/// What it did.
#[derive(Debug)]
pub struct Beaten {
    /// Requests that were due.
    pub due: u64,
    /// Those that were not sent because too many before them were not.
    pub skipped: u64,
    /// By how much they were told late.
    pub lag: Summary,
}

impl Metronome {
    /// Tells each of `connections` in turn, until `until`.
    pub fn start(
        schedule: Schedule,
        until: Instant,
        connections: usize,
    ) -> Result<(Self, Vec<Receiver<Instant>>), Error> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..connections).map(|_| channel(MOST_DUE)).unzip();
        let work = move || beat(schedule, until, &senders);
        let thread = thread::Builder::new().spawn(work).map_err(Error::system("thread that keeps the time"))?;
        Ok((Self { thread }, receivers))
    }

    /// Waits for its end.
    pub async fn end(self) -> Option<Beaten> {
        tokio::task::spawn_blocking(move || self.thread.join().ok()).await.ok().flatten()
    }
}

fn beat(schedule: Schedule, until: Instant, connections: &[Sender<Instant>]) -> Beaten {
    let (mut due, mut skipped, mut lag) = (0, 0, Latency::default());
    for (index, connection) in (0..).zip(connections.iter().cycle()) {
        let instant = schedule.due(index);
        if instant >= until {
            break;
        }
        sleep(instant.saturating_duration_since(Instant::now()));
        lag.record(to_nanos(instant.elapsed()));
        due += 1;
        skipped += u64::from(connection.try_send(instant).is_err());
    }
    Beaten { due, skipped, lag: lag.summary() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn connections_are_told_in_turn_and_none_is_skipped() {
        let schedule = Schedule { start: Instant::now(), rate: 1000.0, burst: 1 };
        let until = schedule.start + Duration::from_millis(10);
        let (metronome, mut receivers) = Metronome::start(schedule, until, 3).unwrap();
        let beaten = metronome.end().await.unwrap();
        assert_eq!((beaten.due, beaten.skipped, beaten.lag.count), (10, 0, 10));
        let told = receivers.iter_mut().map(|receiver| std::iter::from_fn(|| receiver.try_recv().ok()).count());
        assert_eq!(told.collect::<Vec<_>>(), [4, 3, 3]);
    }
}
