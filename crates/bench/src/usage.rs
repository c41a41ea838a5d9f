//! What a measurement takes: of the watched processes, and of the load generator itself.

use crate::{
    Error,
    generator::{Generator, Load, Start},
    process::{Cost, Cpu, Watch},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// The processes whose use is measured.
#[derive(Debug)]
pub struct Meter {
    /// Those of servers.
    pub watch: Watch,
    /// Those of the load generator.
    pub generator: Generator,
}

/// What they had used at some moment.
#[derive(Debug)]
pub struct Begun {
    servers: Vec<Cpu>,
    generator: Start,
}

/// What they used over a measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// The watched processes.
    pub servers: Vec<Cost>,
    /// The load generator.
    pub generator: Load,
}

impl Meter {
    /// The servers' processes `pids`, and a load generator that is this process alone.
    pub fn new(pids: &[u32]) -> Result<Self, Error> {
        Ok(Self { watch: Watch::new(pids)?, generator: Generator::new(Vec::new())? })
    }

    /// Begins a measurement.
    pub fn start(&self) -> Result<Begun, Error> {
        Ok(Begun { servers: self.watch.cpu()?, generator: self.generator.start()? })
    }

    /// What was used since `begun`, also for each of `units`.
    pub fn since(&self, begun: &Begun, units: u64) -> Result<Usage, Error> {
        let servers = self.watch.cost_since(&begun.servers, units)?;
        Ok(Usage { servers, generator: self.generator.load(&begun.generator, units)? })
    }
}

impl Usage {
    /// What the watched processes come to together for each delivery, cycle or answer.
    pub fn figures(&self) -> BTreeMap<&'static str, f64> {
        Cost::figures(&self.servers)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.servers.iter().try_for_each(|cost| writeln!(f, "{cost}"))?;
        write!(f, "{}", self.generator)
    }
}
