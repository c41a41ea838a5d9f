//! What a connection may do: by its token, and by what namespaces allow to others.

use fanwire_auth::{Grant, Right};
use fanwire_protocol::ChannelName;

/// Who may do something, besides those whose token says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    #[default]
    Granted,
    /// Whoever has come with a token.
    Users,
    /// Everybody.
    Anyone,
}

impl Who {
    /// Whether that includes the bearer of a token with `grant`, or without one somebody who has none.
    fn includes(self, grant: Option<&Grant>) -> bool {
        match self {
            Self::Granted => false,
            Self::Users => grant.is_some(),
            Self::Anyone => true,
        }
    }
}

/// Who may do what in the channels of a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allow {
    /// Get what is published.
    pub subscribe: Who,
    /// Publish.
    pub publish: Who,
    /// See who is there.
    pub presence: Who,
    /// Read what was published before.
    pub history: Who,
}

impl Allow {
    fn to(&self, right: Right) -> Who {
        match right {
            Right::Subscribe => self.subscribe,
            Right::Publish => self.publish,
            Right::Presence => self.presence,
            Right::History => self.history,
        }
    }
}

/// Whether the bearer of `grant`, if it has come with a token, has `right` at `channel`, whose namespace allows what it
/// `allows`, if there is such a namespace.
pub(crate) fn may(grant: Option<&Grant>, allows: Option<&Allow>, right: Right, channel: &ChannelName) -> bool {
    let granted = grant.is_some_and(|grant| grant.rights.grant(right, channel));
    granted || allows.is_some_and(|allows| allows.to(right).includes(grant))
}

/// The same for broadcasts, which are allowed to `whom`.
pub(crate) fn may_broadcast(grant: Option<&Grant>, whom: Who) -> bool {
    grant.is_some_and(|grant| grant.rights.broadcast) || whom.includes(grant)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_auth::Rights;
    use std::time::Duration;

    fn grant(rights: &str) -> Grant {
        let rights: Rights = serde_json::from_str(rights).unwrap();
        Grant { user: None, info: None, rights, id: None, lasts: Duration::ZERO }
    }

    #[test]
    fn a_right_is_a_tokens_or_allowed_to_others() {
        let (none, all) = (grant("{}"), grant(r#"{"subscribe":["a*"],"broadcast":true}"#));
        let channel = ChannelName::parse("a").unwrap();
        for (who, anonymous, bearer) in
            [(Who::Granted, false, false), (Who::Users, false, true), (Who::Anyone, true, true)]
        {
            for right in [Right::Subscribe, Right::Publish, Right::Presence, Right::History] {
                let mut allow = Allow::default();
                match right {
                    Right::Subscribe => allow.subscribe = who,
                    Right::Publish => allow.publish = who,
                    Right::Presence => allow.presence = who,
                    Right::History => allow.history = who,
                }
                assert_eq!(may(None, Some(&allow), right, &channel), anonymous);
                assert_eq!(may(Some(&none), Some(&allow), right, &channel), bearer);
            }
            assert_eq!((may_broadcast(None, who), may_broadcast(Some(&none), who)), (anonymous, bearer));
        }
        assert!(may(Some(&all), None, Right::Subscribe, &channel) && may_broadcast(Some(&all), Who::Granted));
        assert!(!may(Some(&all), None, Right::Publish, &channel));
        assert!(!may(Some(&all), None, Right::Subscribe, &ChannelName::parse("b").unwrap()));
    }
}
