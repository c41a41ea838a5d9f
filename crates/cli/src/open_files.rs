//! The number of files, sockets among them, that the process may have open.

use std::io;

/// Raises the limit as far as the system lets an ordinary process, and returns it.
///
/// # Errors
/// When the system doesn't tell the limit or refuses the new one.
pub(crate) fn raise_limit() -> io::Result<u64> {
    rlimit::increase_nofile_limit(rlimit::INFINITY)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_becomes_the_hard_one() {
        let hard = rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(_, hard)| hard);
        assert_eq!(super::raise_limit().ok(), hard);
    }
}
