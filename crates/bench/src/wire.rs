//! A publisher's socket for blocking use, by one thread that writes and one that reads.

use crate::dial::Stream;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_rustls::rustls::ClientConnection;
use tokio_util::either::Either;

/// How much is read from a socket with TLS at a time, in bytes.
const CHUNK: usize = 16 * 1024;

/// A blocking socket, with TLS or without.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    /// Held by whoever writes; with TLS also by whoever reads, but not while waiting for bytes.
    tls: Mutex<Option<Box<ClientConnection>>>,
}

impl Wire {
    /// `stream` for blocking use; a write fails that is held up for `patience`.
    pub fn new(stream: Stream, patience: Duration) -> io::Result<Self> {
        let (stream, tls) = match stream {
            Either::Left(stream) => (stream, None),
            Either::Right(secured) => {
                let (stream, tls) = (*secured).into_inner();
                (stream, Some(Box::new(tls)))
            }
        };
        let socket = stream.into_std()?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(patience))?;
        Ok(Self { socket, tls: Mutex::new(tls) })
    }

    /// Writes all of `bytes`.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self.lock().as_mut() {
            None => (&self.socket).write_all(bytes),
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                while tls.wants_write() {
                    tls.write_tls(&mut &self.socket)?;
                }
                Ok(())
            }
        }
    }

    /// Reads what there is, or waits for something; 0 is the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.lock().as_mut() {
                None => {}
                Some(tls) => match tls.reader().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    decrypted => return decrypted,
                },
            }
            let mut chunk = [0; CHUNK];
            let length = buffer.len().min(CHUNK);
            let read = (&self.socket).read(&mut chunk[..length])?;
            let mut received = &chunk[..read];
            match self.lock().as_mut() {
                Some(tls) if read > 0 => {
                    while !received.is_empty() {
                        tls.read_tls(&mut received)?;
                        tls.process_new_packets().map_err(io::Error::other)?;
                    }
                }
                _ => {
                    buffer[..read].copy_from_slice(received);
                    return Ok(read);
                }
            }
        }
    }

    /// Ends it, and whoever reads it.
    pub fn shutdown(&self) {
        // One that is gone already is what was wanted.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<ClientConnection>>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
