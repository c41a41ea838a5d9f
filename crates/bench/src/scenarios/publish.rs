//! Scenario: what a publication costs, with and without a history, side by side.

use crate::{
    Error,
    arena::Arena,
    lane::Channels,
    letter::{Form, Letter},
    marker::LEAST_SIZE,
    options::{Common, MOST_SECONDS, MOST_SIZE, Output},
    pace::{Clock, Pace},
    process::{Cpu, Watch},
    publisher::{Door, Plan, Publisher, Sent},
    speech::Speech,
    stage::soon,
};
use clap::Args;
use serde::Serialize;
use std::{fmt, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How many publish, how, and for how long.
#[derive(Debug, Clone, Args)]
pub struct Publish {
    #[command(flatten)]
    common: Common,
    /// Namespace for which the node keeps a history
    #[arg(long, default_value = "kept")]
    namespace: String,
    /// Connections that publish
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    publishers: u32,
    /// Publications of each without an answer at most
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: u32,
    /// Bytes of content a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(LEAST_SIZE)..=MOST_SIZE))]
    size: u32,
    /// Seconds of each round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    /// Rounds of each kind, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// What one round showed, or the medians of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Publications answered with `ok`, a second.
    messages_per_second: f64,
    /// Processor time of each watched process by publication, in microseconds.
    cpu_us_per_message: Vec<f64>,
}

/// The rounds of one kind.
#[derive(Debug, Default, Serialize)]
pub struct Kind {
    /// Publications that were sent.
    published: u64,
    /// Those of them that were answered with `ok`.
    answered: u64,
    rounds: Vec<Figures>,
    errors: Vec<String>,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    dialect: crate::dialect::Dialect,
    publishers: u32,
    window: u32,
    size: u32,
    pids: Vec<u32>,
    without: Kind,
    with: Kind,
    /// Medians.
    median_without: Figures,
    median_with: Figures,
}

/// The publishers of one channel.
type Group = Vec<Publisher>;

impl Publish {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report, Error> {
        let (watch, clock) = (Watch::new(&self.common.pids)?, Clock::start());
        let channel = self.common.channel();
        let mut plain = self.connect(clock, &channel).await?;
        let mut kept = self.connect(clock, &format!("{}:{channel}", self.namespace)).await?;
        let (mut without, mut with) = (Kind::default(), Kind::default());
        for _ in 0..self.rounds {
            plain = self.round(plain, &watch, &mut without).await?;
            kept = self.round(kept, &watch, &mut with).await?;
        }
        Ok(Report {
            scenario: "publish",
            dialect: self.common.dialect,
            publishers: self.publishers,
            window: self.window,
            size: self.size,
            pids: self.common.pids.clone(),
            median_without: median(&without.rounds),
            median_with: median(&with.rounds),
            without,
            with,
        })
    }

    async fn connect(&self, clock: Clock, channel: &str) -> Result<Group, Error> {
        let (mut group, tls) = (Group::new(), Arena::of_nodes(&self.common).job().tls()?);
        let speech = Arc::new(Speech::Native(self.common.dialect));
        for target in self.common.urls.iter().cycle().take(self.publishers as usize) {
            let form = Form::of(&speech, true)?;
            let letter = Letter { form, channels: Channels::one(channel.to_owned()), size: self.size as usize };
            let door = Door { target, tls: tls.as_ref(), speech: &speech };
            group.push(Publisher::connect(door, letter, clock).await?);
        }
        Ok(group)
    }

    /// Lets a group publish for a while, and notes what that cost.
    async fn round(&self, group: Group, watch: &Watch, kind: &mut Kind) -> Result<Group, Error> {
        let start = soon();
        let until = Some(start + Duration::from_secs(self.seconds.into()));
        let plan = Plan { start, pace: Pace::Window(self.window.into()), most: u64::MAX, until };
        let before = watch.cpu()?;
        let mut publishing = JoinSet::new();
        for mut publisher in group {
            publishing.spawn_blocking(move || {
                let sent = publisher.publish(&plan);
                let answered = publisher.answered(sent.end);
                (publisher, sent, answered)
            });
        }
        let ended = publishing.join_all().await;
        let (seconds, after) = (start.elapsed().as_secs_f64(), watch.cpu()?);
        let mut group = Group::new();
        let mut answered_in_round = 0;
        for (publisher, sent, answered) in ended {
            answered_in_round += kind.note(&publisher, &sent, answered);
            group.push(publisher);
        }
        kind.rounds.push(Figures::of(answered_in_round, seconds, &before, &after));
        Ok(group)
    }
}

impl Kind {
    /// Enters what one publisher did; returns how many of its publications were answered.
    fn note(&mut self, publisher: &Publisher, sent: &Sent, answered: u64) -> u64 {
        let answered = answered.saturating_sub(sent.first);
        self.published += sent.end - sent.first;
        self.answered += answered;
        self.errors.extend(sent.failure.clone());
        self.errors.extend(publisher.refusals());
        answered
    }

    fn is_clean(&self) -> bool {
        self.published == self.answered && self.errors.is_empty()
    }
}

impl Figures {
    fn of(messages: u64, seconds: f64, before: &[Cpu], after: &[Cpu]) -> Self {
        let used = |(before, after): (&Cpu, &Cpu)| {
            let total = (after.user + after.system).saturating_sub(before.user + before.system);
            if messages > 0 { total.as_secs_f64() * 1e6 / messages as f64 } else { 0.0 }
        };
        Self {
            messages_per_second: messages as f64 / seconds,
            cpu_us_per_message: before.iter().zip(after).map(used).collect(),
        }
    }
}

/// The median of each figure; the lower one of two in the middle.
fn median(rounds: &[Figures]) -> Figures {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    };
    let pids = rounds.first().map_or(0, |round| round.cpu_us_per_message.len());
    let of_pid = |index: usize| middle(rounds.iter().map(|round| round.cpu_us_per_message[index]).collect());
    Figures {
        messages_per_second: middle(rounds.iter().map(|round| round.messages_per_second).collect()),
        cpu_us_per_message: (0..pids).map(of_pid).collect(),
    }
}

