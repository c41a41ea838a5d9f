//! From a socket that was accepted to one with TLS on it.

use super::{Terminator, metrics::Handshake};
use crate::plain_http;
use std::{io, net::IpAddr};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};

/// A socket with TLS on it.
pub(crate) type Secured = TlsStream<TcpStream>;

/// The first byte of a client that speaks TLS (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What a client is told that forgot the s of https:// or wss://.
const NO_TLS: &str = "this port speaks TLS: use wss:// (or https://)";

/// There is no TLS on the socket; why is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsecured;

impl Terminator {
    /// Makes the handshake on a socket that was accepted from `client`, by `deadline`.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        client: IpAddr,
        deadline: Instant,
    ) -> Result<Secured, Unsecured> {
        let shaken = timeout_at(deadline, self.shake(stream)).await.unwrap_or(Err(Handshake::TimedOut));
        let result = shaken.as_ref().map_or_else(|result| *result, |_| Handshake::Done);
        self.metrics.shaken(self.port, result);
        shaken.map_err(|result| {
            // No more than that, and at this level only: everybody can make as many of these lines as they like.
            tracing::debug!(port = self.port.label(), %client, result = result.label(), "no TLS");
            Unsecured
        })
    }

    async fn shake(&self, mut stream: TcpStream) -> Result<Secured, Handshake> {
        match first_byte(&stream).await {
            Some(HANDSHAKE) => TlsAcceptor::from(self.config()).accept(stream).await.map_err(|error| classify(&error)),
            Some(first) if plain_http::begins(first) => {
                // It may have left meanwhile.
                let _ = plain_http::refuse(&mut stream, NO_TLS).await;
                Err(Handshake::PlainHttp)
            }
            Some(_) => Err(Handshake::Malformed),
            None => Err(Handshake::Vanished),
        }
    }
}

/// Whether the client speaks TLS; resolves with its first byte.
pub(crate) async fn begins_tls(stream: &TcpStream) -> bool {
    first_byte(stream).await == Some(HANDSHAKE)
}

async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    stream.peek(&mut first).await.ok().and_then(|read| first[..read].first().copied())
}

fn classify(error: &io::Error) -> Handshake {
    use rustls::Error::{
        AlertReceived, General, InvalidCertificate, NoApplicationProtocol, NoCertificatesPresented, PeerIncompatible,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        None => Handshake::Vanished,
        // That no certificate suits the client has no error of its own.
        Some(PeerIncompatible(_) | NoApplicationProtocol | General(_)) => Handshake::Incompatible,
        Some(InvalidCertificate(_) | NoCertificatesPresented) => Handshake::ClientCertificate,
        Some(AlertReceived(_)) => Handshake::Refused,
        Some(_) => Handshake::Malformed,
    }
}
