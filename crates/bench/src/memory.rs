//! How much memory the machine has left.

use std::fs;

/// What can be had without swapping (`MemAvailable` of proc_meminfo(5)), in bytes; none where the system doesn't say.
pub fn available() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_told_in_kibibytes() {
        assert_eq!(parse("MemTotal: 9 kB\nMemAvailable:       7 kB\n"), Some(7168));
        assert_eq!(parse("MemTotal: 9 kB\n"), None);
    }
}
