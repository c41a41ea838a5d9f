#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::testing::{Answer, Fixture, Gateway, MAX_HEAD, Settings, UNHEARD, UPGRADE, eventually};
use crate::{origins::Scheme, proxy_protocol::Announced};
use fanwire_broker::{Page, ReadError};
use fanwire_protocol::{Deflate, Epoch, Position};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    sync::Semaphore,
};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const LONG: Duration = Duration::from_secs(60);

/// A request whose answer is `status` with `header`, and which is counted once, under `result`.
async fn check(request: &str, status: u16, header: &str, result: &str) {
    let gateway = Gateway::start(1, LONG);
    let (mut stream, answer) = gateway.ask(request).await;
    assert_eq!(answer.status, status, "to {request:?}");
    assert!(answer.has(header), "{answer:?} to {request:?} without {header:?}");
    if status != 101 {
        // A reset where not all of the request was read.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    drop(stream);
    eventually(async || gateway.upgrades.tracker.is_empty() && !gateway.results().is_empty()).await;
    assert_eq!(gateway.results(), [(result.to_owned(), 1)], "for {request:?}");
}

#[tokio::test]
async fn a_request_is_upgraded_however_it_is_spelled() {
    let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    for (from, to) in [
        ("", ""),
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection:upgrade,keep-alive"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
        ("Connection: Upgrade", "Connection: Upgrade\r\nX: y\r\nconnection: keep-alive"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("GET /any", "GET http://node:8765/any?token=x"),
        ("GET /any", "GET //"),
        ("Sec-WebSocket-Version", "Origin: http://node\r\nSec-WebSocket-Version"),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version"),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Protocol: \r\nSec-WebSocket-Version"),
    ] {
        check(&UPGRADE.replacen(from, to, 1), 101, accept, "accepted").await;
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_and_ends() {
    let close = "connection: close";
    let long = format!("X-Long: {}\r\nHost", "x".repeat(MAX_HEAD));
    for (from, to, status, header) in [
        ("GET", "POST", 405, "allow: get"),
        ("HTTP/1.1", "HTTP/1.0", 400, close),
        ("Connection: Upgrade", "Connection: close", 426, close),
        ("Connection: Upgrade", "Connection: close\r\nConnection: keep-alive", 426, close),
        ("Upgrade: websocket", "Upgrade: h2c", 426, "upgrade: websocket"),
        ("Version: 13", "Version: 8", 426, "sec-websocket-version: 13"),
        ("Key: dGhl", "Key: ", 400, close),
        ("Sec-WebSocket-Key", "X-Key", 400, close),
        ("HTTP/1.1", "HTTP/4.4", 400, close),
        ("GET /any", "\0", 400, close),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Extensions: a b\r\nSec-WebSocket-Version", 400, close),
    ] {
        check(&UPGRADE.replacen(from, to, 1), status, header, "malformed").await;
    }
    check(&UPGRADE.replacen("Host", &long, 1), 431, close, "head_too_large").await;
    let many = format!("{}Host", "X: y\r\n".repeat(100));
    check(&UPGRADE.replacen("Host", &many, 1), 431, close, "head_too_large").await;
    let protocol = "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version";
    check(&UPGRADE.replacen("Sec-WebSocket-Version", protocol, 1), 400, close, "unknown_subprotocol").await;
}

/// Which extensions the answer to a request with these headers names.
async fn check_extensions(headers: &str, expected: Option<&str>) {
    let deflate = Some(Deflate { level: 1, least: 1 });
    let fixture = Fixture::with(Settings { deflate, ..Settings::default() });
    let gateway = Gateway::before(fixture, TrustedProxies::default(), 1, LONG);
    let (_stream, answer) = gateway.ask(&UPGRADE.replacen("Host", &format!("{headers}\r\nHost"), 1)).await;
    let name = "sec-websocket-extensions: ";
    let named = answer.headers.iter().find_map(|line| line.strip_prefix(name));
    assert_eq!((answer.status, named), (101, expected), "to {headers:?}");
}

#[tokio::test]
async fn compression_is_agreed_on_with_those_who_offer_it_and_speak_a_dialect_for_programs() {
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let (json, offer) = ("Sec-WebSocket-Protocol: fanwire.v1.json", "Sec-WebSocket-Extensions: permessage-deflate");
    check_extensions(&format!("{json}\r\n{offer}; client_max_window_bits"), Some(agreed)).await;
    check_extensions(&format!("{json}\r\nSec-WebSocket-Extensions: other\r\n{offer}"), Some(agreed)).await;
    check_extensions(&format!("{json}\r\n{offer}; other"), None).await;
    check_extensions(json, None).await;
    check_extensions(offer, None).await;
}

/// How a request that tells a user is answered by a node that trusts `proxy`, if any.
async fn check_user(proxy: Option<&str>, user: &str, status: u16, result: &str) {
    let proxies = TrustedProxies::parse(proxy.as_slice()).unwrap();
    let gateway = Gateway::behind(proxies, 1, LONG);
    let request = UPGRADE.replacen("Host", &format!("X-User: {user}\r\nHost"), 1);
    let (_stream, answer) = gateway.ask(&request).await;
    assert_eq!(answer.status, status, "{user:?}");
    eventually(async || gateway.results() == [(result.to_owned(), 1)]).await;
}

#[tokio::test]
async fn a_user_that_nobody_can_be_is_refused_and_strangers_are_not_asked() {
    let long = "x".repeat(129);
    for (proxy, user, status, result) in [
        (Some("127.0.0.1"), "zoe", 101, "accepted"),
        (Some("127.0.0.1"), &long, 400, "invalid_user"),
        (Some("127.0.0.1"), "", 400, "invalid_user"),
        (Some("127.0.0.1"), "a\r\nX-User: b", 400, "invalid_user"),
        (Some("10.0.0.1"), &long, 101, "accepted"),
        (None, &long, 101, "accepted"),
    ] {
        check_user(proxy, user, status, result).await;
    }
}

const V1: &str = "PROXY TCP4 203.0.113.9 127.0.0.1 5 80\r\n";

#[tokio::test]
async fn a_trusted_proxy_begins_with_the_proxy_protocol() {
    let gateway = Gateway::announced(2, LONG);
    let (stream, answer) = gateway.ask(&format!("{V1}{UPGRADE}")).await;
    assert_eq!(answer.status, 101);
    let (_stream, answer) = gateway.ask(&format!("PROXY UNKNOWN\r\n{UPGRADE}")).await;
    assert_eq!(answer.status, 101);
    drop(stream);
    let answer = Answer::to(gateway.address, UPGRADE).await;
    assert_eq!((answer.status, answer.body.contains("server.proxy_protocol")), (400, true));
    let mut cut_off = gateway.connect().await;
    cut_off.write_all(b"PROXY TCP4 203.0.113.9 nowhere 5 80\r\n").await.unwrap();
    assert_eq!(cut_off.read_to_end(&mut Vec::new()).await.unwrap_or_default(), 0);
    let counted = ["accepted", "missing_proxy_header", "invalid_proxy_header"].map(str::to_owned).into_iter();
    let expected: Vec<_> = counted.zip([2, 1, 1]).collect();
    eventually(async || {
        let mut results = gateway.results();
        results.sort_by_key(|(result, _)| expected.iter().position(|(name, _)| name == result));
        results == expected
    })
    .await;
}

#[tokio::test]
async fn a_header_comes_in_time_or_not_at_all() {
    let gateway = Gateway::announced(1, Duration::from_millis(50));
    let mut slow = gateway.connect().await;
    slow.write_all(&V1.as_bytes()[..20]).await.unwrap();
    assert_eq!(slow.read_to_end(&mut Vec::new()).await.unwrap_or_default(), 0);
    eventually(async || gateway.results() == [("timed_out".to_owned(), 1)]).await;
    gateway.fixture.assert_empty();
    drop(gateway.connect().await);
    eventually(async || gateway.ask(&format!("{V1}{UPGRADE}")).await.1.status == 101).await;
}

#[tokio::test]
async fn nobody_else_may_use_the_proxy_protocol() {
    let v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x7f\0\0\x01\0\x05\0\x50";
    for header in [V1, "PROXY UNKNOWN\r\n", v2] {
        check(&format!("{header}{UPGRADE}"), 400, "connection: close", "malformed").await;
    }
}

/// For whom a request is taken, and by which scheme, which `announced` and the headers of `request` tell.
fn told(announced: Announced, request: &[(&'static str, &'static str)]) -> (String, Scheme) {
    let fixture = Fixture::start();
    let proxies = TrustedProxies::parse(&["127.0.0.1", "10.0.0.0/8"]).unwrap();
    let upgrades = crate::testing::upgrades(&fixture, proxies, LONG);
    let header = |(name, value): &(&'static str, &'static str)| {
        (http::HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let (headers, peer) = (request.iter().map(header).collect(), Peer::of(CLIENT).announces(announced));
    (upgrades.client(peer, &headers).to_string(), upgrades.scheme(&headers, peer))
}

#[tokio::test]
async fn headers_count_where_a_proxy_has_announced_another() {
    let client = |address: &str, scheme| Announced::Client { address: address.parse().unwrap(), scheme };
    let forged = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")];
    let told = |announced| told(announced, &forged);
    assert_eq!(told(client("203.0.113.9", None)), ("203.0.113.9".to_owned(), Scheme::Http));
    assert_eq!(told(client("203.0.113.9", Some(Scheme::Https))), ("203.0.113.9".to_owned(), Scheme::Https));
    assert_eq!(told(client("10.0.0.7", None)), ("6.6.6.6".to_owned(), Scheme::Https));
    assert_eq!(told(Announced::Nobody), ("127.0.0.1".to_owned(), Scheme::Http));
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    for origin in ["http://elsewhere", "https://node", "null"] {
        let request = UPGRADE.replacen("Host", &format!("Origin: {origin}\r\nHost"), 1);
        check(&request, 403, "connection: close", "foreign_origin").await;
    }
}

#[tokio::test]
async fn a_request_behind_one_that_was_refused_is_not_heard() {
    let gateway = Gateway::start(1, LONG);
    let two = format!("GET / HTTP/1.1\r\nHost: node\r\n\r\n{UPGRADE}");
    let answer = Answer::to(gateway.address, &two).await;
    assert_eq!((answer.status, answer.body.contains("HTTP/1.1")), (426, false));
    assert_eq!(gateway.results(), [("malformed".to_owned(), 1)]);
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    for body in ["Content-Length: 5\r\n\r\nhello", "Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
        check(&UPGRADE.replacen("\r\n\r\n", &format!("\r\n{body}"), 1), 400, "connection: close", "malformed").await;
    }
    let empty = UPGRADE.replacen("Host", "Content-Length: 0\r\nHost", 1);
    check(&empty, 101, "upgrade: websocket", "accepted").await;
}

#[tokio::test]
async fn what_comes_too_slowly_is_dropped() {
    let gateway = Gateway::start(1, Duration::from_millis(20));
    for begun in ["", "GET ", &UPGRADE[..UPGRADE.len() - 2]] {
        let mut stream = gateway.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0);
    }
    assert_eq!(gateway.results(), [("timed_out".to_owned(), 3)]);
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let gateway = Gateway::start(1, LONG);
    let request = "POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(Answer::to(gateway.address, request).await.status, 405);
    assert_eq!(gateway.results(), [("malformed".to_owned(), 1)]);
}

#[tokio::test]
async fn an_upgrade_under_way_is_waited_for_by_a_drain_and_none_is_granted_later() {
    let gateway = Gateway::start(1, LONG);
    let (upgrades, seats) = (&gateway.upgrades, Arc::new(Semaphore::new(2)));
    let mut request = Request::builder()
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Body::default())
        .unwrap();
    let seat = Mutex::new(Seat::take(&seats, true));
    let Ok((_, granted)) = upgrades.grant(&mut request, Peer::of(CLIENT), CLIENT, &seat).await else {
        panic!("refused")
    };
    upgrades.tracker.close();
    assert_eq!(upgrades.tracker.len(), 1);

    let seat = Mutex::new(Seat::take(&seats, true));
    let Err(refused) = upgrades.grant(&mut request, Peer::of(CLIENT), CLIENT, &seat).await else { panic!("granted") };
    assert_eq!((refused.0, refused.1.status()), (UpgradeResult::Draining, StatusCode::SERVICE_UNAVAILABLE));
    assert!(lock(&seat).is_some(), "a socket that is being refused has no seat");
    drop(granted);
    upgrades.tracker.wait().await;
    assert_eq!(seats.available_permits(), 1);
}

#[tokio::test]
async fn nobody_is_upgraded_before_the_node_knows_where_the_broadcasts_stand() {
    let (fixture, mut calls, _feed) = Fixture::scripted_with_history();
    let gateway = Gateway::before(fixture, TrustedProxies::default(), 1, LONG);
    assert_eq!(Answer::to(gateway.address, UPGRADE).await.status, 503);
    calls.history().await.1.send(Err(ReadError::Timeout)).unwrap();
    let (_, read) = calls.history().await;
    assert_eq!(Answer::to(gateway.address, UPGRADE).await.status, 503);
    assert_eq!(gateway.results(), [("starting".to_owned(), 2)]);

    let newest = Position { epoch: Epoch::parse("a").unwrap(), offset: 7 };
    read.send(Ok(Page { newest, publications: Vec::new(), complete: true })).unwrap();
    eventually(async || gateway.fixture.readiness.check().is_ok()).await;
    let json = "Sec-WebSocket-Protocol: fanwire.v1.json\r\nSec-WebSocket-Version";
    let (mut stream, answer) = gateway.ask(&UPGRADE.replacen("Sec-WebSocket-Version", json, 1)).await;
    assert_eq!(answer.status, 101);
    let mut welcome = vec![0; 512];
    let length = stream.read(&mut welcome).await.unwrap();
    let welcome = String::from_utf8_lossy(&welcome[..length]).into_owned();
    assert!(welcome.contains(r#""broadcast":{"epoch":"a","offset":7}"#), "{welcome}");
}

/// A socket whose reader has a bug.
struct Failing;

impl AsyncRead for Failing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        panic!("a bug")
    }
}

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_upgrade_that_panics_gives_its_place_back_and_the_next_is_served() {
    let gateway = Gateway::start(1, LONG);
    let (upgrades, seat) = (Arc::clone(&gateway.upgrades), gateway.fixture.seat());
    let turn = upgrades.unheard.enter(Instant::now() + LONG);
    let failed =
        tokio::spawn(async move { upgrades.upgrade(Failing, Peer::of(CLIENT), seat, turn).await.is_some() }).await;
    assert!(failed.is_err_and(|error| error.is_panic()));
    gateway.fixture.assert_empty();
    gateway.upgrade().await;
}

#[tokio::test]
async fn half_a_request_makes_way_for_others() {
    let gateway = Gateway::start(2 * UNHEARD, LONG);
    let mut halves = Vec::new();
    for _ in 0..UNHEARD {
        let mut half = gateway.connect().await;
        half.write_all(&UPGRADE.as_bytes()[..UPGRADE.len() / 2]).await.unwrap();
        halves.push(half);
    }
    let upgraded = gateway.upgrade().await;
    eventually(async || gateway.results().len() == 2).await;
    assert_eq!(gateway.results(), [("accepted".to_owned(), 1), ("handshake_limit".to_owned(), 1)]);
    // Who is upgraded makes no way any more, and the other halves may still become whole.
    let mut last = halves.pop().unwrap();
    last.write_all(&UPGRADE.as_bytes()[UPGRADE.len() / 2..]).await.unwrap();
    assert_eq!(Answer::head_of(&mut last).await.status, 101);
    drop((upgraded, halves));
    eventually(async || gateway.upgrades.tracker.len() == 1).await;
}

/// How long the future is that waits for a request, in bytes.
const WAITING: usize = 1100;

fn size_of_output<F>(_: impl Fn(Arc<Upgrades>, std::net::TcpStream, IpAddr, Place, Seat) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_connection_that_is_waited_for_is_small() {
    let size = size_of_output(Upgrades::serve);
    assert!(size <= WAITING, "it has {size} bytes");
}
