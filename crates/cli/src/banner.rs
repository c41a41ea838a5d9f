//! What a node says when it has started.

use crate::config::{Config, LogFormat};
use fanwire_node::Listeners;
use std::io::{self, Write};

/// Tells where the node listens, which broker it uses, and what to try next: people as a block of text, programs as
/// one line of log.
pub(crate) fn show(config: &Config, listeners: &Listeners, open_files: u64) -> io::Result<()> {
    let (public, internal) = (listeners.public.local_addr()?, listeners.internal.local_addr()?);
    let broker = if config.redis.url.expose().is_some() { "redis" } else { "memory" };
    match config.log.format {
        LogFormat::Json => {
            tracing::info!(version = env!("CARGO_PKG_VERSION"), %public, %internal, broker, open_files, "started");
            Ok(())
        }
        LogFormat::Text => io::stdout().write_all(block(config, public, internal, open_files).as_bytes()),
    }
}

fn block(config: &Config, public: std::net::SocketAddr, internal: std::net::SocketAddr, open_files: u64) -> String {
    let broker = if config.redis.url.expose().is_some() {
        format!("Redis at {}, prefix {}", config.redis.url, config.redis.prefix)
    } else {
        "in memory, for this node alone; FANWIRE_REDIS__URL=redis://HOST:PORT joins nodes".to_owned()
    };
    format!(
        "Fanwire {version}
  clients    ws://{public}
  internal   http://{internal}/metrics, /health/live, /health/ready
  broker     {broker}
  files      {open_files} may be open, one for each connection
Try in other terminals:
  fanwire sub --url ws://{public} news
  fanwire pub --url ws://{public} news hello
or in a browser's console:
  new WebSocket(\"ws://{public}\").onmessage = e => console.log(e.data)
",
        version = env!("CARGO_PKG_VERSION"),
    )
}
