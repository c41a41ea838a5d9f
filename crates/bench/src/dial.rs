//! TCP connections, with TLS and without.

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::ClientConfig};
use tokio_util::either::Either;

/// A socket with TLS or without; what TLS needs is apart, so that connections without it stay small.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection to `address`, with `tls` if there is any; see [`dial`].
pub async fn open(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    receive_buffer: Option<u32>,
    source: Option<IpAddr>,
) -> io::Result<Stream> {
    let stream = dial(address, receive_buffer, source).await?;
    let Some(tls) = tls else { return Ok(Either::Left(stream)) };
    let secured = TlsConnector::from(Arc::clone(tls)).connect(address.ip().into(), stream).await?;
    Ok(Either::Right(Box::new(secured)))
}

/// A TCP connection to `address`, with a `receive_buffer` (`SO_RCVBUF`) of so many bytes, and from `source` if that is of the
/// same family; else as the system has it.
pub async fn dial(address: SocketAddr, receive_buffer: Option<u32>, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        // With it a port is taken for each pair of addresses, not for each source alone.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_connection_comes_from_its_source() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = IpAddr::from([127, 0, 3, 7]);
        let _stream = dial(address, None, Some(source)).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1.ip(), source);
    }
}
