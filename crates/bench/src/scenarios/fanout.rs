//! Scenario: one publisher, many subscribers.

use crate::{
    Error,
    messages::{Drive, Messages, Shape},
    options::{MOST_SUBSCRIBERS, Output, Subject, parse_rate},
    publisher::Confirm,
    rounds::Report,
    stage::Round,
};
use clap::Args;
use serde_json::{Value, json};

/// How many subscribers, how fast, how long.
#[derive(Debug, Clone, Args)]
pub struct Fanout {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    volley: Volley,
}

/// What is sent to whom.
#[derive(Debug, Clone, Args)]
pub struct Volley {
    /// Subscribers
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..MOST_SUBSCRIBERS))]
    subscribers: u32,
    /// Messages a second
    #[arg(long, default_value = "20", value_parser = parse_rate)]
    rate: f64,
    #[command(flatten)]
    shape: Shape,
    /// Publish as fast as messages are confirmed, instead of at a rate
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    saturate: bool,
    /// With --saturate: unconfirmed messages at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "saturate")]
    window: u32,
    /// With --saturate: what confirms a message
    #[arg(long, value_enum, default_value_t = Confirm::Subscriber, requires = "saturate")]
    confirm: Confirm,
}

impl Fanout {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.subject.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report<Round>, Error> {
        let speech = self.subject.speech()?;
        let settings = self.volley.settings(speech.name());
        let messages = self.volley.messages();
        Report::play("fanout", settings, (&self.subject, speech), async |arena| messages.play(&arena).await).await
    }
}

impl Volley {
    /// The load that it is.
    pub fn messages(&self) -> Messages {
        let drive = match self.saturate {
            true => Drive::Window(self.window, self.confirm),
            false => Drive::Rate(self.rate),
        };
        Messages { subscribers: self.subscribers, channels: 1, drive, shape: self.shape }
    }

    /// What it was asked for, by the names of its options.
    pub fn settings(&self, speech: &str) -> Value {
        let Shape { size, seconds, warmup, burst, processes } = self.shape;
        let by_rate = |value: Value| if self.saturate { Value::Null } else { value };
        json!({
            "dialect": speech, "subscribers": self.subscribers, "size": size, "seconds": seconds, "warmup": warmup,
            "rate": by_rate(json!(self.rate)), "burst": by_rate(json!(burst)),
            "window": self.saturate.then_some(self.window), "processes": processes.count,
        })
    }
}
