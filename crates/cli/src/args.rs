//! Arguments of the command line.

use crate::config::{Environment, FileChoice, Flag, Inputs};
use clap::{Parser, Subcommand, ValueEnum};
use fanwire_client::{Encoding, Position};
use fanwire_tls::ClientFiles;
use std::{path::PathBuf, time::Duration};

/// Where `pub` and `sub` look for a node: where a node listens unless it is told otherwise.
pub(crate) const DEFAULT_URL: &str = "ws://127.0.0.1:8765";

const DEFAULT_FILE: &str = "config/fanwire.toml";

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused by the node, or failed otherwise; not live, or not ready;
      a drain that was cut short, by its deadline or a second signal
  2   wrong usage
  3   no connection to the node
  4   timed out
  78  the configuration is wrong";

const EXAMPLES: &str = "\
Examples:
  fanwire                                    a node with the embedded memory broker
  FANWIRE_REDIS__URL=redis://127.0.0.1:6379 fanwire serve
                                             a node of the cluster on that Redis
  fanwire check --config node.toml           what that file comes to
  fanwire check --connect                    whether a node would get on with Redis
  fanwire health                             whether the node here lives
  fanwire sub news                           prints what is published to news
  fanwire pub news 'hello'                   publishes to news
  fanwire pub --broadcast 'hello'            sends to every connection
  fanwire presence room                      who is on room
  fanwire pub --broadcast 'hello'            sends to every connection
  fanwire sub --url wss://HOST --ca ca.pem news
                                             over TLS, with an authority of your own";

const CONFIGURATION: &str = "\
Where values come from, the later ones winning:
  1. defaults
  2. config/fanwire.toml in the working directory if there is one, or --config FILE
  3. environment variables: FANWIRE_GROUP__KEY, as in FANWIRE_HEARTBEAT__INTERVAL=20s;
     namespaces in upper case, which means lower: FANWIRE_NAMESPACES__CHAT__HISTORY__SIZE=100
  4. flags: --set KEY=VALUE, as in --set heartbeat.interval=20s

`fanwire check` shows every key with its value and where that comes from.
Times are written with their unit (250ms, 20s, 1m 30s, 1h, 7d), sizes too (512B, 64KiB).
Whatever is not understood is an error; nothing falls back to a default.";

/// Fanwire: a horizontally scalable WebSocket gateway.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "fanwire", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: Sources,
}

impl Args {
    /// The command; `serve` if none was given.
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.sources))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until SIGTERM or Ctrl-C; then drain it and exit.
    ///
    /// A second signal ends it at once. The log goes to standard output; lines that nobody reads there are left out.
    #[command(after_help = format!("{CONFIGURATION}\n\n{EXIT_CODES}"))]
    Serve(Sources),
    /// Load the configuration as `serve` would, and print it or all that is wrong with it.
    ///
    /// What it prints is itself a configuration file, except that secrets are hidden. With --connect it prints what
    /// works at Redis and auth.jwks instead.
    #[command(after_help = format!("{CONFIGURATION}\n\n{EXIT_CODES}"))]
    Check(CheckArgs),
    /// Ask the node that runs with the same configuration whether it lives: for health checks of containers.
    ///
    /// It asks the node's internal port (internal.listen, over loopback where that is any address), so give it the
    /// sources that the node has. Where that port has TLS, any certificate will do unless --ca is given: nothing is
    /// told that would be secret. A node lives as long as it answers, whether Redis is there or not.
    #[command(after_help = format!("{HEALTH_EXAMPLES}\n\n{EXIT_CODES}"))]
    Health(HealthArgs),
    /// Publish to a channel, or broadcast to every connection.
    #[command(after_help = format!("{PUB_EXAMPLES}\n\n{EXIT_CODES}"))]
    #[command(
        override_usage = "fanwire pub [OPTIONS] CHANNEL CONTENT\n       fanwire pub [OPTIONS] --broadcast CONTENT"
    )]
    Pub(PubArgs),
    /// Print what is published to channels, and broadcasts.
    #[command(after_help = format!("{SUB_EXAMPLES}\n\n{EXIT_CODES}"))]
    Sub(SubArgs),
    /// Print who is on a channel, on whichever node.
    #[command(after_help = format!("{PRESENCE_EXAMPLES}\n\n{EXIT_CODES}"))]
    Presence(PresenceArgs),
    /// Make tokens, and say what they grant.
    Token(Box<TokenArgs>),
    /// Measure a node on this machine, or another server: latency, losses, processor time, memory.
    ///
    /// Messages are due at times that are fixed in advance, and their delay is counted from these: a server that is late
    /// with one can't hide how late it is with the next. Whatever is measured is checked too: that all arrived, once and
    /// in order.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Box<BenchArgs>),
}

