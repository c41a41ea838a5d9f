//! The names of Redis keys and channels, which are built here and nowhere else.
//!
//! `<prefix>:{<tag>}:<kind>[:<rest>]`, where neither prefix nor tag holds a brace: so every name can be read in one way
//! only, and no channel can be called like anything that is not a channel. An idempotency key may hold anything: so
//! before it stands how long the channel's name is.
//!
//! | kind | tag | rest | what |
//! | --- | --- | --- | --- |
//! | `c` | partition of the channel, 0 to 1,023 | the channel's name | Pub/Sub channel of a channel |
//! | `b` | `all` | | Pub/Sub channel of broadcasts |
//! | `s` | as of its Pub/Sub channel | the channel's name; nothing for broadcasts | stream of the publications that are kept |
//! | `m` | as of its Pub/Sub channel | the channel's name; nothing for broadcasts | hash of the newest place |
//! | `i` | as of its Pub/Sub channel | length of the channel's name, `:`, that name, `:` (for broadcasts none of these), the key | answer to an idempotency key |
//! | `h` | `node-<id>`, or `node-<id>.<variant>` at all servers but one | | Pub/Sub channel and key of a node's heartbeat |
//! | `p` | partition of the channel | the channel's name | sorted set of the channel's members; of a channel `$fanwire:user:<user>` leases of the user's connections |
//! | `u` | partition of the channel | the channel's name | hash of its users, with how many connections each has |
//! | `n` | partition | id of a node | hash of the partition's channels on which the node has members |
//! | `l` | `all` | | sorted set of the nodes that live, by their last sign |
//! | `d` | `all` | | sorted set of the nodes that were taken for dead, since when |
//!
//! The tag is a hash tag of Redis Cluster: what has the same tag is in the same slot.

use crate::partition::Partition;
use fanwire_protocol::{ChannelName, IdempotencyKey, NodeId, Target};
use std::sync::Arc;

/// The name of a Redis channel or key.
pub(super) type Name = Arc<str>;

/// Builds names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
    broadcast: Name,
}

impl Names {
    /// Names under `prefix` in the database `database`, which becomes part of the prefix: Pub/Sub channels are the same
    /// in all databases, and clusters in two of them must not hear each other.
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        let prefix = if database == 0 { prefix.to_owned() } else { format!("{prefix}/{database}") };
        let broadcast = format!("{prefix}:{{all}}:b").into();
        Self { prefix, broadcast }
    }

    /// Where publications to `target` go.
    pub(super) fn target(&self, target: &Target) -> Name {
        match target {
            Target::Broadcast => self.broadcast.clone(),
            Target::Channel(channel) => self.channel(channel),
        }
    }

    /// Where a channel's publications go.
    pub(super) fn channel(&self, channel: &ChannelName) -> Name {
        format!("{}:{{{}}}:c:{channel}", self.prefix, Partition::of(channel)).into()
    }

    /// Where broadcasts go.
    pub(super) fn broadcast(&self) -> Name {
        self.broadcast.clone()
    }

    /// The stream of what is kept of `target`.
    pub(super) fn stream(&self, target: &Target) -> Name {
        self.kept('s', target)
    }

    /// The newest place of `target`.
    pub(super) fn place(&self, target: &Target) -> Name {
        self.kept('m', target)
    }

    /// The answer to what was published to `target` with `key`.
    pub(super) fn answer(&self, target: &Target, key: &IdempotencyKey) -> Name {
        let (prefix, key) = (&self.prefix, key.as_str());
        match target {
            Target::Broadcast => format!("{prefix}:{{all}}:i:{key}").into(),
            Target::Channel(channel) => {
                let (partition, length) = (Partition::of(channel), channel.as_str().len());
                format!("{prefix}:{{{partition}}}:i:{length}:{channel}:{key}").into()
            }
        }
    }

    fn kept(&self, kind: char, target: &Target) -> Name {
        let prefix = &self.prefix;
        match target {
            Target::Broadcast => format!("{prefix}:{{all}}:{kind}").into(),
            Target::Channel(channel) => format!("{prefix}:{{{}}}:{kind}:{channel}", Partition::of(channel)).into(),
        }
    }

    /// The members of a channel.
    pub(super) fn members(&self, channel: &ChannelName) -> Name {
        format!("{}:{{{}}}:p:{channel}", self.prefix, Partition::of(channel)).into()
    }

    /// The users of a channel.
    pub(super) fn users(&self, channel: &ChannelName) -> Name {
        format!("{}:{{{}}}:u:{channel}", self.prefix, Partition::of(channel)).into()
    }

    /// The channels of a partition on which a node has members.
    pub(super) fn channels_of(&self, partition: Partition, node: NodeId) -> Name {
        format!("{}:{{{partition}}}:n:{node}", self.prefix).into()
    }

    /// The nodes that live.
    pub(super) fn living(&self) -> Name {
        format!("{}:{{all}}:l", self.prefix).into()
    }

    /// The nodes that were taken for dead.
    pub(super) fn dead(&self) -> Name {
        format!("{}:{{all}}:d", self.prefix).into()
    }

    /// Where a node's heartbeats go, of which there are some with different tags; also the key that they write.
    pub(super) fn heartbeat(&self, node: NodeId, variant: u32) -> Name {
        let (prefix, tag) = (&self.prefix, heartbeat_tag(node, variant));
        format!("{prefix}:{{{tag}}}:h").into()
    }
}

