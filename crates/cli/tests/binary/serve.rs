//! A node from start to end.

use crate::{
    node::{Node, Unheard, get, nobody},
    support::Directory,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

#[test]
fn the_start_block_tells_what_works() {
    let directory = Directory::new("block");
    let mut node = Node::start(&directory, &[]);
    assert!(node.block[0].starts_with("Fanwire "), "{:?}", node.block);
    assert_eq!(get(node.internal(), "/health/ready").0, 200);
    let program = env!("CARGO_BIN_EXE_fanwire");
    let publish = format!("{program} pub --url {} news hello", node.url());
    assert!(node.block.iter().any(|line| line.trim() == publish), "{:?}", node.block);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_node_without_its_redis_lives_and_can_be_stopped() {
    let directory = Directory::new("away");
    let mut node = Node::start(&directory, &["--redis", &format!("redis://{}", nobody())]);
    assert_eq!(get(node.internal(), "/health/live").0, 200);
    let (status, body) = get(node.internal(), "/health/ready");
    assert_eq!(status, 503);
    assert!(body.contains(r#""reason":"starting""#), "{body}");
    assert_eq!(node.stop().code(), Some(0));
}

/// A stream that takes nothing any more, and its other end.
fn full() -> (UnixStream, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let refused = loop {
        if let Err(refused) = writer.write(&[b'\n'; 4096]) {
            break refused;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    writer.set_nonblocking(false).unwrap();
    (writer, reader)
}

/// Makes the node log how a connection ended.
fn connect_and_vanish(host: &str) {
    let mut stream = TcpStream::connect(host).unwrap();
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13";
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n")
        .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let directory = Directory::new("unread");
    let (stdout, _reader) = full();
    let mut node = Unheard::start(&directory, OwnedFd::from(stdout), &["--set", "log.level=trace"]);
    let mut lines_dropped = String::from(" 0");
    while lines_dropped.ends_with(" 0") {
        for _ in 0..1000 {
            connect_and_vanish(&node.public);
        }
        assert_eq!(get(&node.internal, "/health/live").0, 200);
        let metrics = get(&node.internal, "/metrics").1;
        let told = |line: &&str| line.starts_with("fanwire_log_lines_dropped_total ");
        lines_dropped = metrics.lines().find(told).unwrap().to_owned();
    }
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn the_end_of_the_log_is_written() {
    let directory = Directory::new("end");
    let mut node = Node::start(&directory, &[]);
    assert_eq!(node.stop().code(), Some(0));
    let mut rest = String::new();
    node.log.read_to_string(&mut rest).unwrap();
    assert!(rest.trim_end().ends_with("drained"), "{rest}");
}

#[test]
fn a_node_goes_on_when_the_reader_of_its_log_has_left() {
    let directory = Directory::new("left");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut node = Unheard::start(&directory, writer, &[]);
    assert_eq!(get(&node.internal, "/health/ready").0, 200);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn too_few_files_are_told_to_those_who_asked_for_more() {
    let directory = Directory::new("files");
    for (arguments, warns) in [(&["--set", "limits.connections=10000000"][..], true), (&[], false)] {
        let mut node = Node::start(&directory, arguments);
        node.stop();
        let mut rest = String::new();
        node.log.read_to_string(&mut rest).unwrap();
        let told = rest + &node.block.concat();
        assert_eq!(told.contains("limits.connections is 10000000, but only"), warns, "{told}");
    }
}
