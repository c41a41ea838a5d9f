//! What nodes tell each other to do: by the broker, over a channel that no client can name.
//!
//! The channel has a history, in order that a node which was cut off from the broker reads what it has not heard, and one
//! that starts which tokens were revoked.

use crate::{
    metrics::Metrics,
    readiness::{Need, Readiness},
    revoked,
    time::unix_micros,
    users::Users,
};
use fanwire_auth::claims::MAX_TOKEN_ID;
use fanwire_broker::{Broker, LinkState, MAX_PAGE, Page, PublishError, Publishing, Query, ReadError, Retention};
use fanwire_hub::{Hub, ShardGone};
use fanwire_protocol::{
    ChannelName, CloseReason, ConnectionId, Content, ContentKind, Delivery, NodeId, Position, Publication, Target,
    UserId,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// How long nodes wait before they try again to listen to each other, or to read what they have told.
const PAUSE: Duration = Duration::from_millis(500);

/// Something to do, as JSON. A node that is told what it does not know does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// Close connections.
    Disconnect(Whom),
}

/// Whose connections are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Whom {
    /// All of a user.
    User(String),
    /// One.
    Connection(ConnectionId),
    /// All that have come with the token of this name (`jti`).
    Token(String),
}

impl Whom {
    /// What is wrong with it, where there can be nobody of this name.
    pub(crate) fn wrong(&self) -> Option<String> {
        match self {
            Self::User(user) => UserId::parse(user).err().map(|error| error.to_string()),
            Self::Token(id) if !(1..=MAX_TOKEN_ID).contains(&id.len()) => {
                Some(format!("a token's name (jti) has 1 to {MAX_TOKEN_ID} bytes, this one has {}", id.len()))
            }
            Self::Token(_) | Self::Connection(_) => None,
        }
    }
}

impl Control {
    /// Tells all nodes, this one too, and for as long as `kept` says those that can't hear it now.
    pub(crate) async fn tell(&self, broker: &dyn Broker, kept: Retention) -> Result<(), PublishError> {
        let unavailable = |error: &dyn std::fmt::Display| PublishError::Unavailable(error.to_string());
        let text = serde_json::to_string(self).map_err(|error| unavailable(&error))?;
        let content = Content::json(&text).map_err(|error| unavailable(&error))?;
        let publication = Arc::new(Publication::new(target(), content));
        let delivery = Delivery { publication, except: None, published_at: unix_micros() };
        let accepted = broker.publish(Publishing { delivery, retention: Some(kept), idempotency_key: None }).await?;
        accepted.await.unwrap_or(Err(PublishError::Timeout)).map(drop)
    }

    /// What a delivery tells to do; `None` if it is an ordinary one, or tells something unknown.
    fn read(delivery: &Delivery) -> Option<Self> {
        let (kind, data) = delivery.publication.content.parts();
        (kind == ContentKind::Json).then(|| serde_json::from_slice(data).ok()).flatten()
    }
}

/// How many of such things are kept, and for how long: `ttl`.
pub(crate) fn kept(ttl: Duration) -> Retention {
    Retention { size: u32::try_from(revoked::MAX).unwrap_or(u32::MAX), ttl }
}

fn target() -> Target {
    Target::Channel(ChannelName::control())
}

/// How a node heard of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// When it was told.
    Live,
    /// Later.
    Late,
}

/// Does here what nodes tell each other.
#[derive(Clone)]
pub(crate) struct Obedient {
    pub(crate) node: NodeId,
    pub(crate) users: Users,
    pub(crate) hub: Hub,
    /// What is kept of what nodes tell each other; a token is kept out for as long.
    pub(crate) kept: Retention,
    /// By how much clocks may differ.
    pub(crate) leeway: Duration,
    /// Something may not have been heard.
    pub(crate) missed: Arc<Notify>,
    /// Up to where nothing has to be read any more.
    pub(crate) place: Arc<Mutex<Option<Position>>>,
}

impl Obedient {
    /// Does what a delivery tells, as far as this node is concerned.
    pub(crate) async fn obey(&self, delivery: &Delivery, heard: Heard) -> Result<(), ShardGone> {
        self.pass(delivery.publication.position.as_ref(), heard);
        let Some(Control::Disconnect(whom)) = Control::read(delivery) else { return Ok(()) };
        let connections = self.meant(whom, delivery.published_at, heard);
        if connections.is_empty() {
            return Ok(());
        }
        tracing::info!(connections = connections.len(), "closing connections as told");
        self.hub.disconnect(connections, CloseReason::Disconnected).await
    }

