//! `fanwire serve`.

use crate::{
    banner,
    config::{Config, Limits, PortCertificates},
    failure::Failure,
    log::Writing,
    open_files::{self, Allowance},
    panics, wiring,
};
use fanwire_node::{Node, Reloading, Stopped};
use fanwire_protocol::NodeId;
use std::{io, process::ExitCode, thread::available_parallelism};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Runs a node with `config`, whose certificates were found to be `certificates`, until it is told to stop.
pub(crate) async fn serve(
    config: Config,
    certificates: &[PortCertificates],
    log: &Writing,
) -> Result<ExitCode, Failure> {
    let allowance =
        Allowance::new(config.limits.connections, open_files::raise_limit(), available_parallelism()?.get());
    warn_of_shortage(&config, &allowance);
    let node = NodeId::from_random(rand::random());
    let registry = wiring::registry()?;
    registry.register(Box::new(log.metric()?))?;
    panics::watch(&registry)?;
    let listeners = wiring::bind(&config)?;
    let stop = stop_signals()?;
    let has_files = !certificates.is_empty() || !config.auth.keys.is_empty() || !config.api.keys.is_empty();
    let hangup = has_files.then(|| signal(SignalKind::hangup())).transpose()?;
    banner::show(&config, certificates, &listeners, &allowance, &mut log.writer())?;
    warn_of_openness(&config);
    let link = wiring::link(&config.redis, node, &registry)?;
    let node = Node::start(wiring::node_config(&config, node, &allowance)?, link, listeners, registry)?;
    hangup.into_iter().for_each(|hangup| reload_at(hangup, node.reloading().clone()));
    Ok(report(node.run(stop).await?))
}

/// Only whoever asked for a number of connections is told that they can't be had.
fn warn_of_shortage(config: &Config, allowance: &Allowance) {
    let wanted = config.limits.connections;
    if wanted != Limits::default().connections
        && let Some(shortage) = allowance.shortage(wanted)
    {
        tracing::warn!("{shortage}");
    }
}

fn warn_of_openness(config: &Config) {
    let listen = config.server.listen;
    if !config.auth.is_on() && !listen.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "whoever reaches {listen} (server.listen) may subscribe to, publish and broadcast everything: nobody has to authenticate (auth.keys, auth.jwks)"
        );
    }
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

/// Reads certificates and keys again at each SIGHUP. A node without any is ended by one, as programs are.
fn reload_at(mut hangup: Signal, reloading: Reloading) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reloading.reload();
        }
    });
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
