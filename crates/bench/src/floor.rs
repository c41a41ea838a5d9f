//! Scenario: the least that a fan-out can cost on this machine.
//!
//! One thread writes one ready frame to one socket after the other, another process reads. No WebSocket, no queue, no
//! runtime: what this costs a write, nothing that writes once a delivery can undercut.

use crate::{
    Error,
    crowd::make_room,
    dialect::Dialect,
    options::{MOST_SECONDS, MOST_SIZE, MOST_SOCKETS, Output, parse_rate},
    pace::Schedule,
    process::{Cost, Watch},
    stage::soon,
    websocket::{Options, dial},
};
use clap::Args;
use fanwire_protocol::frame::{Opcode, frame};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::LocalRuntime,
    task::JoinSet,
    time::timeout,
};

/// How long the reading process has to connect.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many sockets, how fast, how long.
#[derive(Debug, Clone, Args)]
pub struct Floor {
    /// Sockets
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    sockets: u32,
    /// Frames a second to each of them
    #[arg(long, default_value = "20", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of payload a frame
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=MOST_SIZE))]
    size: u32,
    /// Seconds to measure
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_SECONDS))]
    seconds: u32,
    #[command(flatten)]
    output: Output,
}

/// The reading process.
#[derive(Debug, Clone, Args)]
pub struct Reader {
    address: SocketAddr,
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    sockets: u32,
}

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    sockets: u32,
    rate: f64,
    size: u32,
    seconds: f64,
    writes: u64,
    /// Writes that the kernel did not take in whole: the reader was too slow.
    incomplete: u64,
    /// The writing process; its deliveries are writes.
    writer: Vec<Cost>,
}

impl Floor {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Measures. `prefix` is what stands before the scenario on this program's command line.
    pub fn run(&self, runtime: &LocalRuntime, prefix: &[&str]) -> Result<Report, Error> {
        make_room(self.sockets as usize)?;
        let (_reader, mut streams) = runtime.block_on(self.connect(prefix))?;
        let frame = frame(Opcode::Text, &vec![b'x'; self.size as usize]);
        let own = Watch::own()?;
        let schedule = Schedule { start: soon(), rate: self.rate };
        let end = schedule.start + Duration::from_secs(self.seconds.into());
        let before = own.cpu()?;
        let (mut writes, mut incomplete) = (0, 0);
        for due in (0..).map(|tick| schedule.due(tick)).take_while(|due| *due < end) {
            sleep(due.saturating_duration_since(Instant::now()));
            incomplete += write_to_all(&mut streams, &frame)?;
            writes += streams.len() as u64;
        }
        Ok(Report {
            scenario: "floor",
            sockets: self.sockets,
            rate: self.rate,
            size: self.size,
            seconds: schedule.start.elapsed().as_secs_f64(),
            writes,
            incomplete,
            writer: own.cost_since(&before, writes)?,
        })
    }

    async fn connect(&self, prefix: &[&str]) -> Result<(ReaderProcess, Vec<TcpStream>), Error> {
        let listening = "listener on loopback";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::system(listening))?;
        let address = listener.local_addr().map_err(Error::system(listening))?;
        let process = ReaderProcess::start(prefix, address, self.sockets)?;
        let accepting = async {
            let mut streams = Vec::with_capacity(self.sockets as usize);
            while streams.len() < self.sockets as usize {
                let (mut stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                stream.write_u8(0).await?;
                streams.push(stream.into_std()?);
            }
            Ok(streams)
        };
        match timeout(PATIENCE, accepting).await {
            Ok(accepted) => Ok((process, accepted.map_err(Error::system(listening))?)),
            Err(_) => Err(Error::Reader(format!("did not open {} connections within {PATIENCE:?}", self.sockets))),
        }
    }
}

fn write_to_all(streams: &mut [TcpStream], frame: &[u8]) -> Result<u64, Error> {
    let mut incomplete = 0;
    for stream in streams {
        match stream.write(frame) {
            Ok(length) if length == frame.len() => {}
            Ok(_) => incomplete += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => incomplete += 1,
            Err(source) => return Err(Error::System { what: "write to the reading process", source }),
        }
    }
    Ok(incomplete)
}

/// This program again, as the reader; ended with this value.
#[derive(Debug)]
struct ReaderProcess(Child);

impl ReaderProcess {
    fn start(prefix: &[&str], address: SocketAddr, sockets: u32) -> Result<Self, Error> {
        let starting = "start of the reading process";
        let program = std::env::current_exe().map_err(Error::system(starting))?;
        let child = Command::new(program)
            .args(prefix)
            .args(["floor-reader", &address.to_string(), &sockets.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(Error::system(starting))?;
        Ok(Self(child))
    }
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reader {
    /// Opens the connections and reads them until they end.
    pub async fn run(&self) -> Result<(), Error> {
        make_room(self.sockets as usize)?;
        let mut readers = JoinSet::new();
        for _ in 0..self.sockets {
            let options = Options { dialect: Dialect::Json, receive_buffer: None, source: None };
            let address = self.address;
            let failed = |source| Error::Connect { address, source };
            let mut stream = dial(address, options).await.map_err(failed)?;
            // Connecting faster than the writer accepts would overflow its backlog, and the kernel then waits a second.
            stream.read_u8().await.map_err(failed)?;
            readers.spawn_local(async move {
                let mut buffer = [0; 2048];
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            });
        }
        readers.join_all().await;
        Ok(())
    }
}

impl Report {
    /// Whether the kernel took every write in whole.
    pub fn is_clean(&self) -> bool {
        self.incomplete == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets, rate, size, seconds, writes, incomplete, .. } = self;
        writeln!(f, "floor: {sockets} sockets, {rate} frames a second of {size} bytes, {seconds:.1} s")?;
        write!(f, "{writes} writes (the deliveries below), {incomplete} of them incomplete")?;
        self.writer.iter().try_for_each(|cost| write!(f, "\nwriter, {cost}"))
    }
}
