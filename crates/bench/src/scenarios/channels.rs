//! Scenario: many channels with one subscriber each.

use crate::{
    Error,
    messages::{Drive, Messages, Shape},
    options::{MOST_SUBSCRIBERS, Output, Subject, parse_rate},
    rounds::Report,
    stage::Round,
};
use clap::Args;
use serde_json::json;

/// How many channels, how fast, how long.
#[derive(Debug, Clone, Args)]
pub struct Channels {
    #[command(flatten)]
    subject: Subject,
    /// Channels, each with a subscriber of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..MOST_SUBSCRIBERS))]
    channels: u32,
    /// Messages a second to all channels together, to one after the other
    #[arg(long, default_value = "20000", value_parser = parse_rate)]
    rate: f64,
    #[command(flatten)]
    shape: Shape,
}

impl Channels {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.subject.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report<Round>, Error> {
        let speech = self.subject.speech()?;
        let Shape { size, seconds, warmup, burst, processes } = self.shape;
        let settings = json!({
            "dialect": speech.name(), "channels": self.channels, "size": size, "seconds": seconds, "warmup": warmup,
            "rate": self.rate, "burst": burst, "processes": processes.count,
        });
        let (channels, drive) = (self.channels, Drive::Rate(self.rate));
        let messages = Messages { subscribers: channels, channels, drive, shape: self.shape };
        Report::play("channels", settings, (&self.subject, speech), async |arena| messages.play(&arena).await).await
    }
}
