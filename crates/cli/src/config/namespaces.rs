//! The groups `namespaces` and `broadcast`: what is kept of publications, who is seen, and who may do what.

use super::setting::{Choice, Visitor, any, within};
use fanwire_node::{Allow, Who};
use fanwire_protocol::channel::DEFAULT_NAMESPACE;
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

/// How many publications a history may keep.
const SIZES: RangeInclusive<usize> = 0..=100_000;

/// For how long a history may be kept.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);

/// The longest name of a namespace, in bytes.
const MAX_NAME: usize = 32;

/// What the keys of all namespaces begin with.
const GROUP: &str = "namespaces";

/// What is kept of a channel's publications, or of the broadcasts.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// How many publications at most; 0 keeps none.
    pub(crate) size: usize,
    /// How long after the newest publication all of it is kept.
    pub(crate) ttl: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self { size: 0, ttl: Duration::from_secs(300) }
    }
}

impl History {
    fn visit(&mut self, group: &str, visitor: &mut impl Visitor) {
        visitor.setting(&format!("{group}.history.size"), &mut self.size, within(SIZES));
        visitor.setting(&format!("{group}.history.ttl"), &mut self.ttl, within(TIMES));
    }
}

impl Choice for Who {
    const NAMES: &'static [(&'static str, Self)] =
        &[("granted", Self::Granted), ("users", Self::Users), ("anyone", Self::Anyone)];
}

/// The options of all channels whose names begin alike.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    /// What is kept of each channel's publications.
    pub(crate) history: History,
    /// Whether clients may resume at a place in a history.
    pub(crate) recover: bool,
    /// Whether one can ask who is on a channel.
    pub(crate) presence: bool,
    /// Whether subscribers are told who comes and goes.
    pub(crate) join_leave: bool,
    /// Who may do what besides those whose token says so.
    pub(crate) allow: Allow,
}

impl Default for Namespace {
    fn default() -> Self {
        let (history, allow) = (History::default(), Allow::default());
        Self { history, recover: true, presence: false, join_leave: false, allow }
    }
}

/// All namespaces by their names.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces(pub(crate) BTreeMap<String, Namespace>);

impl Default for Namespaces {
    fn default() -> Self {
        Self::named([DEFAULT_NAMESPACE.to_owned()])
    }
}

impl Namespaces {
    /// Namespaces of these names, with the options that they have unless they are given others.
    pub(super) fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| (name, Namespace::default())).collect())
    }

    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        for (name, Namespace { history, recover, presence, join_leave, allow }) in &mut self.0 {
            let group = format!("{GROUP}.{name}");
            history.visit(&group, visitor);
            visitor.setting(&format!("{group}.recover"), recover, any);
            visitor.setting(&format!("{group}.presence"), presence, any);
            visitor.setting(&format!("{group}.join_leave"), join_leave, any);
            visitor.setting(&format!("{group}.allow.subscribe"), &mut allow.subscribe, any);
            visitor.setting(&format!("{group}.allow.publish"), &mut allow.publish, any);
            visitor.setting(&format!("{group}.allow.presence"), &mut allow.presence, any);
            visitor.setting(&format!("{group}.allow.history"), &mut allow.history, any);
        }
    }
}

/// The broadcasts to all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Broadcast {
    /// What is kept of them.
    pub(crate) history: History,
    /// Who may send one besides those whose token says so.
    pub(crate) allow: Who,
}

impl Broadcast {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        self.history.visit("broadcast", visitor);
        visitor.setting("broadcast.allow", &mut self.allow, any);
    }
}

/// A key that lets somebody do something, where any does.
pub(super) fn allowing(namespaces: &Namespaces, broadcast: &Broadcast) -> Option<String> {
    let in_namespace = namespaces.0.iter().find_map(|(name, Namespace { allow, .. })| {
        let all = [
            ("subscribe", allow.subscribe),
            ("publish", allow.publish),
            ("presence", allow.presence),
            ("history", allow.history),
        ];
        let (what, _) = all.into_iter().find(|(_, who)| *who != Who::default())?;
        Some(format!("{GROUP}.{name}.allow.{what}"))
    });
    in_namespace.or_else(|| (broadcast.allow != Who::default()).then(|| "broadcast.allow".to_owned()))
}

/// The namespace that `key` names or lies in, and what follows it.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix(GROUP)?.strip_prefix('.')?;
    Some(rest.split_at(rest.find('.').unwrap_or(rest.len())))
}

/// `key` as it would be in another namespace; any other key as it is.
pub(super) fn within_namespace(key: &str, name: &str) -> String {
    split(key).map_or_else(|| key.to_owned(), |(_, rest)| format!("{GROUP}.{name}{rest}"))
}

/// `key` as it would be in the namespace that always is; any other key as it is.
pub(super) fn in_default(key: &str) -> String {
    within_namespace(key, DEFAULT_NAMESPACE)
}

/// What is wrong with the name of a namespace, or nothing.
pub(super) fn invalid(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let valid = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
    (!valid).then(|| format!("{name:?} can't name a namespace: 1 to {MAX_NAME} letters, digits, '-' and '_' can"))
}
