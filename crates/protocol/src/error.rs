//! Why a command is refused: the one catalogue of error codes.

/// The code of an `error` event. The list only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The message is not a command, or one of its values is wrong.
    BadRequest,
    /// The value of `type` is no command.
    UnknownCommand,
    /// The connection has no token that says who it is, or this one is none.
    Unauthorized,
    /// The connection has not the right to it.
    Forbidden,
    /// Commands come faster than they may.
    RateLimited,
    /// The token's user has as many connections at this node as a user may.
    UserLimit,
    /// The token's user has as many connections on all nodes together as a user may.
    UserLimitEverywhere,
    /// The channel's namespace is not configured.
    UnknownNamespace,
    /// What was asked needs a history that the channel, or the broadcasts, don't have; or recovery is switched off there.
    NoHistory,
    /// What was asked needs presence, which the channel's namespace doesn't have.
    NoPresence,
    /// `unsubscribe` from a channel that the connection is not subscribed to.
    NotSubscribed,
    /// `subscribe` to a channel that the connection is subscribed to.
    AlreadySubscribed,
    /// The connection has `limits.channels` subscriptions already.
    ChannelLimit,
    /// A form of the publication would not fit `outbox.limit`, or what a member says of itself is too long.
    MessageTooLarge,
    /// The broker is away; nothing was published or subscribed.
    BrokerUnavailable,
    /// The broker did not answer in time; what was asked may have happened.
    BrokerTimeout,
    /// The node failed.
    Internal,
}

/// All codes.
pub const ALL: [ErrorCode; 17] = [
    ErrorCode::BadRequest,
    ErrorCode::UnknownCommand,
    ErrorCode::Unauthorized,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::UserLimit,
    ErrorCode::UserLimitEverywhere,
    ErrorCode::UnknownNamespace,
    ErrorCode::NoHistory,
    ErrorCode::NoPresence,
    ErrorCode::NotSubscribed,
    ErrorCode::AlreadySubscribed,
    ErrorCode::ChannelLimit,
    ErrorCode::MessageTooLarge,
    ErrorCode::BrokerUnavailable,
    ErrorCode::BrokerTimeout,
    ErrorCode::Internal,
];

impl ErrorCode {
    /// The code as it stands on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownCommand => "unknown_command",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::UserLimit => "user_limit",
            Self::UserLimitEverywhere => "user_limit_everywhere",
            Self::UnknownNamespace => "unknown_namespace",
            Self::NoHistory => "no_history",
            Self::NoPresence => "no_presence",
            Self::NotSubscribed => "not_subscribed",
            Self::AlreadySubscribed => "already_subscribed",
            Self::ChannelLimit => "channel_limit",
            Self::MessageTooLarge => "message_too_large",
            Self::BrokerUnavailable => "broker_unavailable",
            Self::BrokerTimeout => "broker_timeout",
            Self::Internal => "internal",
        }
    }
}

/// A code with a text for people that says what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What a program may branch on.
    pub code: ErrorCode,
    /// What a person reads.
    pub message: String,
}

impl Refusal {
    /// A refusal of `code` with the text `message`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A [`ErrorCode::BadRequest`] with the text `message`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }
}
