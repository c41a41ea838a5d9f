//! The loop.

use super::inbound::{Command, Inbound};
use crate::{Error, crowd::make_room, dialect::Dialect, options::MOST_SOCKETS, upgrade::ACCEPT};
use fanwire_protocol::frame::{Opcode, frame};
use indexmap::IndexSet;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};
use slab::Slab;
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write, stdin, stdout},
    net::Ipv4Addr,
    sync::Arc,
    thread,
};

/// Connections have numbers below these.
const LISTENER: Token = Token(usize::MAX);
const END: Token = Token(usize::MAX - 1);

/// What may wait at a connection that does not read, in bytes; beyond that it is dropped.
const MOST_PENDING: usize = 64 << 20;

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// Serves on a free port, whose address goes to standard output, until standard input ends.
pub fn serve() -> Result<(), Error> {
    let most = usize::try_from(MOST_SOCKETS).unwrap_or(usize::MAX);
    make_room(most)?;
    Server::start().and_then(Server::run).map_err(Error::system("the floor's loop"))
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    subscribers: HashMap<String, IndexSet<usize>>,
    buffer: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    upgraded: bool,
    channel: Option<String>,
    /// What has arrived of what is not whole.
    inbound: Vec<u8>,
    /// What the kernel has not taken yet: at the loads that are compared it takes all.
    pending: Vec<u8>,
}

impl Server {
    fn start() -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(i32::from(u16::MAX))?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        writeln!(stdout(), "ws://{}/", listener.local_addr()?)?;
        let waker = Arc::new(Waker::new(poll.registry(), END)?);
        thread::spawn(move || {
            // However it ends, it ends; then whoever started this is gone.
            let _ = io::copy(&mut stdin(), &mut io::sink());
            let _ = waker.wake();
        });
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        Ok(Self { poll, listener, connections: Slab::new(), subscribers: HashMap::new(), buffer })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    END => return Ok(()),
                    LISTENER => self.accept()?,
                    Token(key) => {
                        if event.is_writable() {
                            self.write(key, &[]);
                        }
                        if event.is_readable() {
                            self.read(key);
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let token = Token(entry.key());
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            entry.insert(Connection {
                stream,
                upgraded: false,
                channel: None,
                inbound: Vec::new(),
                pending: Vec::new(),
            });
        }
    }

    fn read(&mut self, key: usize) {
        while let Some(connection) = self.connections.get_mut(key) {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => self.drop(key),
                Ok(length) => {
                    connection.inbound.extend_from_slice(&self.buffer[..length]);
                    self.take(key);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.drop(key),
            }
        }
    }

    fn take(&mut self, key: usize) {
        while let Some(connection) = self.connections.get_mut(key) {
            if !connection.upgraded {
                match connection.upgrade() {
                    Some(answer) => self.write(key, &answer),
                    None => return,
                }
                continue;
            }
            let Some(inbound) = Inbound::take(&mut connection.inbound) else { break };
            self.handle(key, inbound);
        }
        if let Some(connection) = self.connections.get_mut(key).filter(|connection| connection.inbound.is_empty()) {
            connection.inbound = Vec::new();
        }
    }

    fn handle(&mut self, key: usize, inbound: Inbound) {
        if inbound.opcode == Opcode::Close as u8 {
            self.write(key, &frame(Opcode::Close, &inbound.payload));
            return self.drop(key);
        }
        let Some((dialect, command)) = inbound.dialect().zip(inbound.command()) else { return };
        match command.kind.as_str() {
            "publish" => {
                self.answer(key, dialect, "ok", &command);
                self.write_to_all(&command.channel, &frame(dialect.opcode(), &inbound.into_message()));
            }
            "subscribe" => {
                self.answer(key, dialect, "ok", &command);
                self.subscribe(key, command.channel);
            }
            "ping" => self.answer(key, dialect, "pong", &command),
            _ => {}
        }
    }

    fn answer(&mut self, key: usize, dialect: Dialect, kind: &str, command: &Command) {
        if command.id.is_some() {
            let answer = crate::dialect::Command { kind, id: command.id, ..Default::default() };
            self.write(key, &frame(dialect.opcode(), &dialect.encode(&answer)));
        }
    }

    fn subscribe(&mut self, key: usize, channel: String) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.channel = Some(channel.clone());
            self.subscribers.entry(channel).or_default().insert(key);
        }
    }

    fn write_to_all(&mut self, channel: &str, frame: &[u8]) {
        let mut broken = Vec::new();
        for key in self.subscribers.get(channel).into_iter().flatten() {
            if self.connections.get_mut(*key).is_some_and(|connection| connection.write(frame).is_err()) {
                broken.push(*key);
            }
        }
        broken.into_iter().for_each(|key| self.drop(key));
    }

    fn write(&mut self, key: usize, bytes: &[u8]) {
        if self.connections.get_mut(key).is_some_and(|connection| connection.write(bytes).is_err()) {
            self.drop(key);
        }
    }

    fn drop(&mut self, key: usize) {
        let Some(mut connection) = self.connections.try_remove(key) else { return };
        if let Some(keys) = connection.channel.as_ref().and_then(|channel| self.subscribers.get_mut(channel)) {
            keys.swap_remove(&key);
        }
        // It is closed in any case.
        let _ = self.poll.registry().deregister(&mut connection.stream);
    }
}

impl Connection {
    /// The answer to the request, once that is whole.
    fn upgrade(&mut self) -> Option<Vec<u8>> {
        const END: &[u8] = b"\r\n\r\n";
        if self.inbound.len() > LONGEST_HEAD {
            self.inbound.clear();
        }
        let end = self.inbound.windows(END.len()).position(|window| window == END)? + END.len();
        let head: Vec<u8> = self.inbound.drain(..end).collect();
        self.upgraded = true;
        let head = String::from_utf8_lossy(&head);
        let subprotocol = head.lines().find(|line| line.to_ascii_lowercase().starts_with("sec-websocket-protocol:"));
        let subprotocol = subprotocol.map(|line| format!("{line}\r\n")).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n{subprotocol}\r\n"
        );
        Some(answer.into_bytes())
    }

    /// Writes what waits and then `bytes`; an error if it is broken or too far behind.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.pending.is_empty() {
            let written = self.write_some(bytes)?;
            self.pending.extend_from_slice(&bytes[written..]);
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let written = self.write_some(&pending)?;
        self.pending = pending[written..].to_vec();
        if self.pending.len() > MOST_PENDING { Err(ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }

    fn write_some(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let all = bytes.len();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(all - bytes.len())
    }
}
