//! Why a connection ends: the one catalogue of close codes, texts and metric labels.

/// Why a connection ended, whoever ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer sent a Close frame.
    PeerClosed = 1,
    /// The peer's socket ended without a Close frame.
    PeerVanished,
    /// Nothing arrived for `heartbeat.timeout` after a ping.
    HeartbeatTimeout,
    /// The outbox was full.
    SlowConsumer,
    /// The node drains.
    Draining,
    /// The peer broke RFC 6455.
    ProtocolError,
    /// A text was not UTF-8.
    InvalidUtf8,
    /// A message or frame was longer than `limits.message`.
    MessageTooBig,
    /// A message had more fragments than `limits.fragments`.
    TooManyFragments,
    /// The node failed; the connection alone is given up.
    Internal,
    /// The token that it came with holds no longer.
    TokenExpired,
    /// It has not said in time who it is.
    AuthTimeout,
    /// An operator, or a backend, wants it gone.
    Disconnected,
    /// Pings, or before authentication commands, came faster than they may.
    TooFast,
    /// The node is short of memory, and this outbox was one of the largest.
    MemoryPressure,
}

/// All reasons, for metrics that want every label from the start.
pub const ALL: [CloseReason; 15] = [
    CloseReason::PeerClosed,
    CloseReason::PeerVanished,
    CloseReason::HeartbeatTimeout,
    CloseReason::SlowConsumer,
    CloseReason::Draining,
    CloseReason::ProtocolError,
    CloseReason::InvalidUtf8,
    CloseReason::MessageTooBig,
    CloseReason::TooManyFragments,
    CloseReason::Internal,
    CloseReason::TokenExpired,
    CloseReason::AuthTimeout,
    CloseReason::Disconnected,
    CloseReason::TooFast,
    CloseReason::MemoryPressure,
];

impl CloseReason {
    /// The reason with this discriminant, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        ALL.into_iter().find(|reason| *reason as u8 == value)
    }

    /// The close code of RFC 6455, section 7.4.1 (1012 and 1013: the IANA registry of close codes; from 4000 on: our own, with
    /// the numbers that HTTP has for the same).
    ///
    /// A dialect that has codes of its own maps reasons itself, see [`crate::Dialect::close_code`].
    pub fn code(self) -> u16 {
        match self {
            Self::PeerClosed => 1000,
            Self::PeerVanished => 1006,
            Self::HeartbeatTimeout => 1001,
            Self::SlowConsumer | Self::MemoryPressure => 1013,
            Self::Draining => 1012,
            Self::ProtocolError => 1002,
            Self::InvalidUtf8 => 1007,
            Self::MessageTooBig => 1009,
            Self::TooManyFragments => 1008,
            Self::Internal => 1011,
            Self::TokenExpired => 4401,
            Self::Disconnected => 4403,
            Self::AuthTimeout => 4408,
            Self::TooFast => 4429,
        }
    }

    /// The text that goes with the code, at most 123 bytes (RFC 6455, section 5.5.1).
    pub fn text(self) -> &'static str {
        match self {
            Self::PeerClosed => "",
            Self::PeerVanished => "connection lost",
            Self::HeartbeatTimeout => "no answer to the heartbeat",
            Self::SlowConsumer => "slow consumer: messages came faster than they were read",
            Self::Draining => "node is going away, connect again",
            Self::ProtocolError => "protocol error",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "message in too many fragments",
            Self::Internal => "internal error",
            Self::TokenExpired => "the token has expired",
            Self::AuthTimeout => "no token in time",
            Self::Disconnected => "disconnected by the operator",
            Self::TooFast => "too much came too fast",
            Self::MemoryPressure => "node is short of memory, and too much waits here",
        }
    }

    /// The value of the label `reason` in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::PeerVanished => "peer_vanished",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Draining => "draining",
            Self::ProtocolError => "protocol_error",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MessageTooBig => "message_too_big",
            Self::TooManyFragments => "too_many_fragments",
            Self::Internal => "internal",
            Self::TokenExpired => "token_expired",
            Self::AuthTimeout => "auth_timeout",
            Self::Disconnected => "disconnected",
            Self::TooFast => "too_fast",
            Self::MemoryPressure => "memory_pressure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_label_of_its_own_and_a_text_that_fits_a_close_frame() {
        assert_eq!(ALL.iter().map(|r| r.label()).collect::<HashSet<_>>().len(), ALL.len());
        assert!(ALL.iter().all(|r| r.text().len() <= 123));
    }

    #[test]
    fn a_reason_survives_its_number() {
        for reason in ALL {
            assert_eq!(CloseReason::from_u8(reason as u8), Some(reason));
        }
        assert_eq!(CloseReason::from_u8(0), None);
    }
}
