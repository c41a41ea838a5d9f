//! The control groups that bound a process' memory (`cgroups(7)`, versions 1 and 2).

use procfs::{
    ProcessCGroup,
    process::{MountInfo, Process},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The controller of version 1 that bounds memory.
const CONTROLLER: &str = "memory";

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    directory: PathBuf,
    files: &'static Files,
}

/// What the files of a version are called.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    /// The group may use what is the least of these.
    limits: &'static [&'static str],
    used: &'static str,
    /// What of it the kernel takes back when it has to, by its names in `memory.stat`: pages of files, and in version 2,
    /// which counts them, caches of the kernel's own.
    reclaimable: &'static [&'static str],
}

const V1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    reclaimable: &["total_active_file", "total_inactive_file"],
};

const V2: Files = Files {
    // Above the second it is not ended, but slowed down more and more.
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    reclaimable: &["active_file", "inactive_file", "slab_reclaimable"],
};

/// The control groups that bound this process' memory, as far as they are to be seen here: its own, and those above.
pub(super) fn find() -> io::Result<Vec<Cgroup>> {
    let process = Process::myself().map_err(io::Error::other)?;
    let mounts = process.mountinfo().map_err(io::Error::other)?.0;
    let memberships = process.cgroups().map_err(io::Error::other)?.0;
    Ok(all(&mounts, &memberships))
}

fn all(mounts: &[MountInfo], memberships: &[ProcessCGroup]) -> Vec<Cgroup> {
    let has_controller = |group: &&ProcessCGroup| group.controllers.iter().any(|name| name == CONTROLLER);
    let is_v1 = |mount: &&MountInfo| mount.fs_type == "cgroup" && mount.super_options.contains_key(CONTROLLER);
    let v1 = (mounts.iter().find(is_v1), memberships.iter().find(has_controller), &V1);
    let v2 = (
        mounts.iter().find(|mount| mount.fs_type == "cgroup2"),
        memberships.iter().find(|group| group.hierarchy == 0),
        &V2,
    );
    // Where version 1 has the controller, version 2 has not.
    let found = [v1, v2].into_iter().find_map(|(mount, group, files)| Some((mount?, group?, files)));
    let Some((mount, group, files)) = found else { return Vec::new() };
    let directories = upwards(&mount.mount_point, &mount.root, &group.pathname);
    directories.map(|directory| Cgroup { directory, files }).collect()
}

/// The directory of the group at `path`, and those above it, down from where the group at `root` is mounted. A container
/// may see the path that its host knows, and nothing but its own group, which then is what is mounted.
fn upwards(mount_point: &Path, root: &str, path: &str) -> impl Iterator<Item = PathBuf> {
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let below: Vec<_> = below.ancestors().map(|below| mount_point.join(below)).collect();
    below.into_iter()
}

impl Cgroup {
    /// How much the group may use, if that is bounded.
    pub(super) fn limit(&self) -> Option<u64> {
        // In the root of version 2 there are no such files, and no bound is "max" there.
        let limits = self.files.limits.iter().filter_map(|file| self.read(file).ok());
        limits.filter_map(|limit| limit.trim().parse().ok()).min()
    }

    /// How much of what the group uses the kernel can't take back. Buffers of sockets are part of it in version 2, in
    /// version 1 those of the kernel that it accounts for.
    pub(super) fn used(&self) -> io::Result<u64> {
        let used = self.read(self.files.used)?;
        let used: u64 = used.trim().parse().map_err(|_| invalid(self.files.used, &used))?;
        Ok(used.saturating_sub(sum(&self.read("memory.stat")?, self.files.reclaimable)))
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.directory.join(file))
    }
}

/// The sum of the entries of `stat` that have these names.
fn sum(stat: &str, names: &[&str]) -> u64 {
    let entries = stat.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| names.contains(name));
    entries.filter_map(|(_, number)| number.trim().parse::<u64>().ok()).fold(0, u64::saturating_add)
}

fn invalid(file: &str, content: &str) -> io::Error {
    io::Error::other(format!("{file} is {:?}, expected a number", content.trim()))
}

#[cfg(test)]
mod tests;