impl Report {
    /// Whether every publication was answered with `ok`.
    pub fn is_clean(&self) -> bool {
        self.without.is_clean() && self.with.is_clean()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str, kind: &Kind, median: &Figures) -> fmt::Result {
        let Kind { published, answered, rounds, errors } = kind;
        write!(f, "\n{name}: {published} published, {answered} answered; ")?;
        write!(f, "median of {} rounds {:.0} messages a second", rounds.len(), median.messages_per_second)?;
        for (pid, us) in self.pids.iter().zip(&median.cpu_us_per_message) {
            write!(f, ", process {pid} {us:.2} us a message")?;
        }
        errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dialect, publishers, window, size, .. } = self;
        write!(f, "publish: {publishers} publishers, window of {window}, {size} bytes, {dialect:?}")?;
        self.line(f, "without history", &self.without, &self.median_without)?;
        self.line(f, "with history   ", &self.with, &self.median_with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(messages_per_second: f64, us: f64) -> Figures {
        Figures { messages_per_second, cpu_us_per_message: vec![us] }
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let rounds = [figures(5.0, 1.0), figures(1.0, 3.0), figures(3.0, 2.0)];
        assert_eq!(median(&rounds), figures(3.0, 2.0));
        assert_eq!(median(&rounds[..2]), figures(1.0, 1.0));
        assert_eq!(median(&[]), Figures { messages_per_second: 0.0, cpu_us_per_message: Vec::new() });
    }

    #[test]
    fn processor_time_is_shared_out_over_messages() {
        let used = Cpu { user: Duration::from_secs(1), system: Duration::from_secs(3) };
        assert_eq!(Figures::of(2_000_000, 4.0, &[Cpu::default()], &[used]), figures(500_000.0, 2.0));
    }

    #[test]
    fn an_answer_that_is_missing_is_not_clean() {
        let mut kind = Kind { published: 3, answered: 3, ..Kind::default() };
        assert!(kind.is_clean());
        kind.answered = 2;
        assert!(!kind.is_clean());
    }
}
