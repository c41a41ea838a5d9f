//! What a session and its shard tell each other without messages.

use fanwire_protocol::CloseReason;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;

/// The clock of a node's shards: milliseconds since it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start.
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment `milliseconds` after the start.
    pub fn at(self, milliseconds: u64) -> Instant {
        self.0 + std::time::Duration::from_millis(milliseconds)
    }
}

/// One connection's signs of life, its losses and its end: the session notes arrivals, the shard losses, and whoever is
/// first to end the connection why.
#[derive(Debug, Default)]
pub struct Activity {
    last_arrival: AtomicU64,
    ended_by: AtomicU8,
    dropped: AtomicU64,
}

impl Activity {
    /// Notes that bytes arrived at `now`, in milliseconds of the node's [`Clock`]; or, where that lies ahead, that nothing
    /// is read until then, so that the peer is not taken for silent.
    pub fn arrived(&self, now: u64) {
        self.last_arrival.store(now, Relaxed);
    }

    /// When bytes last arrived.
    pub fn last_arrival(&self) -> u64 {
        self.last_arrival.load(Relaxed)
    }

    /// Notes why the connection ends; the first reason stays.
    pub fn end(&self, reason: CloseReason) {
        let _ = self.ended_by.compare_exchange(0, reason as u8, Relaxed, Relaxed);
    }

    /// Notes that `count` publications were left out because the connection reads too slowly.
    pub fn left_out(&self, count: u64) {
        self.dropped.fetch_add(count, Relaxed);
    }

    /// How many publications were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Why the connection ends, once it does.
    pub fn ended_by(&self) -> Option<CloseReason> {
        CloseReason::from_u8(self.ended_by.load(Relaxed))
    }
}
