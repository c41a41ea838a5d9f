//! `fanwire bench`: measures a node, or another server.

use crate::{args::BenchArgs, output};
use std::{io::stdout, process::ExitCode};

/// Measures. Exit code 0: all was as promised; 1: something was not; 2: the measurement could not be carried out.
pub(crate) fn bench(args: BenchArgs) -> ExitCode {
    match fanwire_bench::run(args.scenario, &mut stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::tell(&output::printable(&error.to_string()));
            ExitCode::from(2)
        }
    }
}
