//! What fuzzers call: whatever a client sends, it is answered or closed, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decoder;
mod positions;
mod proxies;

pub use decoder::decoder;
pub use positions::positions;
pub use proxies::{forwarded, proxy_protocol};

use crate::{
    TrustedProxies,
    testing::{Client, Fixture, Settings, results, settle, upgrades},
    upgrade::is_upgraded,
};
use fanwire_protocol::{Compression, Dialect, dialect::ALL};
use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::Builder,
};

/// More than any input is long.
const WIDE: usize = 1 << 20;

/// What the node may answer to a request.
const STATUSES: [&str; 7] = ["101", "400", "403", "405", "426", "431", "503"];

/// Runs `work` where time passes only when nobody has anything to do.
fn run(work: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work);
}

/// What a client sends from its first byte on, by way of a trusted proxy. At most one request is answered.
pub fn upgrade(data: &[u8]) {
    run(async {
        let fixture = Fixture::start();
        let proxies = TrustedProxies::parse(&["127.0.0.1"]).unwrap();
        let upgrades = upgrades(&fixture, proxies, Duration::from_secs(10));
        let (node, mut client) = duplex(WIDE);
        client.write_all(data).await.unwrap();
        let upgraded = is_upgraded(&upgrades, node, fixture.seat()).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let versions = ["HTTP/1.1 ", "HTTP/1.0 "];
        let status = versions.iter().find_map(|version| answer.strip_prefix(version)).and_then(|rest| rest.get(..3));
        assert!(answer.is_empty() || status.is_some_and(|status| STATUSES.contains(&status)), "{answer}");
        assert_eq!(upgraded, status == Some("101"), "{answer}");
        let counted: u64 = results(&fixture).iter().map(|(_, count)| count).sum();
        assert!(counted <= 1 && (answer.is_empty() || counted == 1), "{answer}: counted {counted} times");
        fixture.assert_empty();
    });
}

/// What a client sends once it is connected, behind a byte that says in which dialect, and whether messages may be
/// compressed, and one that says in which pieces.
pub fn frames(data: &[u8]) {
    let [dialect, piece, sent @ ..] = data else { return };
    let compression = if *dialect < 128 { Compression::Never } else { Compression::Deflate { window: 15 } };
    let (dialect, piece) = (ALL[usize::from(*dialect) % ALL.len()], usize::from(*piece).max(1));
    run(async {
        let fixture =
            Fixture::with(Settings { message_limit: 1024, channel_limit: 3, history: 4, ..Settings::default() });
        let mut other = fixture.connect().await;
        let first = &sent[..sent.len().min(piece)];
        let mut client = match compression {
            Compression::Never => fixture.connect_raw(dialect, WIDE, first),
            Compression::Deflate { .. } => fixture.connect_compressed(dialect, WIDE, first),
        };
        for bytes in sent.get(piece..).unwrap_or_default().chunks(piece) {
            client.try_send(bytes).await;
        }
        for (opcode, payload) in client.raw_frames().await {
            check(dialect, opcode, &payload);
        }
        client.vanish().await;
        settle().await;
        lives(&mut other).await;
        other.vanish().await;
        settle().await;
        assert_eq!(fixture.metric("fanwire_session_panics_total", ""), 0);
        fixture.assert_empty();
    });
}

/// A frame is one that clients of `dialect` can read.
fn check(dialect: Dialect, opcode: u8, payload: &[u8]) {
    match (opcode, dialect) {
        (1, Dialect::Json) => drop(serde_json::from_slice::<Value>(payload).unwrap()),
        (1, Dialect::Plain | Dialect::Echo) => drop(str::from_utf8(payload).unwrap()),
        (2, Dialect::MessagePack | Dialect::Echo) | (8..=10, _) => {}
        _ => panic!("no frame with opcode {opcode} was expected"),
    }
}

/// The connection still answers, behind whatever was published.
async fn lives(other: &mut Client) {
    other.send(r#"{"type":"ping"}"#).await;
    while other.event().await["type"] != "pong" {}
}

#[cfg(test)]
mod tests {
    use super::*;
    include!("../../../fuzz/corpora.rs");

    #[test]
    fn upgrades_of_the_corpus_do_no_harm() {
        each("upgrade", upgrade);
    }

    #[test]
    fn frames_of_the_corpus_do_no_harm() {
        each("frames", frames);
    }

    #[test]
    fn decoder_of_the_corpus_does_no_harm() {
        each("decoder", decoder);
    }

    #[test]
    fn forwarded_headers_of_the_corpus_do_no_harm() {
        each("forwarded", forwarded);
    }

    #[test]
    fn proxy_headers_of_the_corpus_do_no_harm() {
        each("proxy_protocol", proxy_protocol);
    }

    #[test]
    fn positions_of_the_corpus_do_no_harm() {
        each("positions", positions);
    }
}
