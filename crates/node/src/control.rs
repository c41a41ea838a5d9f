//! What nodes tell each other to do: by the broker, over a channel that no client can name.

use crate::users::Users;
use fanwire_broker::{Broker, LinkState, PublishError, Publishing};
use fanwire_hub::{Hub, ShardGone};
use fanwire_protocol::{
    ChannelName, CloseReason, ConnectionId, Content, ContentKind, Delivery, NodeId, Publication, Target, UserId,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::sleep;

/// How long nodes wait before they try again to listen to each other.
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

impl Control {
    /// Tells all nodes, this one too.
    pub(crate) async fn tell(&self, broker: &dyn Broker) -> Result<(), PublishError> {
        let unavailable = |error: &dyn std::fmt::Display| PublishError::Unavailable(error.to_string());
        let text = serde_json::to_string(self).map_err(|error| unavailable(&error))?;
        let content = Content::json(&text).map_err(|error| unavailable(&error))?;
        let publication = Arc::new(Publication::new(Target::Channel(ChannelName::control()), content));
        let delivery = Delivery { publication, except: None, published_at: 0 };
        let accepted = broker.publish(Publishing { delivery, retention: None, idempotency_key: None }).await?;
        accepted.await.unwrap_or(Err(PublishError::Timeout)).map(drop)
    }

    /// What a delivery tells to do; `None` if it is an ordinary one, or tells something unknown.
    pub(crate) fn read(delivery: &Delivery) -> Option<Self> {
        let (kind, data) = delivery.publication.content.parts();
        (kind == ContentKind::Json).then(|| serde_json::from_slice(data).ok()).flatten()
    }

    /// Does it, as far as this node is concerned.
    pub(crate) async fn carry_out(self, node: NodeId, users: &Users, hub: &Hub) -> Result<(), ShardGone> {
        let Self::Disconnect(whom) = self;
        let connections = match whom {
            Whom::User(user) => UserId::parse(&user).map(|user| users.of_user(&user)).unwrap_or_default(),
            Whom::Token(id) => users.of_token(&id),
            Whom::Connection(id) => HashSet::from_iter((id.0 == node).then_some(id)),
        };
        if connections.is_empty() {
            return Ok(());
        }
        tracing::info!(connections = connections.len(), "closing connections as told");
        hub.disconnect(connections, CloseReason::Disconnected).await
    }
}

/// Whether a delivery is for nodes, and none of a client's concern.
pub(crate) fn is_control(delivery: &Delivery) -> bool {
    matches!(&delivery.publication.target, Target::Channel(channel) if channel.is_control())
}

/// Makes the broker bring what nodes tell each other; runs as long as the node.
pub(crate) async fn listen(broker: Arc<dyn Broker>) {
    let mut link = broker.link();
    loop {
        // Fails only where the broker is gone, and the node with it.
        let _ = link.wait_for(|state| *state == LinkState::Up).await;
        match broker.subscribe(&ChannelName::control()).await {
            Ok(()) => return std::future::pending().await,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
}
