//! One question, one answer: how a connection begins.

use crate::redis::{
    endpoint::Endpoint,
    kind::Kind,
    reply::server_text,
    standing::Standing,
    stream::{Stream, open},
    tls::HINTS,
};
use bytes::{Buf, BytesMut};
use redis::{Cmd, Value, ValueCodec};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Decoder;

/// How many bytes an answer has at most.
const MAX_ANSWER: usize = 1024 * 1024;

const CLOSED: &str = "the connection was closed; ports for TLS do that without rediss://";

/// A connection on which every command is answered before the next is sent.
pub(super) struct Dialogue {
    pub(super) stream: Box<dyn Stream>,
    /// Empty between an answer and the next command, unless the server speaks out of turn.
    pub(super) buffer: BytesMut,
}

impl Dialogue {
    /// Connects and logs in; what stands there is told where it can be (Redis 6 and newer).
    ///
    /// # Errors
    ///
    /// What went wrong. The text may hold the password, for servers repeat the arguments of unknown commands.
    pub(super) async fn begin(
        endpoint: &Endpoint,
        tls: Option<&TlsConnector>,
    ) -> Result<(Self, Option<Standing>), String> {
        let stream = open(endpoint, tls).await.map_err(|error| format!("can't connect: {error}"))?;
        let mut dialogue = Self { stream, buffer: BytesMut::new() };
        let standing = dialogue.log_in(endpoint).await.map_err(|error| format!("can't log in: {error}"))?;
        Ok((dialogue, standing))
    }

    async fn log_in(&mut self, endpoint: &Endpoint) -> Result<Option<Standing>, String> {
        if let Some(login) = auth(endpoint).await? {
            self.done(&login).await?;
        }
        if endpoint.database() != 0 {
            self.done(redis::cmd("SELECT").arg(endpoint.database())).await?;
        }
        // Needs no right. Without the version of a protocol it changes nothing.
        match self.ask(&redis::cmd("HELLO")).await? {
            Value::ServerError(error) if error.code() == "NOAUTH" => Err(server_text(&error)),
            Value::ServerError(_) => Ok(None),
            hello => Ok(Standing::read(&hello)),
        }
    }

    /// The answer to `command`, which may be a refusal.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, String> {
        self.stream.write_all(&command.get_packed_command()).await.map_err(|error| failed(&error))?;
        // An encrypted stream keeps what it could not write at once.
        self.stream.flush().await.map_err(|error| failed(&error))?;
        self.hear().await
    }

    /// What the server says next.
    pub(super) async fn hear(&mut self) -> Result<Value, String> {
        let (mut codec, mut read) = (ValueCodec::default(), 0);
        loop {
            if self.buffer.has_remaining()
                && let Some(answer) = codec.decode(&mut self.buffer).map_err(|_| foreign())?
            {
                return Ok(answer);
            }
            match self.stream.read_buf(&mut self.buffer).await.map_err(|error| failed(&error))? {
                0 => return Err(CLOSED.to_owned()),
                bytes => read += bytes,
            }
            if read > MAX_ANSWER {
                return Err(format!("Redis answered with more than {MAX_ANSWER} bytes"));
            }
        }
    }

    /// Which kind of Pub/Sub this server of a cluster has. Needs no right, since it breaks off before that is asked for.
    pub(super) async fn kind(&mut self) -> Result<Kind, String> {
        let answer = self.ask(&redis::cmd("SSUBSCRIBE")).await?;
        let unknown = matches!(&answer, Value::ServerError(error) if server_text(error).contains("unknown command"));
        Ok(if unknown { Kind::Plain } else { Kind::Sharded })
    }

    /// Carries `command` out.
    ///
    /// # Errors
    ///
    /// Also when the server refuses it.
    pub(super) async fn done(&mut self, command: &Cmd) -> Result<Value, String> {
        match self.ask(command).await? {
            Value::ServerError(error) => Err(server_text(&error)),
            answer => Ok(answer),
        }
    }
}

fn failed(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        return CLOSED.to_owned();
    }
    format!("the connection broke: {}", HINTS.told(error))
}

fn foreign() -> String {
    "what answers there does not speak as Redis does; a port for TLS needs rediss://".to_owned()
}

async fn auth(endpoint: &Endpoint) -> Result<Option<Cmd>, String> {
    let Some(password) = endpoint.password().await? else { return Ok(None) };
    let mut command = redis::cmd("AUTH");
    if let Some(user) = endpoint.login.username() {
        command.arg(user);
    }
    command.arg(password.as_str());
    Ok(Some(command))
}
