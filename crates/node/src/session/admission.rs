//! From an upgraded socket to a session, and its end.

use super::{Session, presence::Present};
use crate::{
    Auth, Namespaces, Rate,
    accept::Seat,
    auth::Entrance,
    metrics::Metrics,
    pace::Bucket,
    paced::{Gate, Paced},
    presence::{Leases, Presence},
    reads::Reads,
    relay::Follower,
    users::Users,
    websocket::{Reader, Terms},
};
use fanwire_broker::Broker;
use fanwire_hub::{Activity, Admission, Clock, Entry, Hub, ShardGone, Transport};
use fanwire_protocol::{CloseReason, Compression, ConnectionId, Dialect, Dialects, Event, NodeId};
use futures_util::FutureExt;
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{io::AsyncRead, time::Instant};

/// What all sessions of a node share.
pub(crate) struct Sessions {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) reads: Reads,
    pub(crate) follower: Follower,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) dialects: Dialects,
    pub(crate) auth: Option<Auth>,
    pub(crate) users: Users,
    /// How many connections a user may have here.
    pub(crate) user_limit: usize,
    /// What gives places where a user may have so many on all nodes.
    pub(crate) leases: Option<Leases>,
    pub(crate) command_rate: Option<Rate>,
    pub(crate) byte_rate: Option<Rate>,
    pub(crate) metrics: Metrics,
    pub(crate) heartbeat_interval: Duration,
    /// What is read of clients.
    pub(crate) reading: Terms,
    pub(crate) outbox_limit: usize,
    pub(crate) channel_limit: usize,
    pub(crate) info_limit: usize,
    pub(crate) sequence: AtomicU64,
}

/// A connection that has been upgraded and has no session yet.
pub(crate) struct Upgraded<R> {
    pub(crate) id: ConnectionId,
    pub(crate) dialect: Dialect,
    pub(crate) compression: Compression,
    pub(crate) entrance: Entrance,
    /// The client's address, as far as is known.
    pub(crate) client: IpAddr,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) reader: R,
    /// What was read behind the request.
    pub(crate) read: Vec<u8>,
    /// The index of the shard that the connection belongs to.
    pub(crate) shard: usize,
    /// Held to the end of the session.
    pub(crate) seat: Seat,
}

impl Sessions {
    /// Serves a connection to its end.
    pub(crate) fn serve<R>(self: Arc<Self>, upgraded: Upgraded<R>) -> impl Future<Output = ()> + Send + 'static
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        // Boxed, for a session's memory is that of the largest thing that it ever waits for; and made outside, for
        // what is moved into a future keeps its place there.
        let admission = Box::pin(self.admitted(upgraded));
        async move {
            let begun = Instant::now();
            let mut admitted = admission.await;
            // By reference: what is moved has two places.
            let Some(session) = &mut admitted else { return };
            if AssertUnwindSafe(session.run()).catch_unwind().await.is_err() {
                session.fail().await;
            }
            log_end(session, begun.elapsed());
            // Fails only where the shard has ended, and the node with it.
            let _ = session.shard().gone(session.key).await;
        }
    }

    /// An id for the next connection.
    pub(crate) fn next_id(&self) -> ConnectionId {
        ConnectionId(self.node, self.sequence.fetch_add(1, Relaxed))
    }

    /// The session, unless the shard has ended or admission fails by a bug, which is counted.
    async fn admitted<R: AsyncRead + Unpin>(self: Arc<Self>, upgraded: Upgraded<R>) -> Option<Session<Paced<R>>> {
        let panics = self.metrics.session_panics.clone();
        let outcome = AssertUnwindSafe(self.admit(upgraded)).catch_unwind().await;
        outcome.inspect_err(|_| panics.inc()).ok()?.ok()
    }

    async fn admit<R: AsyncRead + Unpin>(
        self: Arc<Self>,
        upgraded: Upgraded<R>,
    ) -> Result<Session<Paced<R>>, ShardGone> {
        let Upgraded { id, dialect, compression, entrance, client, transport, reader, read, shard: shard_index, seat } =
            upgraded;
        let activity = Arc::new(Activity::default());
        let gate = self
            .byte_rate
            .map(|rate| Gate::new(rate, read.len(), self.clock, Arc::clone(&activity), self.metrics.throttled.clone()));
        let reader = Reader::new(Paced::new(reader, gate), &read, compression, Arc::clone(&activity));
        let (entry, waits, identity) = match entrance {
            Entrance::Admitted(identity) => (Entry::Now(Some(self.welcome(id))), false, identity),
            Entrance::Waiting => (Entry::Later, true, None),
        };
        let admission = Admission { id, dialect, compression, transport, activity: Arc::clone(&activity), entry };
        let (key, welcomed_at) = self.hub.shards()[shard_index].connect(admission).await?;
        if identity.is_some() && self.users.is_doomed(id) {
            // Told so before it was here to be ended.
            self.hub.disconnect([id].into(), CloseReason::Disconnected).await?;
        }
        tracing::debug!(connection = %id, %client, dialect = dialect.label(), "connection opened");
        Ok(Session {
            shared: self,
            reader,
            shard_index,
            key,
            dialect,
            compression,
            client,
            waits,
            commands: Bucket::default(),
            activity,
            channels: SmallVec::new(),
            inbox: VecDeque::new(),
            unanswered: VecDeque::new(),
            step: None,
            welcomed_at: welcomed_at.map(Box::new),
            present: Present::new(identity),
            beside: None,
            _seat: seat,
        })
    }

    pub(super) fn welcome(&self, connection: ConnectionId) -> Event {
        Event::Welcome {
            connection,
            node: self.node,
            version: env!("CARGO_PKG_VERSION"),
            heartbeat: self.heartbeat_interval.as_secs_f64(),
            broadcast: None,
        }
    }
}

/// Ends that an operator may want to look into are told at level info, ordinary ones at debug.
fn log_end<R>(session: &Session<R>, lasted: Duration) {
    let reason = session.activity.ended_by().unwrap_or(CloseReason::PeerVanished);
    let (connection, client) = (session.key.id(), session.client);
    let (dialect, label) = (session.dialect.label(), reason.label());
    let dropped = session.activity.dropped();
    match reason {
        CloseReason::PeerClosed | CloseReason::PeerVanished | CloseReason::Draining | CloseReason::TokenExpired => {
            tracing::debug!(%connection, %client, dialect, reason = label, dropped, ?lasted, "connection ended");
        }
        _ => tracing::info!(%connection, %client, dialect, reason = label, dropped, ?lasted, "connection ended"),
    }
}
