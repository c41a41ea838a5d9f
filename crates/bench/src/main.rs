//! `fanwire-bench`: Fanwire's load generator as a command of its own.

use clap::Parser;
use fanwire_bench::{Scenario, run};
use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

/// Measures a Fanwire node over loopback: latency, losses, processor time and memory.
///
/// Exit code 0: everything arrived as promised; 1: something was lost, doubled, out of order or broken; 2: the
/// measurement could not be carried out.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

fn main() -> ExitCode {
    match run(Cli::parse().scenario, &[], &mut stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(stderr(), "fanwire-bench: {error}");
            ExitCode::from(2)
        }
    }
}
