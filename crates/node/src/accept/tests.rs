#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::testing::{Answer, Gateway, REFUSALS, UNSENT, UPGRADE, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream as AsyncTcpStream,
};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn accepted_sockets_inherit_what_the_listener_was_prepared_with() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = prepare(listener, UNSENT).unwrap();
    let (_client, accepted) = tokio::join!(AsyncTcpStream::connect(address), listener.accept());
    let (stream, _) = accepted.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
}

#[tokio::test]
async fn beyond_the_limit_connections_are_refused_until_one_has_left() {
    let gateway = Gateway::start(2, LONG);
    let (first, _second) = (gateway.upgrade().await, gateway.upgrade().await);
    let (_, refused) = gateway.ask(UPGRADE).await;
    assert_eq!((refused.status, refused.has("retry-after: 1")), (503, true));
    drop(first);
    eventually(async || gateway.fixture.metric("fanwire_connections", "plain") == 1).await;
    gateway.upgrade().await;
}

#[tokio::test]
async fn a_connection_that_was_not_upgraded_gives_its_place_back() {
    let gateway = Gateway::start(1, LONG);
    for _ in 0..3 {
        let (mut stream, answer) = gateway.ask("GET / HTTP/1.1\r\nHost: node\r\n\r\n").await;
        assert_eq!(answer.status, 426);
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        drop(gateway.connect().await);
    }
    eventually(async || gateway.ask(UPGRADE).await.1.status == 101).await;
}

#[tokio::test]
async fn refusals_are_bounded() {
    let gateway = Gateway::start(0, LONG);
    let mut idle = Vec::new();
    for _ in 0..REFUSALS {
        idle.push(gateway.connect().await);
    }
    // Dropped unheard: the end of the stream, or a reset.
    assert_eq!(gateway.connect().await.read(&mut [0]).await.unwrap_or_default(), 0);
    assert_eq!(gateway.fixture.metric("fanwire_accept_dropped_total", ""), 1);
    // The others are heard all the same.
    let mut last = idle.pop().unwrap();
    last.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert_eq!(Answer::rest(last).await.status, 503);
    drop(idle);
    assert!(gateway.results().iter().all(|(result, _)| result == "connection_limit"));
}

#[test]
fn an_error_of_one_peer_does_not_rest_the_listener() {
    const EMFILE: i32 = 24;
    assert!(concerns_one_peer(&ErrorKind::ConnectionAborted.into()));
    assert!(!concerns_one_peer(&io::Error::from_raw_os_error(EMFILE)));
}

#[tokio::test]
async fn many_clients_at_once_find_room_before_they_are_accepted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _listener = prepare(listener, 1).unwrap();
    // More than what the standard library asks for: the kernel would leave the others without an answer.
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(60));
    let connected: Vec<_> = (0..256).map(connect).collect::<Result<_, _>>().unwrap();
    assert_eq!(connected.len(), 256);
}
