//! A load of messages for subscribers, as `fanout` and `channels` put it on a server, and on the floor.

use crate::{
    Error,
    arena::{Arena, Seats},
    marker::LEAST_SIZE,
    options::{MOST_SECONDS, MOST_SIZE, Processes},
    pace::{Pace, Schedule},
    publisher::{Confirm, Plan},
    stage::{Round, Stage, soon},
    subscriber::follow,
};
use clap::Args;
use std::time::Duration;

/// How large messages are, and for how long they come.
#[derive(Debug, Clone, Copy, Args)]
pub struct Shape {
    /// Bytes of content a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    pub size: u32,
    /// Seconds to measure
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    pub seconds: u32,
    /// Seconds before them that are not measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=MOST_SECONDS))]
    pub warmup: u32,
    /// Messages that are sent together; the rate stays
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub burst: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "its fields say it")]
    pub processes: Processes,
}

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Messages {
    /// Subscribers, each of one channel.
    pub subscribers: u32,
    /// Channels, published to in turn.
    pub channels: u32,
    /// How fast.
    pub drive: Drive,
    /// How large, how long.
    pub shape: Shape,
}

/// What drives the publisher.
#[derive(Debug, Clone, Copy)]
pub enum Drive {
    /// The clock: so many messages a second in all.
    Rate(f64),
    /// Confirmations: at most so many messages are unconfirmed.
    Window(u32, Confirm),
}

impl Messages {
    /// One round.
    pub async fn play(&self, arena: &Arena) -> Result<Round, Error> {
        let stage = Stage::open(arena, &self.seats(), follow).await?;
        let (_, round) = stage.play(self.plan(), Duration::from_secs(self.shape.warmup.into())).await?;
        Ok(round)
    }

    fn seats(&self) -> Seats {
        // Paced by a rate, nothing is confirmed; asking for answers would only cost the server.
        let confirm = match self.drive {
            Drive::Rate(_) => Confirm::Subscriber,
            Drive::Window(_, confirm) => confirm,
        };
        let (channels, processes) = (self.channels, self.shape.processes.count);
        Seats { channels, processes, confirm, ..Seats::of(self.subscribers, self.shape.size) }
    }

    fn plan(&self) -> Plan {
        let start = soon();
        let until = start + Duration::from_secs(u64::from(self.shape.warmup) + u64::from(self.shape.seconds));
        let pace = match self.drive {
            Drive::Rate(rate) => Pace::Open(Schedule { start, rate, burst: self.shape.burst.into() }),
            Drive::Window(window, _) => Pace::Window(window.into()),
        };
        Plan { start, pace, most: u64::MAX, until: Some(until) }
    }
}
