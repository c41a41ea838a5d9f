//! What can be measured.

use crate::{
    Error, floor,
    options::Output,
    scenarios::{
        channels::Channels, chatter::Chatter, connect::Connect, echo::Echo, fanout::Fanout, floor::Floor, idle::Idle,
        latency::Latency, publish::Publish, stall::Stall, storm::Storm,
    },
    worker,
};
use clap::Subcommand;
use serde::Serialize;
use std::{fmt::Display, io::Write};
use tokio::runtime::LocalRuntime;

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Scenario {
    /// One publisher, many subscribers: latency, losses, processor time a delivery
    Fanout(Fanout),
    /// Many channels with one subscriber each: what a message costs that goes to one only
    Channels(Channels),
    /// What nodes add to the time that a message takes through Redis
    Latency(Latency),
    /// Requests and their answers: delay, answers a second
    Echo(Echo),
    /// Connections that are opened and closed, or all dialled at once: how fast, at which cost
    Connect(Connect),
    /// Many connections that do nothing: memory and processor time a connection, and whether all are still there
    Idle(Idle),
    /// Many clients that lose their connections and recover all at once: how long it takes, what others notice
    Storm(Storm),
    /// Subscribers that never read: what the others notice, and what the node's memory does
    Stall(Stall),
    /// Connections with small buffers that ping and send commands while messages flow: broken frames
    Chatter(Chatter),
    /// What a publication costs with and without a history
    Publish(Publish),
    /// The least that writing a frame to every socket can cost on this machine
    Floor(Floor),
    /// The server that is the floor
    #[command(hide = true)]
    FloorServer,
    /// Subscribers for another process
    #[command(hide = true)]
    Worker,
}

/// Carries out `scenario` and writes its result to `out`; true if nothing was lost, doubled, out of order or broken,
/// or if that was allowed.
///
/// Runs on an own runtime, so not from within one. What it starts is this program again, with `bench` as its first
/// argument.
pub fn run(scenario: Scenario, out: &mut impl Write) -> Result<bool, Error> {
    let runtime = LocalRuntime::new().map_err(Error::system("runtime"))?;
    /// Runs a scenario and tells what came of it.
    macro_rules! tell {
        ($scenario:expr) => {{
            let report = runtime.block_on($scenario.run())?;
            tell(out, $scenario.output(), &report, report.is_clean())
        }};
    }
    match scenario {
        Scenario::Fanout(fanout) => tell!(fanout),
        Scenario::Channels(channels) => tell!(channels),
        Scenario::Latency(latency) => tell!(latency),
        Scenario::Echo(echo) => tell!(echo),
        Scenario::Connect(connect) => tell!(connect),
        Scenario::Idle(idle) => tell!(idle),
        Scenario::Storm(storm) => tell!(storm),
        Scenario::Stall(stall) => tell!(stall),
        Scenario::Chatter(chatter) => tell!(chatter),
        Scenario::Publish(publish) => tell!(publish),
        Scenario::Floor(floor) => tell!(floor),
        Scenario::FloorServer => floor::serve().map(|()| true),
        Scenario::Worker => runtime.block_on(worker::work()).map(|()| true),
    }
}

fn tell(out: &mut impl Write, how: Output, report: &(impl Serialize + Display), clean: bool) -> Result<bool, Error> {
    let written = if how.json {
        serde_json::to_value(report).map_err(Into::into).and_then(|mut report| {
            report["clean"] = clean.into();
            writeln!(out, "{report}")
        })
    } else {
        writeln!(out, "{report}\n{}", if clean { "clean" } else { "NOT CLEAN" })
    };
    written.map_err(Error::system("standard output"))?;
    Ok(clean || how.allow_loss)
}
