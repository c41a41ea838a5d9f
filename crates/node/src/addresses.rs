//! How many connections come from one address.

use crate::pace::{Bucket, Rate};
use fanwire_hub::Clock;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many entries there may be before those are looked for that are not needed any more.
const TIDY: usize = 1024;

/// What one address may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressLimits {
    /// How many connections it may have on this node.
    pub connections: Option<usize>,
    /// How fast it may ask for new ones.
    pub rate: Option<Rate>,
}

/// What an address has done too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// It has as many connections as it may.
    Connections,
    /// It asks too fast for new ones.
    Requests,
}

/// The addresses that have connections, or have had until just now. An IPv6 client can have any address of its network,
/// so there the first half stands for all.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    clock: Clock,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_address: HashMap<IpAddr, Entry>,
    /// How many there may be before they are tidied.
    tidy_at: usize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: usize,
    requests: Bucket,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits, clock: Clock) -> Self {
        Self { limits, clock, entries: Arc::default() }
    }

    /// Notes a request from `address`.
    pub(crate) fn ask(&self, address: IpAddr) -> Result<(), TooMuch> {
        let Some(rate) = self.limits.rate else { return Ok(()) };
        let now = self.clock.now();
        let mut entries = self.lock();
        entries.tidy(now);
        let entry = entries.by_address.entry(network(address)).or_default();
        if entry.requests.take(rate, 1, now) { Ok(()) } else { Err(TooMuch::Requests) }
    }

    /// A place for a connection from `address`; `None` where such places are not counted.
    pub(crate) fn place(&self, address: IpAddr) -> Result<Option<Box<AddressPlace>>, TooMuch> {
        let Some(limit) = self.limits.connections else { return Ok(None) };
        let (now, address) = (self.clock.now(), network(address));
        let mut entries = self.lock();
        entries.tidy(now);
        let entry = entries.by_address.entry(address).or_default();
        if entry.connections >= limit {
            return Err(TooMuch::Connections);
        }
        entry.connections += 1;
        Ok(Some(Box::new(AddressPlace { addresses: self.clone(), address })))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing in there panics half way.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Forgets those of whom nothing need be known. Each time they may be twice as many as are left then.
    fn tidy(&mut self, now: u64) {
        if self.by_address.len() >= self.tidy_at.max(TIDY) {
            self.by_address.retain(|_, entry| entry.connections > 0 || !entry.requests.is_full(now));
            self.tidy_at = 2 * self.by_address.len();
        }
    }
}

/// A connection among those of its address.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let now = self.addresses.clock.now();
        let mut entries = self.addresses.lock();
        let Some(entry) = entries.by_address.get_mut(&self.address) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections == 0 && entry.requests.is_full(now) {
            entries.by_address.remove(&self.address);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn addresses(connections: Option<usize>, rate: Option<Rate>) -> Addresses {
        Addresses::new(AddressLimits { connections, rate }, Clock::start())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_leaves_nothing_behind() {
        let addresses = addresses(Some(2), None);
        let (one, two) = (addresses.place(ip("10.0.0.1")).unwrap(), addresses.place(ip("::ffff:10.0.0.1")).unwrap());
        assert_eq!(addresses.place(ip("10.0.0.1")).err(), Some(TooMuch::Connections));
        let other = addresses.place(ip("10.0.0.2")).unwrap();
        drop(one);
        assert!(addresses.place(ip("10.0.0.1")).is_ok());
        drop((two, other));
        assert!(addresses.lock().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = addresses(Some(1), None);
        let _one = addresses.place(ip("2001:db8:1:2::1")).unwrap();
        assert!(addresses.place(ip("2001:db8:1:2:ffff::2")).is_err());
        assert!(addresses.place(ip("2001:db8:1:3::1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_asks_so_fast_and_is_forgotten() {
        let addresses = addresses(None, Rate::new(1, 2));
        let ask = |address| addresses.ask(ip(address));
        assert_eq!([ask("10.0.0.1"), ask("10.0.0.1"), ask("10.0.0.1")], [Ok(()), Ok(()), Err(TooMuch::Requests)]);
        assert_eq!((ask("10.0.0.2"), addresses.place(ip("10.0.0.1")).unwrap().is_none()), (Ok(()), true));
        (0..2 * TIDY).for_each(|n| addresses.ask(IpAddr::V4(u32::try_from(n).unwrap().into())).unwrap());
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        (0..2 * TIDY).for_each(|n| addresses.ask(IpAddr::V4(u32::try_from(n + (1 << 20)).unwrap().into())).unwrap());
        assert!(addresses.lock().by_address.len() <= 2 * TIDY + 2, "what is not needed stays");
    }
}
