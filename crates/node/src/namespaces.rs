//! What is kept of publications, by the namespaces of their channels.

use fanwire_broker::Retention;
use fanwire_protocol::{ChannelName, Target};
use std::collections::BTreeMap;

/// The options of all channels whose names begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace {
    /// What is kept of each channel's publications, if anything.
    pub history: Option<Retention>,
    /// Whether clients may resume at a place in a history.
    pub recover: bool,
}

/// All namespaces, and the broadcasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The namespaces by their names; channels of any other are refused.
    pub by_name: BTreeMap<String, Namespace>,
    /// What is kept of broadcasts, if anything.
    pub broadcast: Option<Retention>,
}

impl Namespaces {
    /// The options of `channel`, unless its namespace is not among these.
    pub(crate) fn of(&self, channel: &ChannelName) -> Option<&Namespace> {
        self.by_name.get(channel.namespace())
    }

    /// What is kept of what is published to `target`.
    pub(crate) fn retention(&self, target: &Target) -> Option<Retention> {
        match target {
            Target::Broadcast => self.broadcast,
            Target::Channel(channel) => self.of(channel)?.history,
        }
    }
}
