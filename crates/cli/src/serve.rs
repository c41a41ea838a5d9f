//! `fanwire serve`.

use crate::{banner, config::Config, failure::Failure, open_files, wiring};
use fanwire_node::{Node, Stopped};
use fanwire_protocol::NodeId;
use std::{io, process::ExitCode};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Runs a node with `config` until it is told to stop.
pub(crate) async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let open_files = open_files::raise_limit()?;
    let node = NodeId::from_random(rand::random());
    let registry = wiring::registry()?;
    let listeners = wiring::bind(&config)?;
    let stop = stop_signals()?;
    banner::show(&config, &listeners, open_files)?;
    let link = wiring::link(&config.redis, node, &registry)?;
    let node = Node::start(wiring::node_config(&config, node)?, link, listeners, registry)?;
    Ok(report(node.run(stop).await?))
}

/// A word for each SIGTERM and SIGINT, of which the node heeds two.
fn stop_signals() -> io::Result<mpsc::Receiver<()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn report(stopped: Stopped) -> ExitCode {
    match stopped {
        Stopped::Drained => {
            tracing::info!("drained");
            ExitCode::SUCCESS
        }
        Stopped::Deadline { sessions } => {
            tracing::warn!(sessions, "drain.deadline came before every connection was closed");
            ExitCode::FAILURE
        }
        Stopped::Forced { sessions } => {
            tracing::warn!(sessions, "told to stop a second time, not waiting for connections");
            ExitCode::FAILURE
        }
    }
}
