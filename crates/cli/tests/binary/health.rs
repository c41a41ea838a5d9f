//! Asking a node how it is.

use crate::{
    node::{Node, nobody},
    support::{Directory, Expected, check},
};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

/// Asks whoever is at `internal`.
#[track_caller]
fn ask(directory: &Directory, internal: &str, arguments: &[&str], code: i32, out: &[&str], err: &[&str]) {
    let internal = format!("internal.listen={internal}");
    let mut command = directory.fanwire(&["health", "--set", &internal]);
    check(command.args(arguments), &Expected { code, out, err });
}

#[test]
fn a_node_lives_and_is_ready() {
    let directory = Directory::new("healthy");
    let node = Node::start(&directory, &[]);
    ask(&directory, node.internal(), &[], 0, &["live\n"], &[]);
    ask(&directory, node.internal(), &["--ready"], 0, &["ready\n"], &[]);
    let everywhere = node.internal().replace("127.0.0.1", "0.0.0.0");
    ask(&directory, &everywhere, &[], 0, &["live\n"], &[]);
}

#[test]
fn a_node_that_starts_lives() {
    let directory = Directory::new("starting");
    let node = Node::start(&directory, &["--redis", &format!("redis://{}", nobody())]);
    ask(&directory, node.internal(), &[], 0, &["live\n"], &[]);
    ask(&directory, node.internal(), &["--ready"], 1, &[], &["not ready: starting: "]);
}

#[test]
fn a_node_that_is_not_there_is_one() {
    let directory = Directory::new("nowhere");
    let internal = nobody();
    ask(&directory, &internal, &[], 1, &[], &[&format!("nothing listens at http://{internal}: is the node running?")]);
    ask(&directory, "127.0.0.1:0", &[], 1, &[], &["internal.listen has port 0"]);
    ask(&directory, "nowhere", &[], 78, &[], &["internal.listen = \"nowhere\" (flag --set)"]);
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let directory = Directory::new("mute");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let internal = listener.local_addr().unwrap().to_string();
    let told = format!("no answer from http://{internal} within 50ms");
    ask(&directory, &internal, &["--timeout", "50ms"], 1, &[], &[&told]);
}

#[test]
fn who_says_something_else_is_no_node() {
    let directory = Directory::new("strange");
    for (answer, told) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "answered 404 Not Found"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "no proper answer from"),
        (String::new(), "no proper answer from"),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20)), "length limit exceeded"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)), "no proper answer from"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let internal = listener.local_addr().unwrap().to_string();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            // Whoever asks need not read it all.
            let _ = stream.write_all(answer.as_bytes());
        });
        ask(&directory, &internal, &[], 1, &[], &[told]);
        answering.join().unwrap();
    }
}
