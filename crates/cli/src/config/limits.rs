//! The group `limits`: what clients may not exceed.

use super::{
    setting::{Choice, Visitor, any, within},
    size::Size,
};
use fanwire_node::{AddressLimits, Everywhere, Rate, WhenUnknown};

/// The greatest number that a limit may have.
const MOST: usize = 10_000_000;

/// What clients may not exceed.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of one message from a client. At least 125, so that it is no less than a control frame may carry.
    pub(crate) message: Size,
    /// Fragments of one message.
    pub(crate) fragments: usize,
    /// Connections of one node.
    pub(crate) connections: usize,
    /// Of these, so many whose request is still to come.
    pub(crate) handshakes: usize,
    /// Channels that one connection may be subscribed to.
    pub(crate) channels: usize,
    /// Bytes that a connection may say of itself where it is seen.
    pub(crate) info: Size,
    /// Commands of one connection.
    pub(crate) commands: Pace<usize>,
    /// Bytes from one connection.
    pub(crate) bytes: Pace<Size>,
    /// Connections of one address; 0 for any number.
    pub(crate) address_connections: usize,
    /// New connections of one address.
    pub(crate) address: Pace<usize>,
    /// Connections of one user at one node; 0 for any number.
    pub(crate) user_connections: usize,
    /// Connections of one user at all nodes together; 0 for any number.
    pub(crate) everywhere: usize,
    /// What becomes of another one when nobody knows how many there are.
    pub(crate) when_unknown: WhenUnknown,
}

impl Choice for WhenUnknown {
    const NAMES: &'static [(&'static str, Self)] = &[("allow", Self::Allow), ("refuse", Self::Refuse)];
}

/// So many a second, 0 for any number, and so many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace<T> {
    pub(crate) rate: T,
    pub(crate) burst: T,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: Size::kib(64),
            fragments: 1024,
            connections: 100_000,
            handshakes: 10_000,
            channels: 128,
            info: Size::kib(1),
            commands: Pace { rate: 0, burst: 100 },
            bytes: Pace { rate: Size::new(0), burst: Size::kib(1 << 10) },
            address_connections: 0,
            address: Pace { rate: 0, burst: 100 },
            user_connections: 0,
            everywhere: 0,
            when_unknown: WhenUnknown::Allow,
        }
    }
}

impl Limits {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.setting("limits.message", &mut self.message, within(Size::new(125)..=Size::kib(64 << 10)));
        visitor.setting("limits.fragments", &mut self.fragments, within(1..=MOST));
        visitor.setting("limits.connections", &mut self.connections, within(1..=MOST));
        visitor.setting("limits.handshakes", &mut self.handshakes, within(1..=MOST));
        visitor.setting("limits.channels", &mut self.channels, within(1..=100_000));
        visitor.setting("limits.info", &mut self.info, within(Size::new(0)..=Size::kib(64)));
        visitor.setting("limits.commands.rate", &mut self.commands.rate, within(0..=MOST));
        visitor.setting("limits.commands.burst", &mut self.commands.burst, within(1..=MOST));
        visitor.setting("limits.bytes.rate", &mut self.bytes.rate, within(Size::new(0)..=Size::kib(1 << 20)));
        visitor.setting("limits.bytes.burst", &mut self.bytes.burst, within(Size::kib(1)..=Size::kib(1 << 20)));
        visitor.setting("limits.address.connections", &mut self.address_connections, within(0..=MOST));
        visitor.setting("limits.address.rate", &mut self.address.rate, within(0..=MOST));
        visitor.setting("limits.address.burst", &mut self.address.burst, within(1..=MOST));
        visitor.setting("limits.user.connections", &mut self.user_connections, within(0..=MOST));
        visitor.setting("limits.user.everywhere", &mut self.everywhere, within(0..=MOST));
        visitor.setting("limits.user.when_unknown", &mut self.when_unknown, any);
    }

    /// How fast commands may come.
    pub(crate) fn command_rate(&self) -> Option<Rate> {
        Rate::new(self.commands.rate, self.commands.burst)
    }

    /// How fast bytes may come.
    pub(crate) fn byte_rate(&self) -> Option<Rate> {
        Rate::new(self.bytes.rate.bytes(), self.bytes.burst.bytes())
    }

    /// What one address may do.
    pub(crate) fn of_address(&self) -> AddressLimits {
        let connections = limited(self.address_connections);
        AddressLimits { connections, rate: Rate::new(self.address.rate, self.address.burst) }
    }

    /// How many connections a user may have at this node.
    pub(crate) fn of_user(&self) -> Option<usize> {
        limited(self.user_connections)
    }

    /// How many connections it may have on all nodes together.
    pub(crate) fn everywhere(&self) -> Option<Everywhere> {
        limited(self.everywhere).map(|limit| Everywhere { limit, when_unknown: self.when_unknown })
    }
}

fn limited(number: usize) -> Option<usize> {
    (number > 0).then_some(number)
}
