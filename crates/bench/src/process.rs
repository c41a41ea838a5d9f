//! What a process costs, from `/proc`.

use crate::Error;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    path::PathBuf,
    time::Duration,
};

/// The unit of `/proc/PID/stat`: USER_HZ is 100 on every Linux port that the node runs on.
const TICK: Duration = Duration::from_millis(10);

/// Processor time, all threads together, those that ended included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In user mode.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

/// The processes to watch.
#[derive(Debug, Clone)]
pub struct Watch {
    pids: Vec<u32>,
}

impl Watch {
    /// Watches `pids`; each must exist and be readable now.
    pub fn new(pids: &[u32]) -> Result<Self, Error> {
        let watch = Self { pids: pids.to_vec() };
        watch.cpu()?;
        watch.memory()?;
        Ok(watch)
    }

    /// Watches this process.
    pub fn own() -> Result<Self, Error> {
        Self::new(&[std::process::id()])
    }

    /// The processor time of each process since it started.
    pub fn cpu(&self) -> Result<Vec<Cpu>, Error> {
        self.pids.iter().map(|pid| read(*pid, "stat", parse_stat)).collect()
    }

    /// These processes and `more`.
    pub fn and(mut self, more: Vec<u32>) -> Self {
        self.pids.extend(more);
        self
    }

    /// The processor time of each thread of each process. Threads that end meanwhile are left out.
    pub fn threads(&self) -> Threads {
        let mut threads = Threads::default();
        for pid in &self.pids {
            for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let cpu = fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(parse_stat);
                threads.0.extend(cpu.map(|cpu| (entry.path(), cpu)));
            }
        }
        threads
    }

    /// The private memory of each process, in bytes: the `Private_` lines of `smaps_rollup`.
    pub fn memory(&self) -> Result<Vec<u64>, Error> {
        self.pids.iter().map(|pid| read(*pid, "smaps_rollup", parse_private)).collect()
    }

    /// What each process used since `before`, also per one of `units`: deliveries, cycles or answers.
    pub fn cost_since(&self, before: &[Cpu], units: u64) -> Result<Vec<Cost>, Error> {
        let after = self.cpu()?;
        let pairs = before.iter().zip(after);
        Ok(self.pids.iter().zip(pairs).map(|(pid, (before, after))| Cost::new(*pid, *before, after, units)).collect())
    }
}

/// The processor time of threads since they started.
#[derive(Debug, Default)]
pub struct Threads(HashMap<PathBuf, Cpu>);

impl Threads {
    /// The most that one thread of `after` used since this, in processor time.
    pub fn busiest(&self, after: &Self) -> Duration {
        let used = |(thread, cpu): (&PathBuf, &Cpu)| {
            let before = self.0.get(thread).copied().unwrap_or_default();
            (cpu.user + cpu.system).saturating_sub(before.user + before.system)
        };
        after.0.iter().map(used).max().unwrap_or_default()
    }
}

fn read<T>(pid: u32, file: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let path = format!("/proc/{pid}/{file}");
    let fail = |reason: String| Error::Process { pid, path: path.clone(), reason };
    let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    parse(&text).ok_or_else(|| fail("not in the form that proc(5) describes".to_owned()))
}

/// `utime` and `stime`, fields 14 and 15. The name, field 2, may hold anything, spaces and parentheses too.
fn parse_stat(text: &str) -> Option<Cpu> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
    let mut next = || Some(TICK * fields.next()?.parse::<u32>().ok()?);
    Some(Cpu { user: next()?, system: next()? })
}

fn parse_private(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("Private_")).peekable();
    lines.peek()?;
    lines.map(|line| Some(line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)).sum()
}

/// What a process used over a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// The process.
    pub pid: u32,
    /// User mode, in seconds.
    pub user_seconds: f64,
    /// Kernel mode, in seconds.
    pub system_seconds: f64,
    /// User mode for each delivery, cycle or answer, in microseconds; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_us_each: Option<f64>,
    /// Kernel mode for each, in microseconds; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_us_each: Option<f64>,
}

impl Cost {
    fn new(pid: u32, before: Cpu, after: Cpu, units: u64) -> Self {
        let user_seconds = after.user.saturating_sub(before.user).as_secs_f64();
        let system_seconds = after.system.saturating_sub(before.system).as_secs_f64();
        let each = |seconds: f64| (units > 0).then(|| seconds * 1e6 / units as f64);
        Self {
            pid,
            user_seconds,
            system_seconds,
            user_us_each: each(user_seconds),
            system_us_each: each(system_seconds),
        }
    }
}

impl Cost {
    /// What all of `costs` come to together for each delivery, cycle or answer.
    pub fn figures(costs: &[Self]) -> BTreeMap<&'static str, f64> {
        let sum = |part: fn(&Self) -> Option<f64>| costs.iter().filter_map(part).sum::<f64>();
        if !costs.iter().any(|cost| cost.user_us_each.is_some()) {
            return BTreeMap::new();
        }
        let (user, system) = (sum(|cost| cost.user_us_each), sum(|cost| cost.system_us_each));
        BTreeMap::from([("cpu_us_each", user + system), ("cpu_user_us_each", user), ("cpu_system_us_each", system)])
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, user_seconds, system_seconds, user_us_each, system_us_each } = self;
        write!(f, "process {pid}: user {user_seconds:.2} s, system {system_seconds:.2} s")?;
        match (user_us_each, system_us_each) {
            (Some(user), Some(system)) => write!(f, "; for each user {user:.3} us, system {system:.3} us"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 3 0 1 2 3";
        let expected = Cpu { user: Duration::from_millis(2500), system: Duration::from_millis(310) };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn private_memory_is_the_sum_of_its_lines() {
        let text = "Rss: 900 kB\nPrivate_Clean:       4 kB\nPrivate_Dirty:      12 kB\nPrivate_Hugetlb: 0 kB\n";
        assert_eq!(parse_private(text), Some(16 * 1024));
        assert_eq!(parse_private("Rss: 900 kB\n"), None);
        assert_eq!(parse_private("Private_Dirty: much kB\n"), None);
    }

    #[test]
    fn this_process_can_be_watched_and_one_that_is_not_there_is_named() {
        assert!(Watch::own().unwrap().memory().unwrap()[0] > 0);
        let error = Watch::new(&[u32::MAX]).unwrap_err().to_string();
        assert!(error.contains(&u32::MAX.to_string()), "{error}");
    }

    #[test]
    fn the_busiest_thread_is_the_one_that_used_most_meanwhile() {
        let at =
            |name: &str, seconds| (PathBuf::from(name), Cpu { user: Duration::from_secs(seconds), ..Cpu::default() });
        let before = Threads(HashMap::from([at("a", 100), at("b", 1)]));
        let after = Threads(HashMap::from([at("a", 101), at("b", 4), at("c", 2)]));
        assert_eq!(before.busiest(&after), Duration::from_secs(3));
        assert!(!Watch::own().unwrap().threads().0.is_empty());
    }

    #[test]
    fn costs_are_shared_out_over_deliveries() {
        let after = Cpu { user: Duration::from_secs(1), system: Duration::from_secs(2) };
        let cost = Cost::new(1, Cpu::default(), after, 1_000_000);
        assert_eq!((cost.user_us_each, cost.system_us_each), (Some(1.0), Some(2.0)));
        assert_eq!(Cost::new(1, Cpu::default(), after, 0).user_us_each, None);
    }
}
