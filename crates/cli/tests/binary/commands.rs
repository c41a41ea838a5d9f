//! Usage, configuration, exit codes.

use crate::support::{Directory, Expected, check};
use std::{fs, net::TcpListener};

#[test]
fn check_prints_effective_values_with_their_sources() {
    let directory = Directory::new("effective").with("config/fanwire.toml", "[outbox]\npolicy = \"drop_oldest\"\n");
    let mut command = directory.fanwire(&["check", "--listen", "0.0.0.0:80", "--set", "log.format=json"]);
    command.env("FANWIRE_HEARTBEAT__INTERVAL", "45s").env("OTHER", "1");
    let out = &[
        "[server]\nlisten = \"0.0.0.0:80\" # flag --listen\n",
        "policy = \"drop_oldest\" # file config/fanwire.toml\n",
        "interval = \"45s\" # environment variable FANWIRE_HEARTBEAT__INTERVAL\n",
        "format = \"json\" # flag --set\n",
        "broadcast = \"广播消息: {content}\" # default\n",
    ];
    check(&mut command, &Expected { code: 0, out, err: &[] });
}

#[test]
fn what_check_prints_can_be_loaded_again() {
    let directory = Directory::new("again");
    let printed = directory.fanwire(&["check"]).output().unwrap().stdout;
    let directory = directory.with("printed.toml", &String::from_utf8(printed).unwrap());
    let out = &["# file printed.toml"];
    check(&mut directory.fanwire(&["check", "--config", "printed.toml"]), &Expected { code: 0, out, err: &[] });
}

#[test]
fn secrets_are_hidden() {
    let directory = Directory::new("secrets");
    let mut command = directory.fanwire(&["check"]);
    command.env("FANWIRE_REDIS__URL", "redis://app:hunter2@redis:6379/1");
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("url = \"redis://app:***@redis:6379/1\""), "{out}");
    assert!(!out.contains("hunter2"), "{out}");
    command.env("FANWIRE_REDIS__URL", "app:hunter2@redis");
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("redis.url = \":***@redis\"") && !err.contains("hunter2"), "{err}");
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let directory = Directory::new("wrong").with("node.toml", "[heartbeat]\nintervall = \"5s\"\n");
    for command in ["check", "serve"] {
        let err = &["heartbeat.intervall = \"5s\" (file node.toml): no such key; did you mean heartbeat.interval?"];
        let mut command = directory.fanwire(&[command, "--config", "node.toml"]);
        check(&mut command, &Expected { code: 78, out: &[], err });
    }
}

