//! How many files, and so connections, the process may have open.

use rlimit::{INFINITY, Resource, increase_nofile_limit};

/// Files that a node opens besides its connections: listeners, links to Redis, runtimes, requests to the internal port.
const OTHERS: u64 = 100;

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

/// What to tell whoever wants more `connections` than `limit` files allow.
pub(crate) fn shortage(connections: usize, limit: u64) -> Option<String> {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    (wanted > limit).then(|| {
        format!(
            "limits.connections is {connections}, but only {limit} files may be open, one for each connection and up \
             to {OTHERS} for the node itself; raise the limit (ulimit -n, LimitNOFILE=) or lower limits.connections"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_becomes_the_hard_one() {
        assert_eq!(raise_limit(), Resource::NOFILE.get_hard().ok());
    }

    #[test]
    fn a_shortage_is_told_with_both_numbers() {
        assert_eq!(shortage(924, 1024), None);
        let told = shortage(925, 1024).unwrap_or_default();
        assert!(told.contains("925") && told.contains("1024"), "{told}");
        assert!(shortage(usize::MAX, 1024).is_some());
    }
}
