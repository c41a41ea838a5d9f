//! The log: to standard output, where containers and service managers look for it.

use crate::{
    config::{Log, LogFormat},
    failure::Failure,
};
use prometheus::{
    IntCounter,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::{
    io::{self, IsTerminal},
    sync::mpsc,
    thread,
    time::Duration,
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// tungstenite tells the content of messages at its lowest levels, which no log may hold.
const SILENCED: &str = "tungstenite=info";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Lines that wait for whoever reads standard output; any more are left out and counted.
const WAITING_LINES: usize = 8192;

/// Time in which the lines that still wait at the end may be read.
const FLUSH: Duration = Duration::from_secs(2);

/// A log that is being written, by a thread of its own, so that nobody waits for a reader of standard output that
/// doesn't read. Dropped, it writes what is left.
#[derive(Debug)]
pub(crate) struct Writing {
    writer: NonBlocking,
    guard: Option<WorkerGuard>,
}

/// Starts the log of a node.
///
/// # Errors
/// When a log was started before.
pub(crate) fn start(log: &Log) -> Result<Writing, Failure> {
    let filter = filter(&log.level).map_err(Failure::Failed)?;
    let lossy = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES).thread_name("log");
    let (writer, guard) = lossy.finish(io::stdout());
    let log_to = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer.clone());
    match log.format {
        LogFormat::Text => log_to.with_ansi(io::stdout().is_terminal()).try_init(),
        LogFormat::Json => log_to.json().flatten_event(true).try_init(),
    }
    .map_err(|error| Failure::Failed(format!("the log can't be started: {error}")))?;
    Ok(Writing { writer, guard: Some(guard) })
}

impl Writing {
    /// What writes texts between the lines of the log.
    pub(crate) fn writer(&self) -> NonBlocking {
        self.writer.clone()
    }

    /// The metric of the lines that were left out.
    pub(crate) fn metric(&self) -> Result<impl Collector + use<>, prometheus::Error> {
        let help = "Lines of the log that were left out because standard output was not read.";
        let counter = IntCounter::new("fanwire_log_lines_dropped_total", help)?;
        Ok(Dropped { counter, lines: self.writer.error_counter() })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let guard = self.guard.take();
        let (flushed, ends) = mpsc::channel();
        // In a thread, since the guard itself writes to standard output when it finds the thread of the log stuck
        // there, and so would keep the process from ending.
        let flush = move || {
            drop(guard);
            let _ = flushed.send(());
        };
        if thread::Builder::new().spawn(flush).is_ok() {
            let _ = ends.recv_timeout(FLUSH);
        }
    }
}

/// Counts lines as far as the log itself counted them.
struct Dropped {
    counter: IntCounter,
    lines: ErrorCounter,
}

impl Collector for Dropped {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lines = u64::try_from(self.lines.dropped_lines()).unwrap_or(u64::MAX);
        self.counter.inc_by(lines.saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

/// The filter that `level` describes: `info`, or `info,fanwire_node=debug`.
///
/// # Errors
/// What is wrong with it. A single word must be a level: tracing takes a misspelt one as the name of a module, and then
/// logs nothing else.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    let words = || level.split(',').filter(|word| !word.contains(['=', '[', ']', '{', '}']));
    if let Some(word) = words().find(|word| !LEVELS.contains(word)) {
        return Err(format!("{word:?} is no level; expected one of {}, or PART=LEVEL", LEVELS.join(", ")));
    }
    let filter = EnvFilter::builder().parse(level).map_err(|error| error.to_string())?;
    let silence = SILENCED.parse().map_err(|error: ParseError| error.to_string())?;
    Ok(filter.add_directive(silence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(level: &str, valid: bool) {
        assert_eq!(filter(level).is_ok(), valid, "{level}");
    }

    #[test]
    fn levels_are_strict() {
        check("info", true);
        check("off", true);
        check("info,fanwire_node=debug", true);
        check("warn,fanwire_node[session{id=1}]=trace", true);
        for wrong in ["", "inffo", "INF", "fanwire_node", "info,", "fanwire_node=loud", "info,[x"] {
            check(wrong, false);
        }
    }
}
