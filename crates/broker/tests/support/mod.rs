//! A real Redis that a test starts, freezes, kills and starts again, and nodes that meet there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

pub(crate) mod cluster;
pub(crate) mod history;
pub(crate) mod node;
pub(crate) mod server;

use std::time::Duration;
use tokio::time::timeout;

/// Longer than anything takes that is not broken.
pub(crate) const LONG: Duration = Duration::from_secs(15);

/// The output of `future`, which comes sooner or later.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let what = format!("{what} (at {})", std::panic::Location::caller());
    async move { timeout(LONG, future).await.unwrap_or_else(|_| panic!("{what}: nothing for {LONG:?}")) }
}
