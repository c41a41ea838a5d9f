//! TLS to a node.

use fanwire_tls::{ClientFiles, reason::Hints};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{client::TlsStream, rustls::pki_types::ServerName};

const HINTS: Hints =
    Hints { ca: "--ca (Options::tls.ca) names", cert: "--cert and --cert-key (Options::tls) name", plain: "ws://" };

/// Makes the handshake on a socket to `host`, or says in words why there is none.
pub(crate) async fn secure(stream: TcpStream, host: &str, files: &ClientFiles) -> Result<TlsStream<TcpStream>, String> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|_| format!("{host} is no name that a certificate can be for"))?;
    let files = files.clone();
    let loaded = spawn_blocking(move || files.load()).await.map_err(|error| error.to_string())?;
    let connector = loaded.map_err(|error| error.to_string())?;
    connector.connect(name, stream).await.map_err(|error| HINTS.told(&error))
}
