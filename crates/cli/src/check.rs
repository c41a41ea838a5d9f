//! `fanwire check`.

use crate::{
    args::CheckArgs,
    config::{self, Auth, Environment, Loaded, PortCertificates, Redis},
    failure::Failure,
    output,
};
use fanwire_auth::jwks::{KeySet, Skipped};
use fanwire_broker::redis::{Finding, inspect};
use fanwire_protocol::NodeId;
use std::process::ExitCode;

/// Loads the configuration as `serve` would and prints it, or tries what it says of Redis and `auth.jwks`.
pub(crate) async fn check(args: CheckArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let loaded = config::load(&args.sources.inputs(environment))?;
    let certificates = loaded.certificates()?;
    let Loaded { config, effective, warnings } = loaded;
    warnings.iter().for_each(|warning| output::tell(&format!("warning: {warning}")));
    if args.connect {
        let works = [connect(&config.redis).await?, fetch_keys(&config.auth).await?];
        return Ok(if works == [true; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE });
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
async fn connect(redis: &Redis) -> Result<bool, Failure> {
    // A number of its own, so that no node is disturbed.
    let Some(config) = redis.config(NodeId::from_random(rand::random())) else {
        output::result("ok     broker: in memory, for one node alone: there is nothing to connect to")?;
        return Ok(true);
    };
    let findings = inspect(&config).await.map_err(|error| Failure::Failed(error.to_string()))?;
    for finding in &findings {
        output::result(&output::printable(&line(finding)))?;
    }
    Ok(!findings.is_empty() && findings.iter().all(|finding| finding.outcome.is_ok()))
}

/// Prints which keys there are at `auth.jwks`, if that is anywhere.
async fn fetch_keys(auth: &Auth) -> Result<bool, Failure> {
    let source = auth.jwks().map_err(|error| Failure::Failed(format!("auth.jwks {error}")))?;
    let Some(source) = source else { return Ok(true) };
    let read = source.read().await;
    let finding = match &read {
        Ok(set) => format!("ok     auth.jwks: {}", counted(set)),
        Err(error) => format!("WRONG  auth.jwks: {error}"),
    };
    output::result(&output::printable(&finding))?;
    Ok(read.is_ok())
}

/// How many keys of a set are used, and how many for which reason are not.
fn counted(set: &KeySet) -> String {
    let skipped = Skipped::ALL.into_iter().map(|reason| (reason.label(), set.skipped(reason)));
    let skipped = skipped.filter(|(_, count)| *count > 0).map(|(reason, count)| format!(", {count} not: {reason}"));
    format!("{} keys are used{}", set.count(), skipped.collect::<String>())
}

fn line(Finding { subject, outcome }: &Finding) -> String {
    match outcome {
        Ok(told) => format!("ok     {subject}: {told}"),
        Err(reason) => format!("WRONG  {subject}: {reason}"),
    }
}
