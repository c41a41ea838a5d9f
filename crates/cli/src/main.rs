//! The `fanwire` command: runs a node, checks its configuration and its health, publishes, subscribes, tells who is there,
//! makes tokens, and measures.

mod address;
mod args;
mod banner;
mod bench;
mod check;
mod config;
mod endpoint;
mod failure;
mod health;
mod log;
mod member;
mod open_files;
mod output;
mod panics;
mod payload;
mod presence;
mod publish;
mod serve;
mod subscribe;
mod token;
mod wiring;

use args::{Args, Command};
use clap::Parser;
use config::Environment;
use failure::Failure;
use std::process::ExitCode;
use tokio::runtime;

fn main() -> ExitCode {
    // The one place where the environment is read.
    let environment: Environment = std::env::vars_os().collect();
    let outcome = match Args::parse().command() {
        Command::Bench(args) => Ok(bench::bench(*args)),
        Command::Serve(sources) => run_node(&sources, &environment),
        Command::Check(args) => run(check::check(args, &environment)),
        Command::Health(args) => run_client(health::health(args, &environment)),
        Command::Pub(args) => run_client(publish::publish(args, &environment)),
        Command::Presence(args) => run_client(presence::presence(args, &environment)),
        Command::Sub(args) => run_client(subscribe::subscribe(args, &environment)),
        Command::Token(args) => run_client(token::token(*args, &environment)),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

fn run_node(sources: &args::Sources, environment: &Environment) -> Result<ExitCode, Failure> {
    let loaded = config::load(&sources.inputs(environment))?;
    let certificates = loaded.certificates()?;
    let config::Loaded { config, warnings, .. } = loaded;
    let log = log::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve::serve(config, &certificates, &log));
    // Without waiting for the system, which may be looking up the name of Redis for a long time.
    runtime.shutdown_background();
    outcome
}

fn run_client(work: impl Future<Output = Result<(), Failure>>) -> Result<ExitCode, Failure> {
    run(async { work.await.map(|()| ExitCode::SUCCESS) })
}

fn run(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Without waiting for the system, which may be looking up a name for a long time.
    runtime.shutdown_background();
    outcome
}
