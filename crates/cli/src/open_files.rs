//! How many files, and so connections, the process may have open.

use rlimit::{INFINITY, Resource, increase_nofile_limit};

/// Files that a node opens besides sockets of clients: listeners, links to Redis, requests to the internal port.
const OWN: u64 = 40;

/// Files that the runtime of a shard opens.
const OWN_PER_SHARD: u64 = 4;

/// The most sockets beyond the connection limit that may be in the course of being refused.
const MAX_REFUSALS: u64 = 256;

/// Raises the limit as far as the system lets an ordinary process, and returns it; `None` if the system doesn't tell.
/// A limit that stays as it is stops nobody: a node that has too few files accepts fewer connections.
pub(crate) fn raise_limit() -> Option<u64> {
    match increase_nofile_limit(INFINITY) {
        Ok(limit) => Some(limit),
        Err(error) => {
            let limit = Resource::NOFILE.get_soft().ok();
            tracing::warn!(%error, limit, "can't raise the number of files that may be open");
            limit
        }
    }
}

/// What a node does with the files that it may open. It keeps some of them from its clients, so that they are refused
/// with an answer, and Redis, scrapes and health checks find one, however many come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// How many files may be open, if that is known.
    pub(crate) files: Option<u64>,
    /// How many of them may be connections.
    pub(crate) connections: usize,
    /// How many besides may be sockets that are being refused.
    pub(crate) refusals: usize,
}

impl Allowance {
    /// For a node of so many `shards` that is to take `wanted` connections and may open `files`.
    pub(crate) fn new(wanted: usize, files: Option<u64>, shards: usize) -> Self {
        let all = files.unwrap_or(u64::MAX);
        let shards = u64::try_from(shards).unwrap_or(u64::MAX);
        let own = OWN.saturating_add(OWN_PER_SHARD.saturating_mul(shards)).min(all / 2);
        let refusals = (all / 16).clamp(1, MAX_REFUSALS);
        let connections = all.saturating_sub(own).saturating_sub(refusals).max(1);
        let count = |files| usize::try_from(files).unwrap_or(usize::MAX);
        Self { files, connections: wanted.min(count(connections)), refusals: count(refusals) }
    }

    /// What to tell whoever wants more connections than there are.
    pub(crate) fn shortage(&self, wanted: usize) -> Option<String> {
        let (connections, files) = (self.connections, self.files?);
        (wanted > connections).then(|| {
            format!(
                "limits.connections is {wanted}, but only {files} files may be open, so that {connections} connections \
                 are taken at most; raise the limit (ulimit -n, LimitNOFILE=) or lower limits.connections"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: Option<u64>, shards: usize, connections: usize, refusals: usize) {
        let expected = Allowance { files, connections, refusals };
        assert_eq!(Allowance::new(100_000, files, shards), expected);
    }

    #[test]
    fn the_limit_becomes_the_hard_one() {
        assert_eq!(raise_limit(), Resource::NOFILE.get_hard().ok());
    }

    #[test]
    fn a_node_keeps_files_for_itself() {
        check(None, 2, 100_000, 256);
        check(Some(1_000_000), 2, 100_000, 256);
        check(Some(20_000), 2, 19_696, 256);
        check(Some(20_000), 64, 19_448, 256);
        check(Some(1_024), 2, 912, 64);
        check(Some(64), 2, 28, 4);
        check(Some(64), usize::MAX, 28, 4);
        check(Some(1), 2, 1, 1);
        assert_eq!(Allowance::new(10, Some(1_024), 2).connections, 10);
    }

    #[test]
    fn a_shortage_is_told_with_all_numbers() {
        let told = |wanted| Allowance::new(wanted, Some(1_024), 2).shortage(wanted);
        assert_eq!(told(912), None);
        let shortage = told(913).unwrap_or_default();
        assert!(["913", "1024", "912"].iter().all(|number| shortage.contains(number)), "{shortage}");
        assert_eq!(Allowance::new(usize::MAX, None, 2).shortage(usize::MAX), None);
    }
}
