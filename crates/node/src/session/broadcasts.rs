//! Recovery of broadcasts.

use super::{
    cursor::{Cursor, has_reached, newest},
    peer::Peer,
    refusals,
};
use crate::metrics::Recovery;
use fanwire_broker::{Page, Retention};
use fanwire_hub::ShardGone;
use fanwire_protocol::{Event, Position, Recovered, RequestId, Target};
use std::sync::Arc;

/// A client's wish for the broadcasts that it missed.
pub(super) struct Recovering {
    pub(super) id: Option<RequestId>,
    /// What the client has everything up to.
    pub(super) place: Position,
    /// From where on it got everything live.
    pub(super) welcomed_at: Option<Position>,
    /// What comes behind the place.
    pub(super) page: Arc<Page>,
    pub(super) retention: Retention,
}

impl Recovering {
    /// Sends what lies between the client's place and its welcome. Live broadcasts wait meanwhile.
    pub(super) async fn run(self, peer: Peer) -> Result<(), ShardGone> {
        let _turn = peer.turn().await;
        let (shard, key) = (peer.shard.clone(), peer.key);
        let Some(paused_at) = shard.pause_broadcasts(key).await? else {
            return self.refuse(&peer).await;
        };
        let Self { id, place, welcomed_at, page, retention } = self;
        let until = welcomed_at.filter(|until| page.complete && until.epoch == place.epoch);
        let (begins, recovered) = match &until {
            Some(until) => {
                let newest = newest(&place, [until, &paused_at, &page.newest]);
                (place, Recovered::All { newest })
            }
            None => (paused_at.clone(), Recovered::Nothing),
        };
        peer.shared.metrics.recovered(recovered.into());
        if let Some(id) = id {
            peer.tell(&Event::Subscribed { id, position: begins.clone(), recovered: Some(recovered) }).await?;
        }
        let mut cursor = Cursor::new(peer, Target::Broadcast, retention, begins);
        if let Some(until) = until
            && !recover(&mut cursor, page, until).await?
        {
            return Ok(());
        }
        // A client that was faster on another node is ahead of this one.
        if cursor.place.epoch != paused_at.epoch || !has_reached(&cursor.place, &paused_at) {
            cursor.place = paused_at;
        }
        resume(cursor).await
    }

    async fn refuse(self, peer: &Peer) -> Result<(), ShardGone> {
        let refusal = refusals::unknown_place();
        peer.shared.metrics.refused(&refusal);
        peer.shared.metrics.recovered(Recovery::Failed);
        peer.tell(&Event::Error { id: self.id, code: refusal.code, message: refusal.message }).await
    }
}

/// Sends everything up to `until`; `false` if the connection ends before.
async fn recover(cursor: &mut Cursor, page: Arc<Page>, until: Position) -> Result<bool, ShardGone> {
    let mut page = Some(page);
    while !has_reached(&cursor.place, &until) {
        let next = match page.take() {
            Some(page) => Some(page),
            None => cursor.read().await,
        };
        let Some(next) = next else { return Ok(false) };
        cursor.send(&next, Some(&until)).await?;
        if !has_reached(&cursor.place, &until) {
            cursor.check(&mut until.clone()).await?;
        }
    }
    Ok(true)
}

/// Goes on with live broadcasts.
async fn resume(mut cursor: Cursor) -> Result<(), ShardGone> {
    let (shard, key) = (cursor.peer.shard.clone(), cursor.peer.key);
    let mut relayed = cursor.place.clone();
    while !shard.resume_broadcasts(key, cursor.place.clone()).await? {
        let Some(page) = cursor.read().await else { return Ok(()) };
        cursor.send(&page, None).await?;
        cursor.check(&mut relayed).await?;
    }
    Ok(())
}
