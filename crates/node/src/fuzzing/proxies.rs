//! What proxies say of their clients, and what clients say that would pass for theirs.

use super::run;
use crate::{
    proxies::{ForwardedHeader, TrustedProxies},
    proxy_protocol::{Announced, LONGEST, Unannounced, read},
};
use http::{HeaderMap, HeaderValue, header::FORWARDED};
use std::net::{IpAddr, Ipv4Addr};
use tokio::io::AsyncReadExt;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// What a trusted proxy says of `CLIENT`, which has chosen what stands in quotes.
const TOLD: &[u8] = b"for=192.0.2.7;proto=https;host=\"";

/// Lines of `Forwarded` that a client sends, to which a proxy adds: in the last of them, or in one of its own.
pub fn forwarded(data: &[u8]) {
    let mut lines: Vec<Vec<u8>> = data.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let host = lines.pop().unwrap_or_default();
    let quoted: Vec<u8> = host.iter().flat_map(|byte| [b'\\', *byte]).collect();
    let told = [TOLD, &quoted, b"\""].concat();
    let apart = [&lines[..], std::slice::from_ref(&told)].concat();
    if let Some(client) = client_of(&apart) {
        assert_eq!(client, CLIENT, "a line of its own");
    }
    if let Some(last) = lines.last_mut() {
        last.extend([b", ", &told[..]].concat());
        // What the client has sent may make a line that can't be read; then it passes for nobody.
        assert!(client_of(&lines).is_none_or(|client| client == CLIENT || client == PROXY), "the same line");
    }
}

/// Whom these lines make a client, if they are any that HTTP lets through.
fn client_of(lines: &[Vec<u8>]) -> Option<IpAddr> {
    let values = lines.iter().map(|line| Some((FORWARDED, HeaderValue::from_bytes(line).ok()?)));
    let headers: HeaderMap = values.collect::<Option<_>>()?;
    let trusted = TrustedProxies::parse(&["10.0.0.1"]).unwrap();
    Some(ForwardedHeader::Forwarded.client(&trusted, PROXY, &headers))
}

/// What somebody sends who passes for a proxy: read whole or in pieces it says the same, and what stands behind it is
/// left to others.
pub fn proxy_protocol(data: &[u8]) {
    run(async {
        let mut rest = data;
        let whole = read(&mut rest).await;
        let taken = data.len() - rest.len();
        assert!(taken <= LONGEST, "{taken} bytes were read");
        let middle = data.len() / 2;
        let mut pieces = data[..middle].chain(&data[middle..]);
        assert_eq!(kind(&read(&mut pieces).await), kind(&whole));
        if whole.is_ok() {
            assert_eq!(read(&mut &data[..taken]).await, whole, "what stands behind it changes what it says");
        }
    });
}

/// What was read, whatever the words for what is wrong.
fn kind(read: &Result<Announced, Unannounced>) -> Result<Announced, Option<u8>> {
    read.clone().map_err(|unannounced| match unannounced {
        Unannounced::Missing(first) => Some(first),
        Unannounced::Vanished | Unannounced::Invalid(_) => None,
    })
}
