//! Why a command is refused.

use crate::Namespaces;
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
