//! Which server of a Redis Cluster has which slots, as one of them says.

use crate::{
    partition::Partition,
    redis::{
        slot::{self, SLOTS},
        standing::{pair, text},
    },
};
use redis::Value;
use std::fmt;

/// Where a server of a cluster is, as the servers call it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The longest host of a server, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 255;

/// The primaries and their slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Topology {
    /// Each once, in order.
    primaries: Vec<Address>,
    /// Which of these has each slot.
    slots: Vec<Option<u16>>,
}

#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: Address,
}

impl Topology {
    /// The answer to CLUSTER SLOTS of a server that was reached at `asked`; `None` if it is none, as where two servers
    /// have the same slot. What names no host means that one.
    pub(super) fn read(slots: &Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = slots else { return None };
        let ranges: Vec<_> = ranges.iter().map(|range| Range::read(range, asked)).collect::<Option<_>>()?;
        let mut primaries: Vec<_> = ranges.iter().map(|range| range.primary.clone()).collect();
        primaries.sort_unstable();
        primaries.dedup();
        let mut topology = Self { primaries, slots: vec![None; usize::from(SLOTS)] };
        ranges.iter().try_for_each(|range| topology.enter(range))?;
        Some(topology)
    }

    fn enter(&mut self, range: &Range) -> Option<()> {
        let primary = u16::try_from(self.primaries.binary_search(&range.primary).ok()?).ok()?;
        let mut slots = self.slots.get_mut(usize::from(range.first)..=usize::from(range.last))?.iter_mut();
        slots.all(|slot| slot.replace(primary).is_none()).then_some(())
    }

    /// The primary that has a slot.
    pub(super) fn primary(&self, slot: u16) -> Option<&Address> {
        let primary = self.slots.get(usize::from(slot)).copied().flatten()?;
        self.primaries.get(usize::from(primary))
    }

    /// The primary that has a partition.
    pub(super) fn owner(&self, partition: Partition) -> Option<&Address> {
        self.primary(slot::of(partition))
    }

    /// Every primary that has slots, once, in order.
    pub(super) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    /// How many slots no server has.
    pub(super) fn missing(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.primaries.is_empty()
    }
}

impl Range {
    /// `[first, last, primary, replica…]`.
    fn read(range: &Value, asked: &str) -> Option<Self> {
        let Value::Array(parts) = range else { return None };
        let [first, last, primary, ..] = parts.as_slice() else { return None };
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && last < SLOTS).then_some(())?;
        Some(Self { first, last, primary: Address::read(primary, asked)? })
    }
}

impl Address {
    /// `[host, port, id, [name, value…]]`. The host is null where the servers don't know it, `?` where they should
    /// announce a name that they haven't got.
    fn read(server: &Value, asked: &str) -> Option<Self> {
        let Value::Array(parts) = server else { return None };
        let [host, port, rest @ ..] = parts.as_slice() else { return None };
        let more = rest.get(1).and_then(|more| pair(more, "ip")).and_then(text);
        let host = text(host).filter(|host| !matches!(host.as_str(), "" | "?")).or(more);
        let host = host.unwrap_or_else(|| asked.to_owned());
        is_host(&host).then_some(Self { host, port: number(port)? })
    }
}

/// Whether a server may be called so: it is asked for by that name, and the name is told in the log.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= MAX_HOST && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn server(host: Value, port: i64, more: Vec<Value>) -> Value {
        Value::Array(vec![host, Value::Int(port), bulk("id"), Value::Array(more)])
    }

    fn range(first: i64, last: i64, server: Value) -> Value {
        Value::Array(vec![Value::Int(first), Value::Int(last), server])
    }

    #[test]
    fn slots_are_found_at_their_primaries() {
        let slots = Value::Array(vec![
            range(0, 99, server(bulk("10.0.0.1"), 7000, vec![])),
            range(200, 16_383, server(bulk("::1"), 7001, vec![])),
            range(150, 160, server(bulk("10.0.0.1"), 7000, vec![])),
        ]);
        let topology = Topology::read(&slots, "asked").unwrap();
        let shown = |slot| topology.primary(slot).map(ToString::to_string);
        assert_eq!([0, 99, 155].map(shown), [(); 3].map(|()| Some("10.0.0.1:7000".to_owned())));
        assert_eq!([100, 149, 161].map(shown), [None, None, None]);
        assert_eq!(shown(16_383), Some("[::1]:7001".to_owned()));
        assert_eq!(topology.primaries().len(), 2);
        assert_eq!(topology.missing(), 89);
        assert_eq!(topology.owner(Partition::BROADCASTS).unwrap().port, 7001);
    }

    #[test]
    fn a_server_without_a_host_is_the_one_that_was_asked() {
        let ip = || vec![bulk("ip"), bulk("10.0.0.9")];
        for (host, more, expected) in [
            (Value::Nil, vec![], "asked"),
            (bulk(""), vec![], "asked"),
            (bulk("?"), ip(), "10.0.0.9"),
            (bulk("r1.example"), ip(), "r1.example"),
        ] {
            let slots = Value::Array(vec![range(0, 16_383, server(host, 7000, more))]);
            assert_eq!(Topology::read(&slots, "asked").unwrap().primary(1).unwrap().host, expected);
        }
    }

    #[test]
    fn what_is_no_topology_is_none() {
        for other in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 16_384, server(Value::Nil, 7000, vec![]))]),
            Value::Array(vec![range(2, 1, server(Value::Nil, 7000, vec![]))]),
            Value::Array(vec![range(0, 9, server(Value::Nil, 1, vec![])), range(9, 19, server(Value::Nil, 2, vec![]))]),
            Value::Array(vec![range(0, 1, server(bulk("a\nb"), 7000, vec![]))]),
            Value::Array(vec![range(0, 1, server(bulk(&"x".repeat(256)), 7000, vec![]))]),
            Value::Array(vec![range(0, 99_999, server(Value::Nil, 7000, vec![]))]),
            Value::Array(vec![range(0, 1, server(Value::Nil, -1, vec![]))]),
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(1)])]),
        ] {
            assert_eq!(Topology::read(&other, "asked"), None);
        }
        assert!(Topology::read(&Value::Array(vec![]), "asked").unwrap().is_empty());
    }
}
