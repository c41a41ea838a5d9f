//! What can be measured.

use crate::{Error, chatter, fanout, floor, idle, options::Output, publish, stall, storm};
use clap::Subcommand;
use serde::Serialize;
use std::{fmt::Display, io::Write};
use tokio::runtime::LocalRuntime;

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Scenario {
    /// One publisher, many subscribers: latency, losses, processor time a delivery
    Fanout(fanout::Fanout),
    /// Many connections that do nothing: memory and processor time a connection
    Idle(idle::Idle),
    /// Subscribers that never read: what the others notice, and what the node's memory does
    Stall(stall::Stall),
    /// The least that writing a frame to every socket can cost on this machine
    Floor(floor::Floor),
    /// Connections with small buffers that ping and send commands while messages flow: broken frames
    Chatter(chatter::Chatter),
    /// Many clients that lose their connections and recover all at once: how long it takes, what others notice
    Storm(storm::Storm),
    /// What a publication costs with and without a history
    Publish(publish::Publish),
    /// The reading process of the floor measurement
    #[command(hide = true)]
    FloorReader(floor::Reader),
}

/// Carries out `scenario` and writes its result to `out`; true if nothing was lost, doubled, out of order or broken,
/// or if that was allowed.
///
/// `prefix` is what stands before the scenario's name on the command line of this program. Runs on an own runtime, so
/// not from within one.
pub fn run(scenario: Scenario, prefix: &[&str], out: &mut impl Write) -> Result<bool, Error> {
    let runtime = LocalRuntime::new().map_err(Error::system("runtime"))?;
    match scenario {
        Scenario::Fanout(fanout) => {
            let report = runtime.block_on(fanout.run())?;
            tell(out, fanout.output(), &report, report.is_clean())
        }
        Scenario::Idle(idle) => {
            let report = runtime.block_on(idle.run())?;
            tell(out, idle.output(), &report, report.is_clean())
        }
        Scenario::Stall(stall) => {
            let report = runtime.block_on(stall.run())?;
            tell(out, stall.output(), &report, report.is_clean())
        }
        Scenario::Floor(floor) => {
            let report = floor.run(&runtime, prefix)?;
            tell(out, floor.output(), &report, report.is_clean())
        }
        Scenario::Chatter(chatter) => {
            let report = runtime.block_on(chatter.run())?;
            tell(out, chatter.output(), &report, report.is_clean())
        }
        Scenario::Storm(storm) => {
            let report = runtime.block_on(storm.run())?;
            tell(out, storm.output(), &report, report.is_clean())
        }
        Scenario::Publish(publish) => {
            let report = runtime.block_on(publish.run())?;
            tell(out, publish.output(), &report, report.is_clean())
        }
        Scenario::FloorReader(reader) => runtime.block_on(reader.run()).map(|()| true),
    }
}

fn tell(out: &mut impl Write, how: Output, report: &(impl Serialize + Display), clean: bool) -> Result<bool, Error> {
    let written = if how.json {
        serde_json::to_writer(&mut *out, report).map_err(Into::into).and_then(|()| writeln!(out))
    } else {
        writeln!(out, "{report}\n{}", if clean { "clean" } else { "NOT CLEAN" })
    };
    written.map_err(Error::system("standard output"))?;
    Ok(clean || how.allow_loss)
}