/// Sources of the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    /// The configuration file, instead of config/fanwire.toml; it must exist.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect (server.listen).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The Redis that joins the nodes (redis.url). Other users of the machine may see it, so a password is better
    /// given in FANWIRE_REDIS__URL.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Any key of the configuration; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Sources {
    /// What to load the configuration from.
    pub(crate) fn inputs<'a>(&self, environment: &'a Environment) -> Inputs<'a> {
        let named = |path: &PathBuf| FileChoice::Named(path.clone());
        let file = self.config.as_ref().map_or_else(|| FileChoice::IfPresent(DEFAULT_FILE.into()), named);
        let set = self.set.iter().map(|(key, value)| ("--set", key.as_str(), value));
        let listen = self.listen.iter().map(|value| ("--listen", "server.listen", value));
        let redis = self.redis.iter().map(|value| ("--redis", "redis.url", value));
        let flag = |(name, key, value): (_, &str, &String)| Flag { name, key: key.to_owned(), value: value.clone() };
        Inputs { file, environment, flags: set.chain(listen).chain(redis).map(flag).collect() }
    }
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Connect to Redis, do there what a node does, and print for each server and each step whether it works; read the
    /// keys at auth.jwks, if those are anywhere; exit with 1 if anything doesn't work.
    #[arg(long)]
    pub(crate) connect: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("expected KEY=VALUE, such as heartbeat.interval=20s")?;
    Ok((pair.0.trim().to_owned(), pair.1.to_owned()))
}

const BENCH_EXAMPLES: &str = "\
Examples:
  fanwire bench fanout                       1,000 subscribers, 20 messages a second, 60 s
  fanwire bench fanout --pid $(pidof fanwire) --floor
                                             in turn with the least that it could cost, and the ratio
  fanwire bench fanout --saturate            as fast as one subscriber gets them
  fanwire bench connect --at-once 5000       all dialled at once
  fanwire bench idle --connections 19000     memory, and whether all are still there in the end
  fanwire bench fanout --template other.toml --url ws://127.0.0.1:3000/
                                             another server: crates/bench/README.md

Only servers on this machine are measured.

Exit codes:
  0   all arrived as it should
  1   something was lost, doubled, out of order or broken
  2   wrong usage, or the measurement could not be carried out";

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) scenario: fanwire_bench::Scenario,
}

const HEALTH_EXAMPLES: &str = "\
Examples:
  fanwire health                             prints live, or says on standard error what is wrong
  fanwire health --ready                     whether the node wants connections, and why not
  HEALTHCHECK CMD [\"fanwire\", \"health\"]      in a Dockerfile
  FANWIRE_INTERNAL__LISTEN=0.0.0.0:9000 fanwire health
                                             a node whose internal port is another

Restart a node that does not live; only send no new clients to one that is not ready.";

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Ask whether it is ready for connections, instead of whether it lives; a node whose Redis is away is not.
    #[arg(long)]
    pub(crate) ready: bool,
    /// Time in which it must have answered.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// Certificates for TLS.
#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// With TLS: a file in PEM with the authorities that are trusted for the node's certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With TLS: a file in PEM with a certificate to show to a node that wants one.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert: Option<PathBuf>,
    /// The key of --cert.
    #[arg(long = "cert-key", id = "key_file", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl TlsArgs {
    /// The files that are named.
    pub(crate) fn files(&self) -> ClientFiles {
        ClientFiles { ca: self.ca.clone(), cert: self.cert.clone(), key: self.key.clone() }
    }
}

/// Which node, and how to talk to it.
#[derive(Debug, clap::Args)]
pub(crate) struct EndpointArgs {
    /// The node, or the load balancer before the nodes; wss:// for TLS.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// How messages are spelt on the wire.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) encoding: EncodingArg,
    /// A token for a node that wants one, instead of that in FANWIRE_TOKEN. Other users of the machine may see it here.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// How messages are spelt on the wire.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum EncodingArg {
    /// fanwire.v1.json
    #[default]
    Json,
    /// fanwire.v1.msgpack
    Msgpack,
}

