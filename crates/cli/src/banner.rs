//! What a node says when it has started.

use crate::{
    address::reachable,
    args::DEFAULT_URL,
    config::{Config, LogFormat, Redis},
    open_files::Allowance,
};
use fanwire_node::Listeners;
use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
};

/// Tells where the node listens, which broker it uses, and what to try next: people as a block of text in `log`,
/// programs as one event.
pub(crate) fn show(
    config: &Config,
    listeners: &Listeners,
    allowance: &Allowance,
    log: &mut impl Write,
) -> io::Result<()> {
    let (public, internal) = (listeners.public.local_addr()?, listeners.internal.local_addr()?);
    let Allowance { files, connections, .. } = *allowance;
    match config.log.format {
        LogFormat::Json => {
            let broker = if config.redis.place().is_some() { "redis" } else { "memory" };
            let version = env!("CARGO_PKG_VERSION");
            tracing::info!(version, %public, %internal, broker, open_files = files, connections, "started");
            Ok(())
        }
        LogFormat::Text => {
            let program = invocation(std::env::args_os().next());
            let started = Started { redis: &config.redis, public, internal, files, connections, program };
            log.write_all(started.block().as_bytes())
        }
    }
}

/// A node that has started.
struct Started<'a> {
    redis: &'a Redis,
    public: SocketAddr,
    internal: SocketAddr,
    files: Option<u64>,
    connections: usize,
    /// How to call this program again.
    program: String,
}

impl Started<'_> {
    fn block(&self) -> String {
        let Self { redis, public, internal, files, connections, program } = self;
        let version = env!("CARGO_PKG_VERSION");
        let (url, http) = (format!("ws://{}", reachable(*public)), format!("http://{}", reachable(*internal)));
        let (public, internal) = (everywhere(*public), everywhere(*internal));
        let broker = match redis.place() {
            Some(place) => format!("Redis at {place}, prefix {}", redis.prefix),
            None => "in memory, for this node alone; FANWIRE_REDIS__URL=redis://HOST:PORT joins nodes".to_owned(),
        };
        let files = files.map_or_else(String::new, |files| {
            format!("\n  files      {files} may be open; {connections} connections are taken at most")
        });
        let at = if url == DEFAULT_URL { String::new() } else { format!(" --url {url}") };
        format!(
            "\
Fanwire {version}
  clients    {url}{public}
  internal   {http}/metrics, /health/live, /health/ready{internal}
  broker     {broker}{files}
Try in other terminals:
  {program} sub{at} news
  {program} pub{at} news hello
or in a browser's console, for broadcasts:
  new WebSocket(\"{url}\").onmessage = e => console.log(e.data)
  {program} pub{at} --broadcast hello
"
        )
    }
}

fn everywhere(listening: SocketAddr) -> &'static str {
    if listening.ip().is_unspecified() { " (and on every other address of this machine)" } else { "" }
}

/// The first word of a shell's command that runs `program`, the name by which this one was called.
fn invocation(program: Option<OsString>) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,%".contains(c);
    match program.and_then(|program| program.into_string().ok()) {
        Some(name) if !name.is_empty() && name.chars().all(plain) => name,
        Some(name) if !name.is_empty() && !name.contains(char::is_control) => {
            format!("'{}'", name.replace('\'', r"'\''"))
        }
        _ => "fanwire".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::RedisUrl;

    fn block(redis: &Redis, public: &str, internal: &str, program: &str) -> String {
        let (public, internal) = (public.parse().unwrap(), internal.parse().unwrap());
        Started { redis, public, internal, files: Some(1024), connections: 908, program: program.to_owned() }.block()
    }

    #[test]
    fn a_newcomer_can_repeat_what_it_says() {
        let expected = format!(
            "\
Fanwire {}
  clients    ws://127.0.0.1:8765
  internal   http://127.0.0.1:8766/metrics, /health/live, /health/ready
  broker     in memory, for this node alone; FANWIRE_REDIS__URL=redis://HOST:PORT joins nodes
  files      1024 may be open; 908 connections are taken at most
Try in other terminals:
  target/release/fanwire sub news
  target/release/fanwire pub news hello
or in a browser's console, for broadcasts:
  new WebSocket(\"ws://127.0.0.1:8765\").onmessage = e => console.log(e.data)
  target/release/fanwire pub --broadcast hello
",
            env!("CARGO_PKG_VERSION")
        );
        let told = block(&Redis::default(), "127.0.0.1:8765", "127.0.0.1:8766", "target/release/fanwire");
        assert_eq!(told, expected);
    }

    #[test]
    fn every_address_is_one_that_can_be_used() {
        let told = block(&Redis::default(), "0.0.0.0:8765", "[::]:1", "fanwire");
        assert!(
            told.contains("clients    ws://127.0.0.1:8765 (and on every other address of this machine)\n"),
            "{told}"
        );
        assert!(told.contains("http://[::1]:1/metrics") && told.contains("  fanwire sub news\n"), "{told}");
        assert!(!told.contains("0.0.0.0") && !told.contains("[::]"), "{told}");
        let told = block(&Redis::default(), "[::]:8765", "127.0.0.1:8766", "fanwire");
        assert!(told.contains("  fanwire sub --url ws://[::1]:8765 news\n"), "{told}");
        let told = block(&Redis::default(), "10.0.0.7:8765", "127.0.0.1:8766", "fanwire");
        assert!(told.contains("  fanwire pub --url ws://10.0.0.7:8765 --broadcast hello\n"), "{told}");
    }

    #[test]
    fn the_broker_is_told_without_its_password() {
        let redis = Redis {
            url: RedisUrl::new("redis://app:hunter2@cache:6379"),
            prefix: "blue".to_owned(),
            ..Redis::default()
        };
        let told = block(&redis, "127.0.0.1:8765", "127.0.0.1:8766", "fanwire");
        assert!(told.contains("  broker     Redis at redis://app:***@cache:6379, prefix blue\n"), "{told}");
    }

    #[test]
    fn the_program_is_called_as_it_was() {
        let check = |program: Option<&str>, expected: &str| {
            assert_eq!(invocation(program.map(OsString::from)), expected);
        };
        check(Some("target/release/fanwire"), "target/release/fanwire");
        check(Some("/home/me/my tools/fanwire"), "'/home/me/my tools/fanwire'");
        check(Some("it's"), r"'it'\''s'");
        check(Some("a\nb"), "fanwire");
        check(Some(""), "fanwire");
        check(None, "fanwire");
    }
}