    /// Goes on to the place of a delivery: if it was read, or heard right behind the one before.
    fn pass(&self, at: Option<&Position>, heard: Heard) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = |place: &Position, at: &Position| place.epoch == at.epoch && place.offset + 1 == at.offset;
        let is_next = || place.as_ref().zip(at).is_some_and(|(place, at)| follows(place, at));
        if heard == Heard::Late || is_next() {
            *place = at.cloned();
        }
    }

    fn place(&self) -> Option<Position> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections that something said at `told_at`, in microseconds since the Unix epoch, is about.
    fn meant(&self, whom: Whom, told_at: u64, heard: Heard) -> HashSet<ConnectionId> {
        if whom.wrong().is_some() {
            return HashSet::new();
        }
        match whom {
            Whom::User(user) => {
                let until = self.latest_start(told_at, heard);
                UserId::parse(&user).map(|user| self.users.dismiss_user(&user, until)).unwrap_or_default()
            }
            Whom::Token(id) => self.users.revoke(&id, later(token_told_at(told_at, heard), self.kept.ttl)),
            Whom::Connection(id) => HashSet::from_iter((id.0 == self.node).then_some(id)),
        }
    }

    /// Who is meant by something that was told of a user: whoever is there, or was there then.
    fn latest_start(&self, told_at: u64, heard: Heard) -> u64 {
        match heard {
            Heard::Live => u64::MAX,
            Heard::Late => later(told_at, self.leeway),
        }
    }
}

/// When it was told of a token: now, where that is heard now, however wrong the teller's clock is. Older nodes don't say.
fn token_told_at(told_at: u64, heard: Heard) -> u64 {
    match (told_at, heard) {
        (0, _) | (_, Heard::Live) => told_at.max(unix_micros()),
        (told_at, Heard::Late) => told_at,
    }
}

/// `time`, in microseconds, and `duration` after it.
fn later(time: u64, duration: Duration) -> u64 {
    time.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Whether a delivery is for nodes, and none of a client's concern.
pub(crate) fn is_control(delivery: &Delivery) -> bool {
    matches!(&delivery.publication.target, Target::Channel(channel) if channel.is_control())
}

/// Hears what nodes tell each other, and reads what may not have been heard.
pub(crate) struct Listener {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) obedient: Obedient,
    /// Waits for what was told before the node started.
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
}

impl Listener {
    /// Makes the broker bring what nodes tell each other; runs as long as the node.
    pub(crate) async fn listen(self) -> Result<(), ShardGone> {
        self.subscribe().await;
        loop {
            self.catch_up().await?;
            self.readiness.has(Need::Revocations);
            self.obedient.missed.notified().await;
        }
    }

