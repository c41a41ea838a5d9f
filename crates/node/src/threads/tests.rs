#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::testing::shard_config;
use fanwire_hub::{Activity, Admission, Clock, Entry, Hub, HubMetrics, Transport};
use fanwire_protocol::{ConnectionId, Dialect, Dialects, Event, NodeId};
use futures_util::{FutureExt, future::BoxFuture};
use prometheus::Registry;
use std::{io::IoSlice, sync::Arc};

/// A socket with a bug.
#[derive(Debug)]
struct Broken;

impl Transport for Broken {
    fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        panic!("a bug in the shard");
    }

    fn writable(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn finish(&self) {}

    fn abort(&self) {}
}

#[tokio::test]
async fn a_shard_that_panics_is_noticed() {
    let metrics = HubMetrics::new(&Registry::new()).unwrap();
    let (hub, shards) = Hub::new(&shard_config(Clock::start(), 1 << 20), &Dialects::default(), &metrics, 2);
    let mut ended = Box::pin(ShardThreads::start(shards).unwrap().any_ended());
    assert!((&mut ended).now_or_never().is_none());
    let admission = Admission {
        id: ConnectionId(NodeId::from_random(7), 1),
        dialect: Dialect::Json,
        compression: fanwire_protocol::Compression::Never,
        transport: Arc::new(Broken),
        activity: Arc::new(Activity::default()),
        entry: Entry::Now(Some(Event::Pong { id: None })),
    };
    // Whether the answer comes before the end is not sure.
    let _ = hub.shards()[1].connect(admission).await;
    ended.await;
}
