//! What Redis is asked about members.

use crate::{
    Changed, Changes, Counts, DeadNode, Lease, Members, ReadError, Removed, Roll, Shown, Standing,
    partition::Partition,
    redis::{
        Shared,
        call::{Call, Doing},
        life::{self, REMEMBERED, SILENT, UNREACHABLE},
        reply::bulk,
        roster::{self, Mark, Teller},
        script::{LIFE, millis},
    },
};
use fanwire_protocol::{ChannelName, NodeId};
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;
use std::sync::Arc;

/// How many questions a removal asks at once.
const AT_ONCE: usize = 8;

impl Shared {
    /// Has the server that has `partition` do something, within 2 s.
    async fn call(&self, partition: Partition, doing: Doing) -> Result<Value, ReadError> {
        let doing = Arc::new(doing);
        self.ask(partition, || Call::new(Arc::clone(&doing), Arc::clone(&self.doubt))).await
    }

    fn teller(&self, at: u64) -> Teller {
        Teller { node: self.node, at }
    }

    pub(super) async fn change_members(&self, changes: Changes) -> Result<Changed, ReadError> {
        let doing = self.teller(changes.at).change(&self.names, &changes, self.life.generation());
        let doing = doing.map_err(ReadError::Unavailable)?;
        understood(roster::changed(&self.call(Partition::of(&changes.channel), doing).await?))
    }

    pub(super) async fn lease(&self, lease: Lease) -> Result<bool, ReadError> {
        let doing = roster::lease(&self.names, &lease, self.node, self.life.generation());
        let doing = doing.map_err(ReadError::Unavailable)?;
        understood(roster::leased(&self.call(Partition::of(&lease.channel()), doing).await?))
    }

    pub(super) async fn members(&self, roll: Roll) -> Result<Members, ReadError> {
        let reply = self.call(Partition::of(&roll.channel), roster::page(&self.names, &roll)).await?;
        let (members, unreadable) = understood(roster::members(reply, &roll))?;
        self.metrics.invalid.inc_by(unreadable as u64);
        Ok(members)
    }

    pub(super) async fn count_members(&self, channel: ChannelName) -> Result<Counts, ReadError> {
        let counting = roster::counts(&self.names, &channel);
        understood(roster::counted(&self.call(Partition::of(&channel), counting).await?))
    }

    /// Shows that the node lives. One that was taken for dead shows itself in its next life at once, so that whatever it
    /// puts back is looked after.
    pub(super) async fn show_life(&self) -> Result<Shown, ReadError> {
        let (mut sign, mut removed) = (self.sign().await?, false);
        if sign == Sign::Dead {
            removed = true;
            self.life.begin_again();
            sign = self.sign().await?;
        }
        let Sign::Alive { unknown, dead } = sign else { return Err(misunderstood()) };
        self.life.was_shown(unknown);
        let standing = match (removed, self.life.take_lost()) {
            (true, _) => Standing::Removed,
            (false, true) => Standing::Lost,
            (false, false) => Standing::Kept,
        };
        Ok(Shown { standing, dead })
    }

    async fn sign(&self) -> Result<Sign, ReadError> {
        let times = [SILENT, UNREACHABLE, REMEMBERED].map(|time| millis(time).to_string());
        let arguments = [self.life.entry(self.node)].into_iter().chain(times).map(String::into_bytes).collect();
        let doing = Doing::script(&LIFE, &[self.names.living(), self.names.dead()], arguments);
        understood(Sign::read(self.call(Partition::BROADCASTS, doing).await?))
    }

    /// Removes the members of a dead node, and returns how many they were. Several nodes may do that at once.
    pub(super) async fn remove_members(&self, dead: DeadNode, at: u64) -> Result<Removed, ReadError> {
        let (node, generation) = understood(life::parse(&dead.0))?;
        let partitions =
            stream::iter(Partition::of_channels()).map(|partition| self.remove_from(partition, node, generation, at));
        let removed =
            partitions.buffer_unordered(AT_ONCE).try_fold(Removed::default(), async |sum, some| Ok(sum + some)).await?;
        self.forget(&dead.0).await?;
        Ok(removed)
    }

    async fn remove_from(
        &self,
        partition: Partition,
        node: NodeId,
        generation: u64,
        at: u64,
    ) -> Result<Removed, ReadError> {
        let reply = self.call(partition, roster::channels_of(&self.names, partition, node)).await?;
        let mut removed = Removed::default();
        for (channel, mark) in understood(roster::marks(reply))? {
            if mark.generation == generation {
                let count = self.remove_all(&channel, node, &mark, at).await?;
                *(if channel.is_of_leases() { &mut removed.leases } else { &mut removed.members }) += count;
            }
        }
        Ok(removed)
    }

    async fn remove_all(&self, channel: &ChannelName, node: NodeId, mark: &Mark, at: u64) -> Result<u64, ReadError> {
        let mut sum = 0;
        loop {
            let doing = self.teller(at).remove(&self.names, channel, node, mark).map_err(ReadError::Unavailable)?;
            let reply = self.call(Partition::of(channel), doing).await?;
            let (removed, more) = understood(roster::removed(&reply))?;
            sum += removed;
            if !more {
                return Ok(sum);
            }
        }
    }

    /// Takes the node out of the registry: it has no members, and nobody need look for any.
    pub(super) async fn resign(&self) -> Result<(), ReadError> {
        self.forget(&self.life.entry(self.node)).await
    }

    async fn forget(&self, entry: &str) -> Result<(), ReadError> {
        let command = redis::cmd("ZREM").arg(&*self.names.living()).arg(entry).take();
        self.call(Partition::BROADCASTS, Doing::Command(command)).await.map(drop)
    }
}

/// What the registry answers to a sign of life.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    /// The node was taken for dead.
    Dead,
    /// Whether the node was not known; and those that it is to remove.
    Alive { unknown: bool, dead: Vec<DeadNode> },
}

impl Sign {
    fn read(reply: Value) -> Option<Self> {
        let Value::Array(items) = reply else { return None };
        let mut items = items.into_iter();
        let Value::Int(first) = items.next()? else { return None };
        let dead = items.filter_map(|item| String::from_utf8(bulk(item)?).ok()).map(DeadNode).collect();
        Some(if first < 0 { Self::Dead } else { Self::Alive { unknown: first > 0, dead } })
    }
}

fn understood<T>(read: Option<T>) -> Result<T, ReadError> {
    read.ok_or_else(misunderstood)
}

fn misunderstood() -> ReadError {
    ReadError::Unavailable("Redis answered something else than was asked".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_read() {
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(Sign::read(Value::Array(vec![Value::Int(-1)])), Some(Sign::Dead));
        let alive = |unknown, dead| Some(Sign::Alive { unknown, dead });
        assert_eq!(Sign::read(Value::Array(vec![Value::Int(1)])), alive(true, Vec::new()));
        let answer = Value::Array(vec![Value::Int(0), text("7.1"), text("8.2")]);
        assert_eq!(Sign::read(answer), alive(false, vec![DeadNode("7.1".into()), DeadNode("8.2".into())]));
        assert_eq!(Sign::read(Value::Array(vec![text("0")])), None);
        assert_eq!(Sign::read(Value::Nil), None);
    }
}
