//! `pub` with lines from standard input.

use crate::{
    node::{Node, get},
    support::{Directory, Expected, check},
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::Stdio,
};

#[test]
fn lines_arrive_in_order_and_as_they_are_written() {
    let directory = Directory::new("lines");
    let node = Node::start(&directory, &[]);
    let lines: Vec<_> = (0..2000).map(|number| format!(r#"{{"z":{number}.0e1,"a":[ ]}}"#)).collect();
    let file = directory.0.join("lines");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut sub = directory
        .fanwire(&["sub", "--url", node.url(), "--json", "--count", "2000", "news"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notices = BufReader::new(sub.stderr.take().unwrap());
    let mut notice = String::new();
    notices.read_line(&mut notice).unwrap();
    assert!(notice.contains("listening to news"), "{notice}");
    let mut publish = directory.fanwire(&["pub", "--url", node.url(), "--json", "news", "-"]);
    check(publish.stdin(File::open(file).unwrap()), &Expected { code: 0, out: &[], err: &[] });
    let printed: Vec<_> = BufReader::new(sub.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let expected: Vec<_> = lines
        .iter()
        .map(|line| format!(r#"{{"type":"message","channel":"news","content":{}}}"#, line.replace(' ', "")))
        .collect();
    assert_eq!(printed, expected);
    assert_eq!(sub.wait().unwrap().code(), Some(0));
}

#[test]
fn the_line_that_fails_is_told() {
    let directory = Directory::new("line").with("bad", "1\n2\n{\n4\n").with("long", "a\n");
    let node = Node::start(&directory, &[]);
    let fails = |arguments: &[&str], file: &str, told: &str| {
        let mut publish = directory.fanwire(&["pub", "--url", node.url()]);
        let input = File::open(directory.0.join(file)).unwrap();
        check(publish.args(arguments).stdin(input), &Expected { code: 1, out: &[], err: &[told] });
    };
    fails(&["--json", "news", "-"], "bad", "fanwire: line 3: the content is not JSON: EOF");
    fails(&["no space", "-"], "bad", "fanwire: line 1: refused with bad_request: ");
}

#[test]
fn the_end_of_the_connection_is_noticed_without_input() {
    let directory = Directory::new("quiet");
    let mut node = Node::start(&directory, &["--set", "drain.grace=0s", "--set", "drain.window=0s"]);
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut publish = directory.fanwire(&["pub", "--url", node.url(), "news", "-"]);
    let publish = publish.stdin(reader).stderr(Stdio::piped()).spawn().unwrap();
    // A connection is counted once it is there.
    while !get(node.internal(), "/metrics").1.contains("fanwire_connections{dialect=\"json\"} 1\n") {}
    node.stop();
    let output = publish.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("closed with 1012"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}
