//! `fanwire check`.

use crate::{
    args::CheckArgs,
    config::{self, Environment, Loaded, PortCertificates, Redis},
    failure::Failure,
    output,
};
use fanwire_broker::redis::{Finding, inspect};
use fanwire_protocol::NodeId;
use std::process::ExitCode;

/// Loads the configuration as `serve` would and prints it, or tries what it says of Redis.
pub(crate) async fn check(args: CheckArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let loaded = config::load(&args.sources.inputs(environment))?;
    let certificates = loaded.certificates()?;
    let Loaded { config, effective, warnings } = loaded;
    warnings.iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
    if args.connect {
        return connect(&config.redis).await;
    }
    output::result(effective.to_string().trim_end())?;
    for line in certificates.iter().flat_map(comments) {
        output::result(&output::printable(&line))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is to know of the certificates of a port, as comments in a configuration file.
fn comments(port: &PortCertificates) -> impl Iterator<Item = String> {
    port.side.certificates.iter().map(|facts| {
        let names = if facts.names.is_empty() { "no name at all".to_owned() } else { facts.names.join(", ") };
        format!("# {}: for {names}, until {}", port.key, humantime::format_rfc3339_seconds(facts.expires))
    })
}

/// Prints how each thing went that a node does at Redis.
async fn connect(redis: &Redis) -> Result<ExitCode, Failure> {
    // A number of its own, so that no node is disturbed.
    let Some(config) = redis.config(NodeId::from_random(rand::random())) else {
        output::result("ok     broker: in memory, for one node alone: there is nothing to connect to")?;
        return Ok(ExitCode::SUCCESS);
    };
    let findings = inspect(&config).await.map_err(|error| Failure::Failed(error.to_string()))?;
    for finding in &findings {
        output::result(&output::printable(&line(finding)))?;
    }
    let works = !findings.is_empty() && findings.iter().all(|finding| finding.outcome.is_ok());
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(Finding { subject, outcome }: &Finding) -> String {
    match outcome {
        Ok(told) => format!("ok     {subject}: {told}"),
        Err(reason) => format!("WRONG  {subject}: {reason}"),
    }
}
