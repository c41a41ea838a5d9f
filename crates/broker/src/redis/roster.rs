//! Members as Redis has them.

use crate::{
    Change, Changed, Changes, Counts, Lease, Members, Roll,
    envelope::{self, InvalidEnvelope},
    partition::Partition,
    redis::{
        call::Doing,
        names::{Name, Names},
        reply::bulk,
        script::{CHANGE, COUNTS, LEASE, REMOVE},
    },
};
use fanwire_protocol::{ChannelName, ConnectionId, Member, NodeId};
use redis::Value;

/// Where the record begins in a member without a user.
const HEAD: usize = 17;

/// How many members of a dead node are removed at once.
const REMOVED_AT_ONCE: usize = 128;

/// A connection as members begin with it: their order is that of connections.
fn connection(ConnectionId(node, sequence): ConnectionId) -> Vec<u8> {
    [prefix(node), sequence.to_be_bytes()].concat()
}

/// A node as its members begin with it.
fn prefix(node: NodeId) -> [u8; 8] {
    node.get().to_be_bytes()
}

/// What Redis has of a member.
fn written(member: &Member) -> Result<Vec<u8>, String> {
    let user = member.user.as_ref().map_or("", |user| user.as_str());
    // Users have at most 128 bytes.
    let length = u8::try_from(user.len()).unwrap_or(u8::MAX);
    let record = envelope::record(member).map_err(|error| error.to_string())?;
    Ok([&connection(member.connection), &[length][..], user.as_bytes(), &record].concat())
}

/// The member that `bytes` were written of.
fn read(bytes: &[u8], channel: &ChannelName) -> Result<Member, InvalidEnvelope> {
    let user = bytes.get(HEAD - 1).copied().unwrap_or_default();
    envelope::member(bytes.get(HEAD + usize::from(user)..).unwrap_or_default(), channel)
}

/// What is known of a node's members on a channel, for those who may have to remove them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) generation: u64,
    /// Whether changes are told.
    pub(super) told: bool,
}

impl Mark {
    fn written(&self) -> String {
        format!("{}:{}", self.generation, u8::from(self.told))
    }

    fn read(text: &str) -> Option<Self> {
        let (generation, told) = text.split_once(':')?;
        Some(Self { generation: generation.parse().ok()?, told: told == "1" })
    }
}

/// From whom, and when, a change is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller {
    pub(super) node: NodeId,
    pub(super) at: u64,
}

impl Teller {
    /// What all scripts about members begin with.
    fn arguments(self, names: &Names, channel: &ChannelName, told: bool) -> Result<Vec<Vec<u8>>, String> {
        let behind = envelope::circumstances(self.node, self.at, channel).map_err(|error| error.to_string())?;
        Ok(vec![text(&*names.channel(channel)), behind, text(u8::from(told).to_string())])
    }

    /// What carries out `changes` of members of this teller, which is in its `generation`.
    pub(super) fn change(self, names: &Names, changes: &Changes, generation: u64) -> Result<Doing, String> {
        let Changes { channel, changes, told, .. } = changes;
        let mut arguments = self.arguments(names, channel, *told)?;
        let mark = Mark { generation, told: *told }.written();
        arguments.extend([text(channel.as_str()), text(mark), prefix(self.node).to_vec()]);
        for change in changes {
            let (name, member) = match change {
                Change::Enter(member) => ("enter", written(member)?),
                Change::Return(member) => ("return", written(member)?),
                Change::Leave(id) => ("leave", connection(*id)),
                Change::Vanish(id) => ("vanish", connection(*id)),
            };
            arguments.extend([text(name), member]);
        }
        Ok(Doing::telling(&CHANGE, &keys(names, channel, self.node), arguments))
    }

    /// What removes members of the dead `node`, which had `mark` on `channel`.
    pub(super) fn remove(
        self,
        names: &Names,
        channel: &ChannelName,
        node: NodeId,
        mark: &Mark,
    ) -> Result<Doing, String> {
        let mut arguments = self.arguments(names, channel, mark.told)?;
        arguments.extend([text(channel.as_str()), text(mark.written()), prefix(node).to_vec()]);
        arguments.push(text(REMOVED_AT_ONCE.to_string()));
        Ok(Doing::telling(&REMOVE, &keys(names, channel, node), arguments))
    }
}