/// The hash tag of a node's heartbeats. A node has one name for them at each server.
pub(super) fn heartbeat_tag(node: NodeId, variant: u32) -> String {
    if variant == 0 { format!("node-{node}") } else { format!("node-{node}.{variant}") }
}

/// The hash tag of a name.
pub(super) fn tag(name: &str) -> Option<&str> {
    name.split_once('{')?.1.split_once('}').map(|(tag, _)| tag)
}

/// The longest prefix, in bytes.
pub(super) const MAX_PREFIX: usize = 64;

/// Whether names can begin with `prefix`. `/` sets the database off; braces would make another hash tag; the rest would
/// need quoting in an ACL pattern.
pub(super) fn is_prefix(prefix: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.chars().all(allowed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use fanwire_protocol::UserId;
    use proptest::prelude::*;

    #[track_caller]
    fn check(prefix: &str, database: i64, channel: &str, expected: &str) {
        assert_eq!(&*Names::new(prefix, database).channel(&ChannelName::parse(channel).unwrap()), expected);
    }

    /// Other nodes of a cluster, and later versions, must find the same names.
    #[test]
    fn names_are_pinned() {
        check("fanwire", 0, "news", "fanwire:{336}:c:news");
        check("fanwire", 0, "chat:room:1", "fanwire:{243}:c:chat:room:1");
        check("fanwire", 3, "news", "fanwire/3:{336}:c:news");
        check("test:a", 0, "!", "test:a:{979}:c:!");
        let names = Names::new("fanwire", 0);
        assert_eq!(&*names.broadcast(), "fanwire:{all}:b");
        assert_eq!(&*names.heartbeat(NodeId::from_random(42), 0), "fanwire:{node-42}:h");
        assert_eq!(&*names.heartbeat(NodeId::from_random(42), 7), "fanwire:{node-42.7}:h");
    }

    #[test]
    fn names_of_what_is_kept_are_pinned() {
        let (names, key) = (Names::new("fanwire", 0), IdempotencyKey::new("a:1").unwrap());
        for (target, expected) in [
            (target("news"), ["fanwire:{336}:s:news", "fanwire:{336}:m:news", "fanwire:{336}:i:4:news:a:1"]),
            (Target::Broadcast, ["fanwire:{all}:s", "fanwire:{all}:m", "fanwire:{all}:i:a:1"]),
        ] {
            let of = [names.stream(&target), names.place(&target), names.answer(&target, &key)];
            assert_eq!(of.each_ref().map(|name| &**name), expected);
        }
    }

    #[test]
    fn names_of_presence_are_pinned() {
        let (names, news) = (Names::new("fanwire", 0), ChannelName::parse("news").unwrap());
        let node = NodeId::from_random(42);
        let of = [
            names.members(&news),
            names.users(&news),
            names.channels_of(Partition::of(&news), node),
            names.living(),
            names.dead(),
        ];
        let expected = [
            "fanwire:{336}:p:news",
            "fanwire:{336}:u:news",
            "fanwire:{336}:n:42",
            "fanwire:{all}:l",
            "fanwire:{all}:d",
        ];
        assert_eq!(of.each_ref().map(|name| &**name), expected);
    }

    #[test]
    fn names_of_leases_are_pinned() {
        let names = Names::new("fanwire", 0);
        let leases = ChannelName::leases(&UserId::parse("Zo\u{eb} {1}").unwrap());
        assert_eq!(&*names.members(&leases), "fanwire:{732}:p:$fanwire:user:Zo\u{eb} {1}");
        assert_eq!(tag(&names.members(&leases)), Some("732"));
    }

    fn target(channel: &str) -> Target {
        Target::Channel(ChannelName::parse(channel).unwrap())
    }

    /// Every name that has to do with a channel, or with broadcasts.
    fn all(names: &Names, target: &Target, key: &IdempotencyKey) -> Vec<Name> {
        let mut all = vec![names.target(target), names.stream(target), names.place(target), names.answer(target, key)];
        if let Target::Channel(channel) = target {
            let of_node = names.channels_of(Partition::of(channel), NodeId::from_random(1));
            all.extend([names.members(channel), names.users(channel), of_node]);
        }
        all
    }

    #[test]
    fn prefixes_stay_apart_from_the_rest_of_a_name() {
        for good in ["fanwire", "a", "a-b_c.d:e", &"x".repeat(64)] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", "a b", "a{b", "a}b", "a/1", "a*", "é", &"x".repeat(65)] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn different_things_have_different_names(
            (p, q) in ("[a-c:.]{1,4}", "[a-c:.]{1,4}"),
            (d, e) in (0i64..3, 0i64..3),
            (a, b) in ("[!-z]{1,6}", "[!-z]{1,6}"),
            key in "[!-z]{1,6}",
        ) {
            prop_assume!((&p, d, &a) != (&q, e, &b));
            let (Ok(a), Ok(b)) = (ChannelName::parse(&a), ChannelName::parse(&b)) else { return Ok(()) };
            let (a, b, key) = (Target::Channel(a), Target::Channel(b), IdempotencyKey::new(&key).unwrap());
            let (p, q) = (Names::new(&p, d), Names::new(&q, e));
            let mut of_p = all(&p, &a, &key);
            of_p.extend(all(&p, &Target::Broadcast, &key));
            of_p.extend([0, 1].map(|variant| p.heartbeat(NodeId::from_random(1), variant)));
            of_p.extend([p.living(), p.dead()]);
            for name in all(&q, &b, &key) {
                prop_assert!(!of_p.contains(&name), "{}", name);
            }
            let count = of_p.len();
            of_p.sort();
            of_p.dedup();
            prop_assert_eq!(of_p.len(), count);
        }

        /// The hard case: channels of one partition, and keys that look like parts of names.
        #[test]
        fn answers_to_different_keys_have_different_names(
            (a, b) in ("[a:1]{1,5}", "[a:1]{1,5}"),
            (k, l) in ("[a:1]{1,5}", "[a:1]{1,5}"),
        ) {
            prop_assume!((&a, &k) != (&b, &l));
            let names = Names::new("fanwire", 0);
            let rest = |channel: &str, key: &str| {
                let name = names.answer(&target(channel), &IdempotencyKey::new(key).unwrap());
                name.split_once('}').unwrap().1.to_owned()
            };
            prop_assert_ne!(rest(&a, &k), rest(&b, &l));
        }
    }
}
