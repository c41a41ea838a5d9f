//! A node that was started by the built command.

use crate::support::Directory;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::sleep,
    time::Duration,
};

/// A node on free ports.
pub(crate) struct Node {
    running: Running,
    /// The rest of what it says.
    pub(crate) log: BufReader<ChildStdout>,
    /// The lines of its start block.
    pub(crate) block: Vec<String>,
}

impl Node {
    /// Starts one and reads its start block.
    pub(crate) fn start(directory: &Directory, arguments: &[&str]) -> Self {
        let mut command = serve(directory, "127.0.0.1:0", "127.0.0.1:0", arguments);
        let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut log = BufReader::new(running.0.stdout.take().unwrap());
        let mut block = Vec::new();
        while block.last().is_none_or(|line: &String| !line.contains("--broadcast")) {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "{block:?}");
            block.push(line);
        }
        Self { running, log, block }
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> &str {
        self.told("clients ")
    }

    /// The host and port of the internal port.
    pub(crate) fn internal(&self) -> &str {
        self.told("internal ").strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap().0
    }

    fn told(&self, name: &str) -> &str {
        self.block.iter().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim()
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.running.stop()
    }
}

/// A node whose standard output is not for reading.
pub(crate) struct Unheard {
    running: Running,
    /// The host and port where clients connect.
    pub(crate) public: String,
    /// The host and port of the internal port.
    pub(crate) internal: String,
}

impl Unheard {
    /// Starts one and waits until it listens.
    pub(crate) fn start(directory: &Directory, stdout: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let (public, internal) = (nobody(), nobody());
        let mut running = Running(serve(directory, &public, &internal, arguments).stdout(stdout).spawn().unwrap());
        while TcpStream::connect(&internal).is_err() {
            assert_eq!(running.0.try_wait().unwrap(), None);
            sleep(Duration::from_millis(10));
        }
        Self { running, public, internal }
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.running.stop()
    }
}

/// A process that is killed when it is dropped before it has ended.
struct Running(Child);

impl Running {
    fn stop(&mut self) -> ExitStatus {
        let terminate = format!("kill -TERM {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &terminate]).status().unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `fanwire serve` on these addresses.
fn serve(directory: &Directory, public: &str, internal: &str, arguments: &[&str]) -> Command {
    let internal = format!("internal.listen={internal}");
    let mut command = directory.fanwire(&["serve", "--listen", public, "--set", &internal]);
    command.args(arguments);
    command
}

/// Status and body of what `host` answers to a GET.
pub(crate) fn get(host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
