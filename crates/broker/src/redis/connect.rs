//! Connects to Redis, wherever that is now.

use crate::redis::{
    access::{Access, Target},
    dialogue::Dialogue,
    endpoint::Endpoint,
    histories,
    kind::Kind,
    publisher,
    reply::Replies,
    sentinel::Found,
    stream::Stream,
};
use bytes::BytesMut;
use fanwire_protocol::NodeId;
use futures_util::future::BoxFuture;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, aio::MultiplexedConnection};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting and logging in take at most. Redis must be found within 3 s of being back, and until then an
/// attempt may have begun just before.
const LIMIT: Duration = Duration::from_secs(1);

/// Room for the heartbeat beside what the publisher and the histories have under way.
const REQUESTS: usize = if publisher::MAX_IN_FLIGHT > histories::MAX_IN_FLIGHT {
    publisher::MAX_IN_FLIGHT + 8
} else {
    histories::MAX_IN_FLIGHT + 8
};

/// The connections of a link, to one server. Dropping them, and the drivers, closes them.
pub(super) struct Connections {
    pub(super) subscriber: Subscriber,
    pub(super) publishing: Commands,
    /// One of its own, since answers keep the order of what was asked: a large page would hold up the answers to
    /// publications, and the heartbeat.
    pub(super) reading: Commands,
    /// Where they lead.
    pub(super) endpoint: Endpoint,
    /// What Sentinels said of that.
    pub(super) found: Option<Found>,
    /// When they were asked.
    pub(super) asked: Instant,
    pub(super) kind: Kind,
}

/// A connection for commands.
pub(super) struct Commands {
    pub(super) connection: MultiplexedConnection,
    /// Does the work of the connection, and ends with it.
    pub(super) driver: BoxFuture<'static, ()>,
}

/// A connection for subscriptions, on which nothing but its login has happened.
pub(super) struct Subscriber {
    pub(super) stream: Box<dyn Stream>,
    pub(super) buffer: BytesMut,
    pub(super) replies: Replies,
}

/// Finds out where Redis is, connects and logs in with each connection.
///
/// # Errors
///
/// What went wrong. The text may hold the password, for servers repeat the arguments of unknown commands.
pub(super) async fn connect(access: &Access, node: NodeId) -> Result<Connections, String> {
    let tls = access.tls().await?;
    let asked = Instant::now();
    let Target { endpoint, found } = access.target(tls.as_ref()).await?;
    let way = Way { endpoint: &endpoint, tls: tls.as_ref(), node, is_cluster: access.is_cluster };
    let all = async { tokio::try_join!(way.subscriber(), way.commands("publisher"), way.commands("reader")) };
    match timeout(LIMIT, all).await {
        Ok(Ok(((subscriber, kind), publishing, reading))) => {
            Ok(Connections { subscriber, publishing, reading, endpoint, found, asked, kind })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("Redis at {endpoint}: {}", endpoint.silence(LIMIT))),
    }
}

/// The one way in, which all connections take.
struct Way<'a> {
    endpoint: &'a Endpoint,
    tls: Option<&'a TlsConnector>,
    node: NodeId,
    is_cluster: bool,
}

impl Way<'_> {
    async fn enter(&self, role: &str) -> Result<Dialogue, String> {
        let at = |error| format!("Redis at {}: {error}", self.endpoint);
        let (mut dialogue, standing) = Dialogue::begin(self.endpoint, self.tls).await.map_err(at)?;
        if let Some(unfit) = standing.and_then(|standing| standing.unfit()) {
            return Err(at(unfit.to_owned()));
        }
        // Only a courtesy to those who look at CLIENT LIST: users who may not do it are let in all the same.
        dialogue.ask(&name(self.node, role)).await.map_err(at)?;
        Ok(dialogue)
    }

    async fn subscriber(&self) -> Result<(Subscriber, Kind), String> {
        let mut dialogue = self.enter("subscriber").await?;
        let kind = if self.is_cluster { dialogue.kind().await? } else { Kind::Plain };
        let Dialogue { stream, buffer } = dialogue;
        Ok((Subscriber { stream, buffer, replies: Replies::default() }, kind))
    }

    async fn commands(&self, role: &str) -> Result<Commands, String> {
        let Dialogue { stream, .. } = self.enter(role).await?;
        // Who waits for an answer decides how long.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(REQUESTS);
        // Logged in it is already, and Redis before 7.2 knows no names of libraries.
        let nothing = RedisConnectionInfo::default().set_skip_set_lib_name();
        let made = MultiplexedConnection::new_with_config(&nothing, stream, config).await;
        let (connection, driver) =
            made.map_err(|error| format!("Redis at {}: can't use the connection: {error}", self.endpoint))?;
        Ok(Commands { connection, driver: Box::pin(driver) })
    }
}

fn name(node: NodeId, role: &str) -> Cmd {
    redis::cmd("CLIENT").arg("SETNAME").arg(format!("fanwire-{node}-{role}")).take()
}
