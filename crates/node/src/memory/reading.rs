//! How much memory is used, and how much may be.

use super::cgroup::{self, Cgroup};
use procfs::{Current, Meminfo, process::Process};
use std::io;

/// How much memory was used at a moment, and how much might have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// What the kernel can't take back, in bytes.
    pub(super) used: u64,
    /// In bytes, at least 1.
    pub(super) limit: u64,
}

/// Where readings come from.
#[derive(Debug)]
pub(super) struct Source {
    /// What the process itself may use: what was configured, or else what the machine has.
    limit: u64,
    /// What may bound it further; none where a limit was configured.
    cgroups: Vec<Cgroup>,
}

impl Source {
    /// Where to read, with the limit that was `configured`.
    pub(super) fn find(configured: Option<u64>) -> io::Result<Self> {
        if let Some(limit) = configured {
            return Ok(Self { limit: limit.max(1), cgroups: Vec::new() });
        }
        let machine = Meminfo::current().map_err(io::Error::other)?.mem_total;
        Ok(Self { limit: machine.max(1), cgroups: cgroup::find()? })
    }

    /// Reads what is used: by the control group with the tightest limit, of whichever processes, since that is what the
    /// limit counts; where none has one, by this process.
    pub(super) fn read(&self) -> io::Result<Reading> {
        let limits = self.cgroups.iter().filter_map(|cgroup| Some((cgroup, cgroup.limit()?)));
        match limits.filter(|(_, limit)| *limit < self.limit).min_by_key(|(_, limit)| *limit) {
            Some((cgroup, limit)) => Ok(Reading { used: cgroup.used()?, limit: limit.max(1) }),
            None => Ok(Reading { used: of_process()?, limit: self.limit }),
        }
    }
}

/// What this process has for itself, without files that it has mapped.
fn of_process() -> io::Result<u64> {
    let status = Process::myself().and_then(|process| process.status()).map_err(io::Error::other)?;
    let kib = status.rssanon.ok_or_else(|| io::Error::other("no RssAnon in /proc/self/status"))?;
    Ok((kib + status.rssshmem.unwrap_or(0)) * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_bounds_the_process_alone() {
        let Reading { used, limit } = Source::find(Some(12_345)).unwrap().read().unwrap();
        assert_eq!(limit, 12_345);
        let more = vec![1u8; 64 << 20];
        let then = Source::find(Some(0)).unwrap().read().unwrap();
        assert!(then.used >= used + (60 << 20) && then.limit == 1, "{used} and then {then:?}");
        drop(more);
    }

    #[test]
    fn otherwise_it_is_the_machine_or_a_part_of_it() {
        let machine = Meminfo::current().unwrap().mem_total;
        let Reading { used, limit } = Source::find(None).unwrap().read().unwrap();
        assert!(used > 0 && limit <= machine, "{used} of {limit}");
    }
}
