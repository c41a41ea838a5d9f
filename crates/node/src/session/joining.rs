//! Subscriptions to channels that have a history.

use super::{
    Sessions,
    cursor::{Cursor, PAGE, has_reached, newest},
    peer::Peer,
    refusals,
};
use crate::{
    metrics::Recovery,
    presence::{Entry, Membership},
};
use bytes::Bytes;
use fanwire_broker::{Page, Query, Retention, SubscribeError};
use fanwire_hub::{Joined, ShardGone, Subscription};
use fanwire_protocol::{Position, Recovered, Refusal, Target};
use futures_util::future::{BoxFuture, OptionFuture};
use std::sync::Arc;

/// What a client asked for.
pub(super) struct Opening {
    pub(super) subscription: Subscription,
    pub(super) confirmed: BoxFuture<'static, Result<(), SubscribeError>>,
    pub(super) recover: Option<Position>,
    pub(super) retention: Retention,
    /// How the connection will be seen there, if it will.
    pub(super) entry: Option<Entry>,
}

/// A channel whose subscription is confirmed, and which is yet to be joined.
pub(super) struct Joining {
    pub(super) subscription: Subscription,
    retention: Retention,
    /// Behind which place the client gets everything.
    pub(super) place: Position,
    /// What it gets of what it missed, if it asked for that.
    pub(super) recovered: Option<Recovered>,
    /// That it is seen there; the session has it as soon as it has joined.
    pub(super) membership: Option<Box<Membership>>,
    /// What was passed on when it was asked.
    relayed: Position,
    /// What is known to come behind the place.
    page: Option<Arc<Page>>,
}

impl Opening {
    /// Finds out where the client begins. When it is refused, nothing stays subscribed.
    pub(super) async fn open(self, shared: Arc<Sessions>) -> Result<Joining, Refusal> {
        let Self { subscription, confirmed, recover, retention, entry } = self;
        confirmed.await.map_err(|error| refusals::subscribe(&error))?;
        let target = Target::Channel(subscription.channel().clone());
        let followed = shared.follower.follow(target.clone(), None).await;
        let page = match recover.clone().filter(|_| followed.is_ok()) {
            Some(since) => {
                let query = Query { target, since: Some(since), limit: PAGE, reverse: false };
                Some(shared.reads.read(query, retention).await).transpose()
            }
            None => Ok(None),
        };
        let (relayed, page) = match followed.and_then(|relayed| Ok((relayed, page?))) {
            Ok(found) => found,
            Err(error) => {
                recover.iter().for_each(|_| shared.metrics.recovered(Recovery::Failed));
                return Err(refusals::read(&error));
            }
        };
        let begun = Begun::at(recover, page, &relayed);
        begun.recovered.iter().for_each(|recovered| shared.metrics.recovered((*recovered).into()));
        let Begun { place, recovered, page } = begun;
        // Last, when nothing can be refused any more.
        let membership = OptionFuture::from(entry.map(Entry::enter)).await;
        Ok(Joining { subscription, retention, place, recovered, membership, relayed, page })
    }
}

/// Where a client begins.
struct Begun {
    place: Position,
    recovered: Option<Recovered>,
    page: Option<Arc<Page>>,
}

impl Begun {
    fn at(recover: Option<Position>, page: Option<Arc<Page>>, relayed: &Position) -> Self {
        match recover.zip(page) {
            None => Self { place: relayed.clone(), recovered: None, page: None },
            Some((place, page)) if page.complete => {
                let newest = newest(&place, [&page.newest, relayed]);
                let page = Some(page).filter(|page| !page.publications.is_empty());
                Self { place, recovered: Some(Recovered::All { newest }), page }
            }
            Some((_, page)) => Self { place: page.newest.clone(), recovered: Some(Recovered::Nothing), page: None },
        }
    }
}

impl Joining {
    /// Sends `answer` and what the client missed, as it takes it, until it has everything that the shard has passed on;
    /// from there on it is a subscriber like any other.
    pub(super) async fn run(self, peer: Peer, answer: Option<Bytes>) -> Result<(), ShardGone> {
        let Self { mut subscription, retention, place, mut relayed, page, .. } = self;
        let mut answer = answer;
        let (shard, key) = (peer.shard.clone(), peer.key);
        if page.is_none() && has_reached(&place, &relayed) {
            match shard.join_at(key, subscription, place.clone(), answer.clone()).await? {
                Joined::Live => return Ok(()),
                Joined::Behind(back) => subscription = back,
            }
        }
        if let Some(answer) = answer.take() {
            shard.answer(key, answer).await?;
        }
        let _turn = peer.turn().await;
        let target = Target::Channel(subscription.channel().clone());
        let mut cursor = Cursor::new(peer, target, retention, place);
        let mut page = page;
        loop {
            let next = match page.take() {
                Some(page) => Some(page),
                None => cursor.read().await,
            };
            // What can't be read any more belongs to a connection that ends.
            let Some(next) = next else { return Ok(()) };
            cursor.send(&next, None).await?;
            cursor.check(&mut relayed).await?;
            if has_reached(&cursor.place, &relayed) {
                match shard.join_at(key, subscription, cursor.place.clone(), None).await? {
                    Joined::Live => return Ok(()),
                    Joined::Behind(back) => subscription = back,
                }
            }
        }
    }
}
