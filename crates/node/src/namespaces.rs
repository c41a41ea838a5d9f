//! The options of channels, by their namespaces, and who may do what there.

use crate::{Allow, Who};
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
    /// Whether one can ask who is on a channel.
    pub presence: bool,
    /// Whether subscribers are told who comes and goes, where there is presence.
    pub join_leave: bool,
    /// Who may do what besides those whose token says so, where there are tokens.
    pub allow: Allow,
}

/// All namespaces, and the broadcasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The namespaces by their names; channels of any other are refused.
    pub by_name: BTreeMap<String, Namespace>,
    /// What is kept of broadcasts, if anything.
    pub broadcast: Option<Retention>,
    /// Who may broadcast besides those whose token says so.
    pub allow_broadcast: Who,
}

impl Namespaces {
    /// The options of `channel`, unless its namespace is not among these.
    pub(crate) fn of(&self, channel: &ChannelName) -> Option<&Namespace> {
        self.by_name.get(channel.namespace())
    }

    /// Whether there is presence anywhere.
    pub(crate) fn have_presence(&self) -> bool {
        self.by_name.values().any(|namespace| namespace.presence)
    }

    /// What is kept of what is published to `target`.
    pub(crate) fn retention(&self, target: &Target) -> Option<Retention> {
        match target {
            Target::Broadcast => self.broadcast,
            Target::Channel(channel) => self.of(channel)?.history,
        }
    }
}
