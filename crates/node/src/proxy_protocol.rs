//! The PROXY protocol (its specification is HAProxy's `doc/proxy-protocol.txt`, versions 1 and 2): with it a proxy that
//! passes bytes on tells before the first of them from where they come.

use crate::origins::Scheme;
use proxy_protocol_rs::{
    InvalidReason::UnspecWithProxy, ParseError, ProxyInfo, SslClientFlags, TransportProtocol, V2_SIGNATURE, parse,
};
use std::{io, net::IpAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The beginning of a header of version 1.
const V1_SIGNATURE: &[u8] = b"PROXY ";

/// The end of a header of version 1.
const V1_END: &[u8] = b"\r\n";

/// The longest header of version 1, in bytes (section 2.1).
const V1_LONGEST: usize = 107;

/// How much of a header of version 2 tells how long it is, in bytes (section 2.2).
const V2_FIXED: usize = 16;

/// Where its version and command stand.
const V2_COMMAND: usize = 12;

/// Version 2, command LOCAL.
const V2_LOCAL: u8 = 0x20;

/// The longest header of version 2 that is read, in bytes: one with the certificate of a client and room to spare. The
/// format would allow 65,551.
pub(crate) const LONGEST: usize = 8 * 1024;

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// For whom the connection was made.
    Client {
        /// Its address.
        address: IpAddr,
        /// By which scheme it asks, where the proxy has ended its TLS and says so.
        scheme: Option<Scheme>,
    },
    /// That it is the proxy's own (LOCAL), or of somebody who has no IP address (UNSPEC, UNKNOWN, a Unix socket).
    Nobody,
}

/// Why there is no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unannounced {
    /// The connection ended before it said anything, as those of health checks do.
    Vanished,
    /// It begins with something else: with this byte.
    Missing(u8),
    /// It can't be understood, for this reason.
    Invalid(String),
}

/// Reads the header with which `stream` begins, and not a byte behind it.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Announced, Unannounced> {
    let mut header = begin(stream).await?;
    if header == *V2_SIGNATURE {
        read_v2(stream, &mut header).await?;
    } else if header.starts_with(V1_SIGNATURE) {
        read_v1(stream, &mut header).await.map_err(|error| cut_off(&error))?;
    } else {
        return Err(Unannounced::Missing(header[0]));
    }
    understand(&header).map_err(Unannounced::Invalid)
}

/// As many bytes as tell the versions apart; the shortest header (`PROXY UNKNOWN`) is longer.
async fn begin(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Unannounced> {
    let mut header = vec![0; V2_SIGNATURE.len()];
    let first = stream.read(&mut header).await.unwrap_or(0);
    if first == 0 {
        return Err(Unannounced::Vanished);
    }
    stream.read_exact(&mut header[first..]).await.map_err(|error| cut_off(&error))?;
    Ok(header)
}

async fn read_v1(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> io::Result<()> {
    // Byte by byte, since what follows the line is another's to read. One that is too long is told so by the parser.
    while !header.ends_with(V1_END) && header.len() < V1_LONGEST {
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), Unannounced> {
    extend(stream, header, V2_FIXED).await?;
    let length = V2_FIXED + usize::from(u16::from_be_bytes([header[V2_FIXED - 2], header[V2_FIXED - 1]]));
    if length > LONGEST {
        return Err(Unannounced::Invalid(format!("a header of {length} bytes, expected at most {LONGEST}")));
    }
    extend(stream, header, length).await
}

async fn extend(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>, length: usize) -> Result<(), Unannounced> {
    let known = header.len();
    header.resize(length, 0);
    stream.read_exact(&mut header[known..]).await.map(drop).map_err(|error| cut_off(&error))
}

fn cut_off(error: &io::Error) -> Unannounced {
    Unannounced::Invalid(format!("cut off: {error}"))
}

/// What a whole header says.
fn understand(header: &[u8]) -> Result<Announced, String> {
    // What else a LOCAL header has is not to be looked at.
    if header.starts_with(V2_SIGNATURE) && header[V2_COMMAND] == V2_LOCAL {
        return Ok(Announced::Nobody);
    }
    match parse(header) {
        Ok((info, _)) => announced(&info),
        Err(ParseError::Invalid(UnspecWithProxy)) => Ok(Announced::Nobody),
        Err(invalid) => Err(invalid.to_string()),
    }
}

fn announced(info: &ProxyInfo) -> Result<Announced, String> {
    if info.transport.is_some_and(|transport| transport.protocol != TransportProtocol::Stream) {
        return Err("expected a stream, and it speaks of datagrams".to_owned());
    }
    let Some(address) = info.source_ip() else { return Ok(Announced::Nobody) };
    let tls = info.tlvs.ssl.as_ref().is_some_and(|ssl| ssl.client_flags.contains(SslClientFlags::SSL));
    Ok(Announced::Client { address, scheme: tls.then_some(Scheme::Https) })
}

#[cfg(test)]
mod tests;
