//! Why the command fails, and its exit code.

use crate::{config::Problems, output};
use fanwire_client::Error;
use fanwire_node::NodeError;
use std::{io, process::ExitCode};

/// Why the command fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    Configuration(Problems),
    /// There is no connection to the node.
    NotConnected(Error),
    /// Something didn't come in time.
    TimedOut(String),
    /// Anything else.
    Failed(String),
    /// Whoever read the output has left, which is no failure.
    OutputClosed,
}

impl Failure {
    /// The same, said of line `number` of standard input.
    pub(crate) fn of_line(self, number: u64) -> Self {
        match self {
            Self::TimedOut(what) => Self::TimedOut(format!("{what} to line {number}")),
            Self::Failed(reason) => Self::Failed(format!("line {number}: {reason}")),
            other => other,
        }
    }

    /// Tells the reason on standard error and turns it into the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, reason) = match self {
            // EX_CONFIG of sysexits.h.
            Self::Configuration(problems) => (78, problems.to_string()),
            Self::NotConnected(error) => (3, output::printable(&error.to_string())),
            Self::TimedOut(what) => (4, format!("timed out waiting for {what}")),
            Self::Failed(reason) => (1, output::printable(&reason)),
            Self::OutputClosed => return ExitCode::SUCCESS,
        };
        output::tell(&reason);
        ExitCode::from(code)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::TimedOut(what) => Self::TimedOut(what.to_owned()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<prometheus::Error> for Failure {
    fn from(error: prometheus::Error) -> Self {
        Self::Failed(format!("metrics: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(format!("JSON: {error}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(error.to_string()),
        }
    }
}
