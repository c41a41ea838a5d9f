//! Connects to Redis.

use crate::redis::{
    endpoint::Endpoint,
    publisher,
    reply::{Replies, Reply},
};
use bytes::BytesMut;
use fanwire_protocol::NodeId;
use redis::{AsyncConnectionConfig, Cmd, aio::MultiplexedConnection};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long connecting and logging in take at most. Redis must be found within 3 s of being back, and until then an
/// attempt may have begun just before.
const LIMIT: Duration = Duration::from_secs(1);

/// Room for the heartbeat beside the publisher's batches in the connection's queue.
const REQUESTS: usize = publisher::MAX_IN_FLIGHT + 8;

/// The two connections of a link. Dropping them, and the driver, closes them.
pub(super) struct Connections<D> {
    pub(super) subscriber: Subscriber,
    pub(super) publishing: MultiplexedConnection,
    /// Does the work of the publishing connection, and ends with it.
    pub(super) driver: D,
}

/// A connection for subscriptions, on which nothing but its login has happened.
pub(super) struct Subscriber {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    pub(super) replies: Replies,
}

/// Connects and logs in twice.
///
/// # Errors
///
/// What went wrong. The text may hold the password, for servers repeat the arguments of unknown commands.
pub(super) async fn connect(
    endpoint: &Endpoint,
    node: NodeId,
) -> Result<Connections<impl Future<Output = ()> + Send + 'static>, String> {
    let both = async { tokio::try_join!(subscriber(endpoint, node), publishing(endpoint, node)) };
    match timeout(LIMIT, both).await {
        Ok(Ok((subscriber, (publishing, driver)))) => Ok(Connections { subscriber, publishing, driver }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("Redis did not let the node in within {LIMIT:?}")),
    }
}

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let stream = connected.map_err(|error| format!("can't connect to Redis: {error}"))?;
    stream.set_nodelay(true).map_err(|error| format!("can't set TCP_NODELAY: {error}"))?;
    Ok(stream)
}

async fn publishing(
    endpoint: &Endpoint,
    node: NodeId,
) -> Result<(MultiplexedConnection, impl Future<Output = ()> + Send + 'static), String> {
    // Who waits for an answer decides how long.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(REQUESTS);
    let stream = tcp(endpoint).await?;
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&endpoint.login, stream, config)
        .await
        .map_err(|error| format!("can't log in to Redis: {error}"))?;
    let (mut driver, name) = (Box::pin(driver), name(node, "publisher"));
    tokio::select! {
        () = &mut driver => Err("Redis closed the publishing connection".to_owned()),
        // Only a courtesy to those who look at CLIENT LIST: users who may not do it are let in all the same.
        _ = connection.send_packed_command(&name) => Ok((connection, driver)),
    }
}

async fn subscriber(endpoint: &Endpoint, node: NodeId) -> Result<Subscriber, String> {
    let mut subscriber =
        Subscriber { stream: tcp(endpoint).await?, buffer: BytesMut::new(), replies: Replies::default() };
    if let Some(login) = auth(endpoint) {
        let reply = subscriber.ask(&login).await?;
        if let Reply::Refused(text) = reply {
            return Err(format!("can't log in to Redis: {text}"));
        }
    }
    // Refused or not, as above.
    subscriber.ask(&name(node, "subscriber")).await?;
    Ok(subscriber)
}

impl Subscriber {
    async fn ask(&mut self, command: &Cmd) -> Result<Reply, String> {
        let failed = |error| format!("can't log in to Redis: {error}");
        self.stream.write_all(&command.get_packed_command()).await.map_err(failed)?;
        loop {
            if let Some(reply) = self.replies.next(&mut self.buffer).map_err(|error| error.to_string())? {
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                return Err("Redis closed the subscriber connection".to_owned());
            }
        }
    }
}

fn auth(endpoint: &Endpoint) -> Option<Cmd> {
    let mut command = redis::cmd("AUTH");
    if let Some(user) = endpoint.login.username() {
        command.arg(user);
    }
    command.arg(endpoint.login.password()?);
    Some(command)
}

fn name(node: NodeId, role: &str) -> Cmd {
    redis::cmd("CLIENT").arg("SETNAME").arg(format!("fanwire-{node}-{role}")).take()
}
