//! Opens what bytes go through: TCP, TLS, or a Unix socket.

use crate::redis::{
    endpoint::{Endpoint, Place},
    tls::HINTS,
};
use std::io;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `endpoint`; `tls` must be there if that asks for it.
///
/// # Errors
///
/// What went wrong, without secrets.
pub(super) async fn open(endpoint: &Endpoint, tls: Option<&TlsConnector>) -> Result<Box<dyn Stream>, String> {
    try_open(&endpoint.place, tls).await.map_err(|error| HINTS.told(&error))
}

async fn try_open(place: &Place, tls: Option<&TlsConnector>) -> io::Result<Box<dyn Stream>> {
    match (place, tls) {
        (Place::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await?)),
        (Place::Tcp { host, port }, _) => Ok(Box::new(tcp(host, *port).await?)),
        (Place::Tls { host, port }, Some(tls)) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Ok(Box::new(tls.connect(name, tcp(host, *port).await?).await?))
        }
        (Place::Tls { .. }, None) => Err(io::Error::other("TLS is not set up")),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
