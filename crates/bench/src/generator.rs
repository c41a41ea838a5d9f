//! What the load generator itself used: where it was at its limit, the figures are its own and not the server's.

use crate::{
    Error,
    process::{Cost, Cpu, Threads, Watch},
};
use serde::Serialize;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// A thread that was busy for this share of the time could hardly have done more.
const LIMIT: f64 = 0.85;

/// Over less time nothing is judged: processor time is told in steps of 10 ms.
const LEAST: Duration = Duration::from_secs(1);

/// The processes of the load generator.
#[derive(Debug)]
pub struct Generator {
    watch: Watch,
}

/// What they had used at some moment.
#[derive(Debug)]
pub struct Start {
    at: Instant,
    cpu: Vec<Cpu>,
    threads: Threads,
}

/// What they used over a measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Each process.
    pub processes: Vec<Cost>,
    /// The share of the time in which the busiest thread was busy, from 0 to 1.
    pub busiest_thread: f64,
    /// Whether the load generator was probably what limited the figures.
    pub was_the_limit: bool,
}

impl Generator {
    /// This process and `others`.
    pub fn new(others: Vec<u32>) -> Result<Self, Error> {
        Ok(Self { watch: Watch::own()?.and(others) })
    }

    /// The private memory of all of them, in bytes.
    pub fn memory(&self) -> Result<u64, Error> {
        Ok(self.watch.memory()?.iter().sum())
    }

    /// Begins a measurement.
    pub fn start(&self) -> Result<Start, Error> {
        Ok(Start { at: Instant::now(), cpu: self.watch.cpu()?, threads: self.watch.threads() })
    }

    /// What was used since `start`, also for each of `units`.
    pub fn load(&self, start: &Start, units: u64) -> Result<Load, Error> {
        let processes = self.watch.cost_since(&start.cpu, units)?;
        let busy = start.threads.busiest(&self.watch.threads()).as_secs_f64();
        let elapsed = start.at.elapsed();
        let busiest_thread = busy / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        Ok(Load { processes, busiest_thread, was_the_limit: busiest_thread >= LIMIT && elapsed >= LEAST })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.processes.iter().try_for_each(|cost| writeln!(f, "load generator, {cost}"))?;
        write!(f, "load generator's busiest thread: {:.0} % of a processor", self.busiest_thread * 100.0)?;
        if self.was_the_limit {
            write!(f, "\nTHE LOAD GENERATOR WAS THE LIMIT: a faster one would show more (--processes)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_load_at_the_limit_is_said_in_words() {
        let load = |busiest_thread, was_the_limit| Load { processes: Vec::new(), busiest_thread, was_the_limit };
        assert!(load(0.9, true).to_string().contains("GENERATOR WAS THE LIMIT"));
        assert!(!load(0.5, false).to_string().contains("LIMIT"));
    }

    #[test]
    fn this_process_is_a_generator() {
        let generator = Generator::new(Vec::new()).unwrap();
        let load = generator.load(&generator.start().unwrap(), 1).unwrap();
        assert_eq!((load.processes.len(), load.processes[0].pid), (1, std::process::id()));
    }
}
