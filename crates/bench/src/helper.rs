//! Processes that this one starts: the same program with another command.

use crate::Error;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// What stands before a scenario's name on this program's command line.
const PREFIX: &str = "bench";

/// A process that reads lines and answers with lines, and is ended with this value.
#[derive(Debug)]
pub struct Helper {
    role: &'static str,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts this program as `role` (a command of `bench`) with `arguments`.
    pub fn start(role: &'static str, arguments: &[String]) -> Result<Self, Error> {
        let starting = "start of another process of this program";
        let program = std::env::current_exe().map_err(Error::system(starting))?;
        let mut child = Command::new(program)
            .arg(PREFIX)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::system(starting))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Helper { role, reason: "it has no pipes".to_owned() });
        };
        Ok(Self { role, child, input, output: BufReader::new(output).lines() })
    }

    /// Its process; none once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a line.
    pub async fn tell(&mut self, line: &str) -> Result<(), Error> {
        let bytes = format!("{line}\n");
        self.input.write_all(bytes.as_bytes()).await.map_err(|error| self.failed(&error.to_string()))
    }

    /// The next line that it writes.
    pub async fn hear(&mut self) -> Result<String, Error> {
        match self.output.next_line().await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.failed("it ended")),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Helper { role: self.role, reason: reason.to_owned() }
    }
}
