//! `fanwire health`.

use crate::{
    address::reachable,
    args::{HealthArgs, TlsArgs},
    config::{self, Environment, Internal},
    failure::Failure,
    output,
};
use fanwire_tls::reason::Hints;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{error::Error, io, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

/// The longest head and the longest body of an answer that are read, in bytes; a node's own are far shorter.
const MAX_LENGTH: usize = 16 * 1024;

/// What helps where TLS with a node fails.
const HINTS: Hints = Hints { ca: "--ca names", cert: "--cert and --cert-key name", plain: "no internal.tls.cert" };

/// Asks the node that runs with this configuration how it is, and prints that.
pub(crate) async fn health(args: HealthArgs, environment: &Environment) -> Result<(), Failure> {
    let Internal { listen, tls } = config::load(&args.sources.inputs(environment))?.config.internal;
    if listen.port() == 0 {
        let told = "internal.listen has port 0, so the system chose the port when the node started; set one";
        return Err(Failure::Failed(told.to_owned()));
    }
    let tls = tls.files().map(|_| connector(&args.tls)).transpose()?;
    if tls.is_none() && !args.tls.files().is_empty() {
        let told = "the internal port has no TLS (internal.tls.cert), so certificates have no use";
        return Err(Failure::Failed(told.to_owned()));
    }
    let question = Question { address: reachable(listen), ready: args.ready, tls };
    let answered = match timeout(args.timeout, question.ask()).await {
        Ok(answered) => answered.and_then(|answer| question.verdict(&answer)),
        Err(_) => Err(format!("no answer from {} within {:?}", question.url(), args.timeout)),
    };
    Ok(output::result(answered.map_err(Failure::Failed)?)?)
}

/// What is asked of which node.
struct Question {
    address: SocketAddr,
    /// Whether it is ready, rather than whether it lives.
    ready: bool,
    /// With TLS, whom to trust there.
    tls: Option<TlsConnector>,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// The body of an answer.
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    live: bool,
    #[serde(default)]
    ready: bool,
    reason: Option<String>,
    detail: Option<String>,
}

impl Question {
    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    fn path(&self) -> &'static str {
        if self.ready { "/health/ready" } else { "/health/live" }
    }

    async fn ask(&self) -> Result<Answer, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| self.unreachable(&error))?;
        let stream = match &self.tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(self.secure(tls, stream).await?),
        };
        request(stream, self.address, self.path()).await.map_err(|error| {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            format!("no proper answer from {}: {error}{cause}", self.url())
        })
    }

    async fn secure(&self, tls: &TlsConnector, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let secured = tls.connect(self.address.ip().into(), stream).await;
        secured.map_err(|error| format!("no TLS with {}: {}", self.url(), HINTS.told(&error)))
    }

    fn unreachable(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("nothing listens at {}: is the node running?", self.url()),
            _ => format!("{} can't be reached: {error}", self.url()),
        }
    }

    /// What to print, or what is wrong.
    fn verdict(&self, answer: &Answer) -> Result<&'static str, String> {
        let Answer { status, body } = answer;
        match serde_json::from_slice(body) {
            Ok(Health { live: true, .. }) if !self.ready && *status == StatusCode::OK => Ok("live"),
            Ok(Health { ready: true, .. }) if self.ready && *status == StatusCode::OK => Ok("ready"),
            Ok(Health { reason: Some(reason), detail, .. }) if *status == StatusCode::SERVICE_UNAVAILABLE => {
                let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
                Err(format!("not ready: {reason}{detail}"))
            }
            _ => Err(format!("{}{} answered {status} otherwise than a node does", self.url(), self.path())),
        }
    }
}

/// Whom to trust: without an authority everybody, as the probes of orchestrators do, for a node's certificate is rarely for
/// the address that it has here.
fn connector(args: &TlsArgs) -> Result<TlsConnector, Failure> {
    let files = args.files();
    let loaded = if files.ca.is_some() { files.load() } else { files.load_trusting_all() };
    loaded.map_err(|error| Failure::Failed(error.to_string()))
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: SocketAddr,
    path: &str,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let request = Request::get(path).header(HOST, host.to_string()).header(CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_LENGTH).handshake(TokioIo::new(stream)).await?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_LENGTH).collect().await?.to_bytes();
        Ok(Answer { status, body })
    };
    // The connection does the work; what went wrong there, the one who asks is told too.
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ready: bool, status: u16, body: &'static str) -> Result<&'static str, String> {
        let question = Question { address: SocketAddr::from(([127, 0, 0, 1], 8766)), ready, tls: None };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        question.verdict(&Answer { status, body: Bytes::from_static(body.as_bytes()) })
    }

    #[track_caller]
    fn check_wrong(ready: bool, status: u16, body: &'static str, told: &str) {
        assert_eq!(verdict(ready, status, body), Err(told.to_owned()), "{status} {body}");
    }

    #[test]
    fn what_is_well_is_one_word() {
        assert_eq!(verdict(false, 200, r#"{"live":true}"#), Ok("live"));
        assert_eq!(verdict(true, 200, r#"{"ready":true,"since":"later versions"}"#), Ok("ready"));
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let broker = r#"{"ready":false,"reason":"broker","detail":"can't connect to Redis: refused"}"#;
        check_wrong(true, 503, broker, "not ready: broker: can't connect to Redis: refused");
        check_wrong(true, 503, r#"{"ready":false,"reason":"draining"}"#, "not ready: draining");
    }

    #[test]
    fn who_answers_otherwise_is_no_node() {
        let live = "http://127.0.0.1:8766/health/live answered";
        check_wrong(false, 404, "no such page", &format!("{live} 404 Not Found otherwise than a node does"));
        check_wrong(false, 200, "<html>", &format!("{live} 200 OK otherwise than a node does"));
        check_wrong(false, 200, r#"{"ready":true}"#, &format!("{live} 200 OK otherwise than a node does"));
        check_wrong(
            false,
            500,
            r#"{"live":true}"#,
            &format!("{live} 500 Internal Server Error otherwise than a node does"),
        );
        let ready = "http://127.0.0.1:8766/health/ready answered";
        check_wrong(true, 503, "busy", &format!("{ready} 503 Service Unavailable otherwise than a node does"));
        check_wrong(true, 200, r#"{"ready":false}"#, &format!("{ready} 200 OK otherwise than a node does"));
    }
}
