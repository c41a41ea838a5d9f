//! The names of Redis keys and channels, which are built here and nowhere else.
//!
//! `<prefix>:{<tag>}:<kind>[:<rest>]`, where neither prefix nor tag holds a brace: so every name can be read in one way
//! only, and no channel can be called like anything that is not a channel.
//!
//! | kind | tag | rest | what |
//! | --- | --- | --- | --- |
//! | `c` | partition of the channel, 0 to 1,023 | the channel's name | Pub/Sub channel of a channel |
//! | `b` | `all` | | Pub/Sub channel of broadcasts |
//! | `h` | `node-<id>` | | Pub/Sub channel and key of a node's heartbeat |
//!
//! The tag is a hash tag of Redis Cluster: what has the same tag is in the same slot.

use fanwire_protocol::{ChannelName, NodeId, Target};
use std::sync::Arc;

/// How many partitions channels are spread over. Fixed for ever: another number would move every channel.
pub(super) const PARTITIONS: u32 = 1_024;

/// The name of a Redis channel.
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
        format!("{}:{{{}}}:c:{channel}", self.prefix, partition(channel)).into()
    }

    /// Where broadcasts go.
    pub(super) fn broadcast(&self) -> Name {
        self.broadcast.clone()
    }

    /// Where a node's heartbeats go; also the key that they write.
    pub(super) fn heartbeat(&self, node: NodeId) -> Name {
        format!("{}:{{node-{node}}}:h", self.prefix).into()
    }
}

fn partition(channel: &ChannelName) -> u32 {
    crc32fast::hash(channel.as_str().as_bytes()) % PARTITIONS
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
        assert_eq!(&*names.heartbeat(NodeId::from_random(42)), "fanwire:{node-42}:h");
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
        ) {
            prop_assume!((&p, d, &a) != (&q, e, &b));
            let (Ok(a), Ok(b)) = (ChannelName::parse(&a), ChannelName::parse(&b)) else { return Ok(()) };
            let (p, q) = (Names::new(&p, d), Names::new(&q, e));
            prop_assert_ne!(p.channel(&a), q.channel(&b));
            prop_assert_ne!(p.channel(&a), q.broadcast());
            prop_assert_ne!(p.channel(&a), q.heartbeat(NodeId::from_random(1)));
            prop_assert_ne!(p.broadcast(), q.heartbeat(NodeId::from_random(1)));
        }
    }
}