#[test]
fn check_refuses_what_serve_would() {
    let directory = Directory::new("refused");
    for (setting, told) in [
        (
            "redis.url=rediss://app:hunter2@redis:0",
            "redis.url = \"rediss://app:***@redis:0\" (flag --set): not a Redis URL",
        ),
        ("redis.url=redis://app@redis", "redis.url = \"redis://:***@redis\" (flag --set): the Redis URL names a user"),
        ("redis.url=redis://redis:0", "redis.url = \"redis://redis:0\" (flag --set): not a Redis URL: the port is 0"),
        ("redis.prefix=a{b}", "redis.prefix = \"a{b}\" (flag --set): \"a{b}\" can't begin names"),
        ("plain.error={reason}{reason}", "plain.error = \"{reason}{reason}\" (flag --set): has {reason} 2 times"),
        ("log.level=loud", "log.level = \"loud\" (flag --set): \"loud\" is no level"),
    ] {
        for command in ["check", "serve"] {
            check(&mut directory.fanwire(&[command, "--set", setting]), &Expected { code: 78, out: &[], err: &[told] });
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let directory = Directory::new("all").with("config/fanwire.toml", "[limits]\nmessage = 5\n");
    let mut command = directory.fanwire(&["check", "--set", "drain.graze=1s"]);
    command.env("FANWIRE_LIMITS__CHANNELS", "many").env("FANWIRE_REDIS_URL", "");
    let err = &[
        "limits.message = 5 (file config/fanwire.toml): expected a whole number with a unit",
        "limits.channels = \"many\" (environment variable FANWIRE_LIMITS__CHANNELS): expected a whole number",
        "environment variable FANWIRE_REDIS_URL = \"\": no such setting; did you mean FANWIRE_REDIS__URL?",
        "drain.graze = \"1s\" (flag --set): no such key; did you mean drain.grace?",
    ];
    check(&mut command, &Expected { code: 78, out: &[], err });
}

#[test]
fn a_named_file_must_be_there_and_readable() {
    let directory = Directory::new("named").with("node.toml.toml", "");
    let fails = |file: &str, err: &str| {
        check(&mut directory.fanwire(&["check", "--config", file]), &Expected { code: 78, out: &[], err: &[err] });
    };
    fails("node.toml", "file node.toml: No such file or directory");
    fails("config", "file config: Is a directory");
    fs::write(directory.0.join("latin1.toml"), [b'#', 0xe4]).unwrap();
    fails("latin1.toml", "file latin1.toml: stream did not contain valid UTF-8");
}

#[test]
fn service_links_are_ignored_with_a_warning() {
    let directory = Directory::new("links");
    let mut command = directory.fanwire(&["check"]);
    command.env("FANWIRE_PORT", "tcp://10.0.0.1:8765").env("FANWIRE_SERVICE_HOST", "10.0.0.1");
    let err = &["warning: ignored environment variables", "FANWIRE_PORT, FANWIRE_SERVICE_HOST"];
    check(&mut command, &Expected { code: 0, out: &["[server]"], err });
}

#[test]
fn wrong_usage_is_told() {
    let directory = Directory::new("usage");
    for arguments in [
        &["serve", "--liste", "x"][..],
        &["frobnicate"],
        &["pub", "news"],
        &["pub", "--broadcast", "a", "b"],
        &["sub", "--count", "0"],
        &["sub", "--timeout", "5"],
        &["sub", "--encoding", "xml"],
        &["health", "--timeout", "2"],
        &["check", "--set", "heartbeat.interval"],
    ] {
        check(&mut directory.fanwire(arguments), &Expected { code: 2, out: &[], err: &["error: "] });
    }
}

#[test]
fn help_tells_exit_codes_and_examples() {
    let directory = Directory::new("help");
    for command in ["--help", "serve", "check", "health", "pub", "sub"] {
        let arguments = [command, "--help"];
        let out = &["Usage: fanwire", "Exit codes:", "78"];
        check(&mut directory.fanwire(&arguments), &Expected { code: 0, out, err: &[] });
    }
    let out = &[concat!("fanwire ", env!("CARGO_PKG_VERSION"))];
    check(&mut directory.fanwire(&["--version"]), &Expected { code: 0, out, err: &[] });
}

#[test]
fn a_node_that_is_not_there_is_three() {
    let directory = Directory::new("absent");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let err = &["can't be reached: Connection refused"];
    check(&mut directory.fanwire(&["pub", "--url", &url, "news", "x"]), &Expected { code: 3, out: &[], err });
    check(&mut directory.fanwire(&["sub", "--url", &url]), &Expected { code: 3, out: &[], err });
    let err = &["\"127.0.0.1:8765\" is no WebSocket URL"];
    check(&mut directory.fanwire(&["sub", "--url", "127.0.0.1:8765"]), &Expected { code: 3, out: &[], err });
}

#[test]
fn a_node_that_says_nothing_is_three() {
    let directory = Directory::new("silent");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let err = &["timed out waiting for the node's welcome"];
    let mut command = directory.fanwire(&["pub", "--timeout", "50ms", "--url", &url, "news", "x"]);
    check(&mut command, &Expected { code: 3, out: &[], err });
}

#[test]
fn content_that_is_no_json_is_one() {
    let directory = Directory::new("content");
    let err = &["the content is not JSON"];
    check(&mut directory.fanwire(&["pub", "--json", "news", "{"]), &Expected { code: 1, out: &[], err });
}

#[test]
fn a_reader_that_left_ends_it_quietly() {
    let directory = Directory::new("pipe");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    check(directory.fanwire(&["check"]).stdout(writer), &Expected { code: 0, out: &[], err: &[] });
}
