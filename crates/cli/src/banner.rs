//! What a node says when it has started.

use crate::{
    address::reachable,
    args::DEFAULT_URL,
    config::{Config, LogFormat, PortCertificates, Redis},
    open_files::Allowance,
};
use fanwire_node::Listeners;
use fanwire_tls::Facts;
use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

/// Tells where the node listens, which broker it uses, and what to try next: people as a block of text in `log`,
/// programs as one event.
pub(crate) fn show(
    config: &Config,
    certificates: &[PortCertificates],
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
            let of = |key| certificates.iter().find(|port| port.key == key);
            let (tls, internal_tls) = (of("tls.cert"), of("internal.tls.cert").is_some());
            let redis = &config.redis;
            let started = Started { redis, public, tls, internal, internal_tls, files, connections, program };
            log.write_all(started.block().as_bytes())
        }
    }
}

/// A node that has started.
struct Started<'a> {
    redis: &'a Redis,
    public: SocketAddr,
    /// The public port's certificates, if it has TLS.
    tls: Option<&'a PortCertificates>,
    internal: SocketAddr,
    /// Whether the internal port has TLS.
    internal_tls: bool,
    files: Option<u64>,
    connections: usize,
    /// How to call this program again.
    program: String,
}

impl Started<'_> {
    fn block(&self) -> String {
        let Self { redis, public, tls, internal, internal_tls, files, connections, program } = self;
        let version = env!("CARGO_PKG_VERSION");
        let certificate = tls.and_then(|tls| tls.side.certificates.first());
        let url = url(reachable(*public), certificate);
        let page = url.replacen("ws", "http", 1);
        let http = format!("http{}://{}", if *internal_tls { "s" } else { "" }, reachable(*internal));
        let (public, internal) = (everywhere(*public), everywhere(*internal));
        let broker = match redis.place() {
            Some(place) => format!("Redis at {place}, prefix {}", redis.prefix),
            None => "in memory, for this node alone; FANWIRE_REDIS__URL=redis://HOST:PORT joins nodes".to_owned(),
        };
        let files = files.map_or_else(String::new, |files| {
            format!("\n  files      {files} may be open; {connections} connections are taken at most")
        });
        let at = if url == DEFAULT_URL { String::new() } else { format!(" --url {url}") };
        let at = at + &ca(certificate, tls.map_or(Path::new(""), |tls| &tls.first));
        format!(
            "\
Fanwire {version}
  clients    {url}{public}
  internal   {http}/metrics, /health/live, /health/ready{internal}
  broker     {broker}{files}
Try in other terminals:
  {program} sub{at} news
  {program} pub{at} news hello
or in the console of a browser that shows {page}, for broadcasts:
  new WebSocket(\"{url}\").onmessage = e => console.log(e.data)
  {program} pub{at} --broadcast hello
"
        )
    }
}

/// Where clients connect: with TLS, under a name that the certificate is for.
fn url(address: SocketAddr, certificate: Option<&Facts>) -> String {
    let Some(facts) = certificate else { return format!("ws://{address}") };
    let ip = address.ip().to_string();
    match facts.names.iter().find(|name| !name.contains('*') && !name.contains(':')) {
        Some(name) if !facts.names.contains(&ip) => format!("wss://{name}:{}", address.port()),
        _ => format!("wss://{address}"),
    }
}

/// What clients trust where nobody else vouches for the certificate in `file`: itself.
fn ca(certificate: Option<&Facts>, file: &Path) -> String {
    let itself = certificate.filter(|facts| facts.self_signed);
    itself.map_or_else(String::new, |_| format!(" --ca {}", file.display()))
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
    use crate::config::SecretUrl;
    use std::time::UNIX_EPOCH;

    fn block(redis: &Redis, public: &str, internal: &str, program: &str) -> String {
        let (public, internal) = (public.parse().unwrap(), internal.parse().unwrap());
        let program = program.to_owned();
        let (tls, internal_tls) = (None, false);
        Started { redis, public, tls, internal, internal_tls, files: Some(1024), connections: 908, program }.block()
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
or in the console of a browser that shows http://127.0.0.1:8765, for broadcasts:
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
            url: SecretUrl::new("redis://app:hunter2@cache:6379"),
            prefix: "blue".to_owned(),
            ..Redis::default()
        };
        let told = block(&redis, "127.0.0.1:8765", "127.0.0.1:8766", "fanwire");
        assert!(told.contains("  broker     Redis at redis://app:***@cache:6379, prefix blue\n"), "{told}");
    }

    fn certificates(names: &[&str], self_signed: bool) -> Facts {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Facts { names, expires: UNIX_EPOCH, self_signed }
    }

    #[track_caller]
    fn check_url(facts: &Facts, expected: &str) {
        assert_eq!(url("127.0.0.1:8765".parse().unwrap(), Some(facts)), expected);
    }

    #[test]
    fn with_tls_the_name_is_one_of_the_certificate() {
        check_url(&certificates(&["localhost", "127.0.0.1"], true), "wss://127.0.0.1:8765");
        check_url(&certificates(&["*.example", "::1", "a.example"], true), "wss://a.example:8765");
        check_url(&certificates(&["*.example"], true), "wss://127.0.0.1:8765");
        check_url(&certificates(&[], true), "wss://127.0.0.1:8765");
        assert_eq!(url("127.0.0.1:8765".parse().unwrap(), None), DEFAULT_URL);
    }

    #[test]
    fn a_certificate_that_vouches_for_itself_is_named() {
        let file = Path::new("cert.pem");
        assert_eq!(ca(Some(&certificates(&[], true)), file), " --ca cert.pem");
        assert_eq!(ca(Some(&certificates(&[], false)), file), "");
        assert_eq!(ca(None, file), "");
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