impl From<EncodingArg> for Encoding {
    fn from(encoding: EncodingArg) -> Self {
        match encoding {
            EncodingArg::Json => Self::Json,
            EncodingArg::Msgpack => Self::MessagePack,
        }
    }
}

const PUB_EXAMPLES: &str = "\
Examples:
  fanwire pub news 'hello'                   the text hello to the subscribers of news
  fanwire pub --json news '{\"a\": [1, 2]}'    a JSON value
  tail -f log | fanwire pub news -           each line as a publication, in order
  fanwire pub --broadcast 'hello'            to every connection of the cluster
  fanwire pub news -- -5                     a content that begins with a dash
  fanwire pub --key 4711 news 'hello'        once, however often this is run

It ends with 0 when the node has accepted everything. Lines of standard input are
sent without waiting for the answers to those before, up to 64 at a time; the first
that is refused ends it and is told by its number, and lines after that may have
been sent. So does a lost connection, which is not made again: whatever was not
answered may have been published, and twice might do harm.
With --key a lost connection is made again, and whatever was not answered is sent
again: nodes publish once what has the same key, in channels with history.";

/// Arguments of `pub`.
#[derive(Debug, clap::Args)]
pub(crate) struct PubArgs {
    /// The channel; with --broadcast, the content.
    #[arg(value_name = "CHANNEL")]
    pub(crate) first: String,
    /// What to publish; `-` reads it from standard input, each line a publication.
    #[arg(value_name = "CONTENT", required_unless_present = "broadcast", conflicts_with = "broadcast")]
    pub(crate) second: Option<String>,
    /// Send to every connection of the cluster instead of to a channel.
    #[arg(long)]
    pub(crate) broadcast: bool,
    /// The content is JSON, which is sent as it is written; without this it is a text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Publish once what has this key of 1 to 64 bytes; lines of standard input have KEY:1, KEY:2 and so on.
    ///
    /// The channel (with --broadcast, the broadcasts) must have a history, which remembers keys for some minutes.
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) key: Option<String>,
    /// Time for connecting, and for the node's answer to each publication.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
}

const SUB_EXAMPLES: &str = "\
Examples:
  fanwire sub news sport                     what is published to either, and broadcasts
  fanwire sub                                broadcasts alone
  fanwire sub news --count 1 --timeout 30s   the next message, or exit code 4 after 30 s
  fanwire sub news --json | jq .content      each message as a JSON object
  fanwire sub news --history 10              the last 10 messages first
  fanwire sub news --since aB3.17            all that came behind that place first

Output is one line per message: the channel (* for a broadcast), a tab, and the
content: a text as it is, binary content as base64, anything else as JSON. Line
breaks, tabs and other control characters are written as escapes.
With --json it is one JSON object per line, with the keys of the protocol and the
content as it was published; where there is a history, `epoch` and `offset` are the
place that --since takes as EPOCH.OFFSET.
Messages that are or may be missing are told on standard error, with --json on
standard output as objects of the types `lost` (channel, null for broadcasts;
epoch, offset), `gap` and `dropped`; they don't count.
A lost connection is made again and subscribed again, with waits of up to 10 s
between attempts. In channels with history the messages in between follow, once
and in order, or `lost` is told; in others they may be missing. That too is told,
with --json as `disconnected` (code, reason), `reconnected` (connection, node,
seconds; how many channels are recovered, unknown and lost, and which of these the
broadcasts are) and, for a channel that the node then refuses, `subscription_lost`
(channel, code, message). The first connection is attempted once, and one that it
would be useless to make again ends with 1.
With --presence it also tells who comes and goes in channels that tell so, on standard
error, with --json as `join` and `leave` (channel, connection, user, info; first and
last: whether the user came or went with it); they don't count.
With --recover it also tells how many messages of each channel are brought back, if any,
and when all have come, with --json as `recovering` (channel, messages; epoch and offset
behind which they come) and `live` (channel; null for broadcasts, as before), and without
--json at its end where each channel stands.
Ctrl-C ends it with 0.";

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
pub(crate) struct SubArgs {
    /// Channels to subscribe to; none for broadcasts alone.
    #[arg(value_name = "CHANNEL")]
    pub(crate) channels: Vec<String>,
    /// Print each message as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Begin behind this place in the history of the one CHANNEL or, without one, of the broadcasts.
    #[arg(long, value_name = "EPOCH.OFFSET")]
    pub(crate) since: Option<Position>,
    /// Print the last N messages of each channel first, as far as its history keeps them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(requires = "channels", conflicts_with = "since")]
    pub(crate) history: Option<u32>,
    /// Tell how much a new connection brings back, and where it ends.
    #[arg(long)]
    pub(crate) recover: bool,
    /// Tell who comes and goes.
    #[arg(long)]
    pub(crate) presence: bool,
    /// Exit with 0 after this many messages, broadcasts included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Exit with 4 when this time has passed since all subscriptions were in place.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Exit with 1 when the connection is lost, instead of connecting again.
    #[arg(long)]
    pub(crate) no_reconnect: bool,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
}

