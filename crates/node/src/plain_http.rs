//! An answer to a request over HTTP where something else was expected first.

use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much of the request is read at a time, in bytes.
const CHUNK: usize = 1024;

/// Whether somebody who begins with `first` speaks HTTP without anything before it.
pub(crate) fn begins(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Answers 400 with `text`, and reads on to the request's end: closing a socket with unread bytes would take the answer
/// back. Whoever calls this bounds the time.
pub(crate) async fn refuse(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    let length = text.len() + 1;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n\
         {text}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; CHUNK];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