fn keys(names: &Names, channel: &ChannelName, node: NodeId) -> [Name; 3] {
    [names.members(channel), names.users(channel), names.channels_of(Partition::of(channel), node)]
}

fn text(text: impl Into<String>) -> Vec<u8> {
    text.into().into_bytes()
}

/// What gives a connection of `node`, which is in its `generation`, a place among those of its user.
pub(super) fn lease(names: &Names, lease: &Lease, node: NodeId, generation: u64) -> Result<Doing, String> {
    let channel = lease.channel();
    let mark = Mark { generation, told: false }.written();
    let arguments = vec![text(channel.as_str()), text(mark), written(&lease.member())?, text(lease.limit.to_string())];
    let [members, _, channels] = keys(names, &channel, node);
    Ok(Doing::script(&LEASE, &[members, channels], arguments))
}

/// What reads the members that are wanted, and one more.
pub(super) fn page(names: &Names, roll: &Roll) -> Doing {
    let from = match roll.after {
        // Behind everything that begins with the connection: no member has 0xff where the length of the user is.
        Some(id) => [b"(", &connection(id)[..], &[0xff]].concat(),
        None => b"-".to_vec(),
    };
    let limit = roll.limit.min(crate::MAX_PAGE) + 1;
    let mut command = redis::cmd("ZRANGEBYLEX");
    command.arg(&*names.members(&roll.channel)).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit);
    Doing::Command(command)
}

/// What counts the members of `channel`.
pub(super) fn counts(names: &Names, channel: &ChannelName) -> Doing {
    Doing::script(&COUNTS, &[names.members(channel), names.users(channel)], Vec::new())
}

/// What reads the channels of a partition on which `node` has members.
pub(super) fn channels_of(names: &Names, partition: Partition, node: NodeId) -> Doing {
    Doing::Command(redis::cmd("HGETALL").arg(&*names.channels_of(partition, node)).take())
}

/// The members of a page.
pub(super) fn members(reply: Value, roll: &Roll) -> Option<(Members, usize)> {
    let Value::Array(items) = reply else { return None };
    let limit = roll.limit.min(crate::MAX_PAGE) as usize;
    let more = items.len() > limit;
    let taken = items.len().min(limit);
    let members: Vec<_> =
        items.into_iter().take(limit).filter_map(|item| read(&bulk(item)?, &roll.channel).ok()).collect();
    let unreadable = taken - members.len();
    Some((Members { members, more }, unreadable))
}

/// How many there are.
pub(super) fn counted(reply: &Value) -> Option<Counts> {
    let [connections, users] = numbers(reply)?;
    Some(Counts { connections, users })
}

/// What has changed.
pub(super) fn changed(reply: &Value) -> Option<Changed> {
    let [joined, left, returned] = numbers(reply)?;
    Some(Changed { joined, left, returned })
}

/// Whether there was a place.
pub(super) fn leased(reply: &Value) -> Option<bool> {
    match reply {
        Value::Int(there) => Some(*there == 1),
        _ => None,
    }
}

/// How many were removed, and whether there may be more.
pub(super) fn removed(reply: &Value) -> Option<(u64, bool)> {
    let [removed, more] = numbers(reply)?;
    Some((removed, more > 0))
}

/// Channels, and what stands there of each; what this node can't read is left out.
pub(super) fn marks(reply: Value) -> Option<Vec<(ChannelName, Mark)>> {
    let Value::Array(items) = reply else { return None };
    let texts: Vec<_> = items.into_iter().map(|item| String::from_utf8(bulk(item)?).ok()).collect();
    let pairs = texts.chunks_exact(2).filter_map(|pair| {
        let (channel, mark) = (pair[0].as_deref()?, pair[1].as_deref()?);
        Some((ChannelName::parse_of_node(channel).ok()?, Mark::read(mark)?))
    });
    Some(pairs.collect())
}

fn numbers<const N: usize>(reply: &Value) -> Option<[u64; N]> {
    let Value::Array(items) = reply else { return None };
    let numbers: Vec<_> = items
        .iter()
        .map_while(|item| match item {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        })
        .collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests;
