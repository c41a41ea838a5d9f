//! Why a command is refused.

use fanwire_broker::{PublishError, SubscribeError};
use fanwire_protocol::{ChannelName, ErrorCode, Refusal, channel::DEFAULT_NAMESPACE};

/// Until namespaces can be configured there is one.
pub(super) fn known_namespace(channel: &ChannelName) -> Result<(), Refusal> {
    let namespace = channel.namespace();
    if namespace == DEFAULT_NAMESPACE {
        return Ok(());
    }
    let message = format!(
        "unknown namespace {namespace:?} in \"{channel}\": known is \"{DEFAULT_NAMESPACE}\", which is also that of names without ':'"
    );
    Err(Refusal::new(ErrorCode::UnknownNamespace, message))
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