    async fn subscribe(&self) {
        loop {
            self.connected().await;
            match self.broker.subscribe(&ChannelName::control()).await {
                Ok(()) => return,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn connected(&self) {
        // Fails only where the broker is gone, and the node with it.
        let _ = self.broker.link_to(&target()).wait_for(|state| *state == LinkState::Up).await;
    }

    /// Does what was told and not heard.
    async fn catch_up(&self) -> Result<(), ShardGone> {
        loop {
            let page = self.page(self.obedient.place()).await;
            for delivery in &page.publications {
                self.obedient.obey(delivery, Heard::Late).await?;
            }
            if page.publications.is_empty() {
                self.obedient.pass(Some(&page.newest), Heard::Late);
                return Ok(());
            }
        }
    }

    /// What was told behind `since`, or the beginning of it, as soon as it can be read.
    async fn page(&self, since: Option<Position>) -> Page {
        let mut is_told = false;
        loop {
            self.connected().await;
            match self.read(since.clone()).await {
                Ok(page) => return page,
                Err(error) if !is_told => tracing::warn!(%error, "what nodes were told can't be read; trying again"),
                Err(_) => {}
            }
            is_told = true;
            sleep(PAUSE).await;
        }
    }

    async fn read(&self, since: Option<Position>) -> Result<Page, ReadError> {
        let query = Query { target: target(), since, limit: MAX_PAGE, reverse: false };
        let read = self.broker.history(query, self.obedient.kept).await;
        self.metrics.caught_up(&read);
        read
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::Epoch;

    fn delivery(content: Content) -> Delivery {
        let publication = Arc::new(Publication::new(Target::Channel(ChannelName::control()), content));
        Delivery { publication, except: None, published_at: 0 }
    }

    #[test]
    fn what_is_told_is_understood_and_what_is_unknown_is_not() {
        let id = ConnectionId(NodeId::from_random(7), 42);
        for (told, text) in [
            (Whom::User("u".to_owned()), r#"{"disconnect":{"user":"u"}}"#),
            (Whom::Connection(id), r#"{"disconnect":{"connection":[7,42]}}"#),
            (Whom::Token("t".to_owned()), r#"{"disconnect":{"token":"t"}}"#),
        ] {
            let told = Control::Disconnect(told);
            assert_eq!(serde_json::to_string(&told).unwrap(), text);
            assert_eq!(Control::read(&delivery(Content::json(text).unwrap())), Some(told));
        }
        for text in
            [r#"{"newer":1}"#, r#"{"disconnect":{"newer":1}}"#, "1", r#"{"disconnect":{"user":"u","token":"t"}}"#]
        {
            assert_eq!(Control::read(&delivery(Content::json(text).unwrap())), None, "{text}");
        }
        assert_eq!(Control::read(&delivery(Content::binary(vec![1].into()))), None);
    }

    fn obedient() -> Obedient {
        let metrics = fanwire_hub::HubMetrics::new(&prometheus::Registry::new()).unwrap();
        let hub = crate::testing::hub(&metrics, fanwire_hub::Clock::start(), 1 << 20);
        let (kept, leeway) = (kept(Duration::from_secs(60)), Duration::from_secs(10));
        Obedient { kept, leeway, ..crate::testing::obedient(&hub) }
    }

    #[tokio::test]
    async fn who_came_after_it_was_told_stays_unless_it_is_told_now() {
        let (obedient, user) = (obedient(), UserId::parse("u").unwrap());
        let id = |number| ConnectionId(NodeId::from_random(7), number);
        let note = |number, since| {
            let bearer = crate::users::Bearer { user: Some(&user), token: None, since };
            obedient.users.note(id(number), bearer, usize::MAX).unwrap()
        };
        let _connections = [note(1, 1_000_000), note(2, 12_000_000), note(3, 12_000_001)];
        let meant = |heard| obedient.meant(Whom::User("u".to_owned()), 2_000_000, heard);
        assert_eq!(meant(Heard::Late), [id(1), id(2)].into());
        assert_eq!(meant(Heard::Live), [id(1), id(2), id(3)].into());
        assert_eq!(obedient.meant(Whom::Connection(id(9)), 0, Heard::Late), [id(9)].into());
        let elsewhere = ConnectionId(NodeId::from_random(8), 1);
        assert_eq!(obedient.meant(Whom::Connection(elsewhere), 0, Heard::Late), [].into());
    }

    #[tokio::test]
    async fn a_token_is_kept_out_for_as_long_as_one_may_last_from_when_it_was_told() {
        let (obedient, now) = (obedient(), unix_micros());
        for (id, told_at) in [("now", now), ("old", now - 61_000_000), ("by an older node", 0)] {
            obedient.meant(Whom::Token(id.to_owned()), told_at, Heard::Late);
        }
        obedient.meant(Whom::Token("by a node whose clock is wrong".to_owned()), 1, Heard::Live);
        let revoked = |id| obedient.users.is_revoked(id);
        assert!(revoked("now") && !revoked("old"));
        assert!(revoked("by an older node") && revoked("by a node whose clock is wrong"));
    }

    #[tokio::test]
    async fn what_was_heard_in_order_is_not_read_again() {
        let obedient = obedient();
        let at = |epoch: &str, offset| Position { epoch: Epoch::parse(epoch).unwrap(), offset };
        let pass = |epoch, offset, heard| {
            obedient.pass(Some(&at(epoch, offset)), heard);
            obedient.place().map(|place| place.offset)
        };
        assert_eq!(pass("a", 1, Heard::Live), None);
        assert_eq!(pass("a", 3, Heard::Late), Some(3));
        assert_eq!(pass("a", 4, Heard::Live), Some(4));
        // Something is missing before these.
        assert_eq!(pass("a", 6, Heard::Live), Some(4));
        assert_eq!(pass("b", 5, Heard::Live), Some(4));
        assert_eq!(pass("a", 6, Heard::Late), Some(6));
    }

    #[test]
    fn nobody_is_called_so() {
        for whom in [Whom::User(String::new()), Whom::Token(String::new()), Whom::Token("x".repeat(129))] {
            assert!(whom.wrong().is_some(), "{whom:?}");
        }
        assert!(Whom::Token("x".repeat(128)).wrong().is_none());
    }
}
