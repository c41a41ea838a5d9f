//! The log: to standard output, where containers and service managers look for it.

use crate::{
    config::{Log, LogFormat},
    failure::Failure,
};
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// tungstenite tells the content of messages at its lowest levels, which no log may hold.
const SILENCED: &str = "tungstenite=info";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log of a node.
///
/// # Errors
/// When a log was started before.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter = filter(&log.level).map_err(Failure::Failed)?;
    let log_to = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stdout);
    match log.format {
        LogFormat::Text => log_to.with_ansi(io::stdout().is_terminal()).try_init(),
        LogFormat::Json => log_to.json().flatten_event(true).try_init(),
    }
    .map_err(|error| Failure::Failed(format!("the log can't be started: {error}")))
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
