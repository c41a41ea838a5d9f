//! `fanwire check`.

use crate::{
    args::Sources,
    config::{self, Environment, Loaded},
    failure::Failure,
    output,
};
use std::process::ExitCode;

/// Loads the configuration as `serve` would and prints it.
pub(crate) fn check(sources: &Sources, environment: &Environment) -> Result<ExitCode, Failure> {
    let Loaded { effective, warnings, .. } = config::load(&sources.inputs(environment))?;
    warnings.iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
    output::result(effective.to_string().trim_end())?;
    Ok(ExitCode::SUCCESS)
}
