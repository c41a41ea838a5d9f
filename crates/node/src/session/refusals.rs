//! Why a command is refused.

use crate::{Namespaces, Rate, users::NoPlace};
use fanwire_auth::{InvalidToken, Right};
use fanwire_broker::{PublishError, ReadError, SubscribeError};
use fanwire_protocol::{ChannelName, ErrorCode, Refusal, Target, channel::DEFAULT_NAMESPACE};

/// How many namespaces are named to who asks for another.
const NAMED: usize = 20;

pub(super) fn unknown_namespace(channel: &ChannelName, known: &Namespaces) -> Refusal {
    let namespace = channel.namespace();
    let others: Vec<_> = known.by_name.keys().filter(|name| *name != DEFAULT_NAMESPACE).collect();
    let named = others.iter().take(NAMED).map(|name| format!("{name:?}, ")).collect::<String>();
    let (verb, more) = (if others.is_empty() { "is" } else { "are" }, others.len().saturating_sub(NAMED));
    let more = if more > 0 { format!("{more} more and ") } else { String::new() };
    let message = format!(
        "unknown namespace {namespace:?} in \"{channel}\": known {verb} {named}{more}\"{DEFAULT_NAMESPACE}\", which is also that of names without ':'"
    );
    Refusal::new(ErrorCode::UnknownNamespace, message)
}

/// For those who are not to learn which namespaces there are.
pub(super) fn unknown_namespace_untold(channel: &ChannelName) -> Refusal {
    let message = format!("unknown namespace {:?} in \"{channel}\"", channel.namespace());
    Refusal::new(ErrorCode::UnknownNamespace, message)
}

pub(super) fn authenticate_first() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "no token has come yet: send auth with one first")
}

pub(super) fn authenticated() -> Refusal {
    Refusal::bad_request("the connection has a token already: refresh replaces it")
}

pub(super) fn no_place(why: NoPlace) -> Refusal {
    match why {
        NoPlace::Here => Refusal::new(ErrorCode::UserLimit, why.to_string()),
        NoPlace::Everywhere => Refusal::new(ErrorCode::UserLimitEverywhere, why.to_string()),
        NoPlace::Unknown => Refusal::new(ErrorCode::BrokerUnavailable, format!("{why}; try again later")),
        NoPlace::Revoked => Refusal::new(ErrorCode::Unauthorized, why.to_string()),
    }
}

pub(super) fn rate_limited(rate: Rate) -> Refusal {
    let Rate { per_second, burst } = rate;
    let message = format!("a connection may send {per_second} commands a second, {burst} at once");
    Refusal::new(ErrorCode::RateLimited, message)
}

pub(super) fn no_tokens() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "this node takes no tokens: nobody has to have one")
}

pub(super) fn invalid_token(invalid: &InvalidToken) -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, format!("the token is refused: {invalid}"))
}

pub(super) fn another_user() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "the token is refused: it is another user's than that of the connection")
}

pub(super) fn subscribed(channel: &ChannelName) -> Refusal {
    let message = format!("the token has no right to subscribe to \"{channel}\": unsubscribe from it first");
    Refusal::new(ErrorCode::Forbidden, message)
}

pub(super) fn forbidden(right: Right, channel: &ChannelName) -> Refusal {
    let what = match right {
        Right::Subscribe => "subscribe to",
        Right::Publish => "publish to",
        Right::Presence => "see who is on",
        Right::History => "read the history of",
    };
    Refusal::new(ErrorCode::Forbidden, format!("no right to {what} \"{channel}\""))
}

pub(super) fn forbidden_broadcast() -> Refusal {
    Refusal::new(ErrorCode::Forbidden, "no right to broadcast")
}

pub(super) fn no_history(target: &Target) -> Refusal {
    let message = match target {
        Target::Broadcast => "broadcasts have no history".to_owned(),
        Target::Channel(channel) => {
            format!("\"{channel}\" has no history: its namespace {:?} keeps none", channel.namespace())
        }
    };
    Refusal::new(ErrorCode::NoHistory, message)
}

pub(super) fn no_presence(channel: &ChannelName) -> Refusal {
    let message =
        format!("nobody can be seen on \"{channel}\": its namespace {:?} has no presence", channel.namespace());
    Refusal::new(ErrorCode::NoPresence, message)
}

pub(super) fn vouched_info() -> Refusal {
    let message = "the token says what others are told of the connection (info): subscribe without info";
    Refusal::new(ErrorCode::Forbidden, message)
}

pub(super) fn info_too_large(length: usize, limit: usize) -> Refusal {
    let message = format!("the info has {length} bytes, at most {limit} are kept of a member (limits.info)");
    Refusal::new(ErrorCode::MessageTooLarge, message)
}

pub(super) fn no_recovery(channel: &ChannelName, has_history: bool) -> Refusal {
    if !has_history {
        return no_history(&Target::Channel(channel.clone()));
    }
    let namespace = channel.namespace();
    let message = format!("\"{channel}\" can't be recovered: that is switched off in its namespace {namespace:?}");
    Refusal::new(ErrorCode::NoHistory, message)
}

pub(super) fn unknown_place() -> Refusal {
    Refusal::new(ErrorCode::BrokerUnavailable, "the node does not know yet where the broadcasts stand; try again later")
}

pub(super) fn already_recovering() -> Refusal {
    Refusal::bad_request("broadcasts are being recovered already")
}

pub(super) fn read(error: &ReadError) -> Refusal {
    let code = match error {
        ReadError::Unavailable(_) => ErrorCode::BrokerUnavailable,
        ReadError::Timeout => ErrorCode::BrokerTimeout,
    };
    Refusal::new(code, error.to_string())
}

pub(super) fn subscribe(error: &SubscribeError) -> Refusal {
    let code = match error {
        SubscribeError::Unavailable(_) => ErrorCode::BrokerUnavailable,
        SubscribeError::Timeout => ErrorCode::BrokerTimeout,
    };
    Refusal::new(code, error.to_string())
}

pub(super) fn publish(error: &PublishError) -> Refusal {
    let code = match error {
        PublishError::Unavailable(_) => ErrorCode::BrokerUnavailable,
        PublishError::Timeout => ErrorCode::BrokerTimeout,
    };
    Refusal::new(code, error.to_string())
}

pub(super) fn already_subscribed(channel: &ChannelName) -> Refusal {
    Refusal::new(ErrorCode::AlreadySubscribed, format!("already subscribed to \"{channel}\""))
}

pub(super) fn not_subscribed(channel: &ChannelName) -> Refusal {
    Refusal::new(ErrorCode::NotSubscribed, format!("not subscribed to \"{channel}\""))
}

pub(super) fn channel_limit(limit: usize) -> Refusal {
    let message = format!("a connection may subscribe to {limit} channels: unsubscribe from one first");
    Refusal::new(ErrorCode::ChannelLimit, message)
}

pub(super) fn message_too_large(length: usize, bound: usize) -> Refusal {
    let message = format!("a form of the message would have {length} bytes, at most {bound} can be delivered");
    Refusal::new(ErrorCode::MessageTooLarge, message)
}