const PRESENCE_EXAMPLES: &str = "\
Examples:
  fanwire presence room                      who is on room
  fanwire presence room --stats              how many connections, of how many users
  fanwire presence room --json | jq .user    each member as a JSON object

Output is one line per connection, in their order: its id (NODE-NUMBER), a tab, the
user, a tab, and what it said of itself as JSON, or base64 if that is binary; a dash
stands for what is not known. Who comes or goes while the list is read may be missing.
The channel's namespace must have presence.";

/// Arguments of `presence`.
#[derive(Debug, clap::Args)]
pub(crate) struct PresenceArgs {
    /// The channel.
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
    /// Count connections and users instead.
    #[arg(long)]
    pub(crate) stats: bool,
    /// Print JSON objects.
    #[arg(long)]
    pub(crate) json: bool,
    /// Time for connecting, and for each of the node's answers.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
}

const TOKEN_EXAMPLES: &str = "\
Examples:
  export FANWIRE_AUTH__KEYS=main:HS256:/run/secrets/token-key
  fanwire token make --user 42 --subscribe 'chat:*' --publish chat:1
                                             a token for an hour, by the first secret of auth.keys
  fanwire token make --key main:ES256:private.pem --user 42 --lasts 5m
                                             by a private key, which no node has
  FANWIRE_TOKEN=$(fanwire token make --user me --subscribe '*') fanwire sub news
  fanwire token check TOKEN                  what it grants, or why it grants nothing";

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = TOKEN_EXAMPLES)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a token.
    #[command(after_help = TOKEN_EXAMPLES)]
    Make(Box<TokenMakeArgs>),
    /// Print what a token grants as JSON, as a node with the same configuration would see it; or say why nothing.
    #[command(after_help = TOKEN_EXAMPLES)]
    Check(TokenCheckArgs),
}

/// Arguments of `token make`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenMakeArgs {
    /// What signs: a secret or a private key in PEM; the first secret of auth.keys unless given.
    #[arg(long, value_name = "KID:ALGORITHM:FILE")]
    pub(crate) key: Option<String>,
    /// Whose token it is (sub).
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// How long it holds.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) lasts: Duration,
    /// Its own name (jti).
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// What others may be told of the user.
    #[arg(long, value_name = "JSON")]
    pub(crate) info: Option<String>,
    /// For whom (aud), instead of the first of auth.audiences.
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<String>,
    /// By whom (iss), instead of the first of auth.issuers.
    #[arg(long, value_name = "ISSUER")]
    pub(crate) issuer: Option<String>,
    /// Channels that may be subscribed to, in which * stands for any characters; can be repeated, as those that follow.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) subscribe: Vec<String>,
    /// Channels that may be published to.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) publish: Vec<String>,
    /// Channels whose members may be seen.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) presence: Vec<String>,
    /// Channels whose history may be read.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) history: Vec<String>,
    /// Whether broadcasts may be sent.
    #[arg(long)]
    pub(crate) broadcast: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// Arguments of `token check`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenCheckArgs {
    /// The token; `-` reads it from standard input.
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Server;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn clients_look_where_nodes_listen() {
        assert_eq!(DEFAULT_URL, format!("ws://{}", Server::default().listen));
    }
}
