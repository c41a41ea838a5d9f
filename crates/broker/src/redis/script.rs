//! The scripts that Redis runs for a node, each atomic.
//!
//! Those about histories begin with `script/place.lua`, which finds out where the target stands, and opens a new epoch where its offsets
//! may have been given before:
//!
//! * the place is gone: flushed, evicted, expired, or lost with the server;
//! * the place was written by another primary. A server has a replication id (`master_replid`) of its own from each
//!   start as a primary and from each promotion on, so one that is not the server's own now shows that the newest writes
//!   may be missing: a replica that lagged was promoted, or a server came back from what it had on disk. Those who
//!   publish need not have noticed. The id of the process (`run_id`) would not do: a primary that was demoted and
//!   promoted again has the same one before and after, and the writes of others in between.
//! * the stream is ahead of the place.
//!
//! A stream that is gone alone opens none: offsets go on behind the place, and what is missing shows in pages.
//!
//! So an offset is given once in an epoch, whatever fails. The price: epochs also begin where nothing may be lost, namely
//! at each start of a primary, at each promotion, when the first replica is attached to a primary or its backlog is given
//! up (`repl-backlog-ttl`, an hour after the last one has left), and when the keys are moved to another server. What can't
//! be seen: two primaries at once, which each take publications from the nodes that they have; those at the losing one
//! are in its epoch, and vanish with it.
//!
//! Reading the id takes about a quarter of the script's time in Redis. A node can't read it ahead: a connection outlasts a
//! promotion, and what is published first after one must not be what is wrong.

use redis::{Cmd, RedisResult, ToRedisArgs, Value, aio::MultiplexedConnection};
use std::{sync::LazyLock, time::Duration};

/// Gives the next offset, keeps the publication and publishes it. Answers with epoch and offset.
pub(super) static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("script/place.lua"), include_str!("script/publish.lua"))));

/// Reads a part of a history. Answers with epoch and offset of the newest place, and entries of the stream.
pub(super) static HISTORY: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("script/place.lua"), include_str!("script/history.lua"))));

/// Changes members of a node. Answers with how many came, went, and are there again.
pub(super) static CHANGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("script/member.lua"), include_str!("script/change.lua"))));

/// Removes members of a dead node. Answers with how many, and whether there may be more.
pub(super) static REMOVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("script/member.lua"), include_str!("script/remove.lua"))));

/// Gives a connection a place among those of its user. Answers with whether there was one.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/lease.lua")));

/// Counts the members of a channel, and their users.
pub(super) static COUNTS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/counts.lua")));

/// Shows that a node lives.
pub(super) static LIFE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/life.lua")));

/// A script.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// A call with nothing behind the script: by its hash where Redis is `known` to have it, else with its text, which
    /// makes it known.
    pub(super) fn call(&self, known: bool) -> Cmd {
        if known { redis::cmd("EVALSHA").arg(&self.hash).take() } else { redis::cmd("EVAL").arg(self.text).take() }
    }

    /// Has it run, with `arguments` behind it; what Redis refused is in the reply.
    ///
    /// # Errors
    ///
    /// When the connection can't be used any more.
    pub(super) async fn run<A: ToRedisArgs + Sync>(
        &self,
        connection: &mut MultiplexedConnection,
        arguments: &A,
    ) -> RedisResult<Value> {
        let reply = connection.send_packed_command(self.call(true).arg(arguments)).await?;
        if is_unknown_script(&reply) {
            return connection.send_packed_command(self.call(false).arg(arguments)).await;
        }
        Ok(reply)
    }
}

/// Whether Redis has done nothing, as it does not have the script.
pub(super) fn is_unknown_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// The longest that Redis is told to keep something. Its limit is far beyond.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A time as Redis takes it: at least 1 ms.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.min(FOREVER).as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_redis_takes() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_secs(60)), 60_000);
        assert_eq!(millis(Duration::MAX), 3_153_600_000_000);
    }
}
