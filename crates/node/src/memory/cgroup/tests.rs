#![allow(clippy::unwrap_used)]
use super::*;
use procfs::{FromBufRead, ProcessCGroups, process::MountInfos};

/// The control groups of a process whose `/proc` says that.
#[track_caller]
fn check(mountinfo: &str, cgroup: &str, files: &Files, expected: &[&str]) {
    let mounts = MountInfos::from_buf_read(mountinfo.as_bytes()).unwrap().0;
    let memberships = ProcessCGroups::from_buf_read(cgroup.as_bytes()).unwrap().0;
    let found = all(&mounts, &memberships);
    assert_eq!(found.iter().map(|cgroup| cgroup.directory.to_str().unwrap()).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|cgroup| cgroup.files == files), "{found:?}");
}

const HYBRID: &str = "\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn the_groups_above_count_too() {
    let memberships = "8:pids:/x\n4:memory:/machine/one\n0::/\n";
    let memory = ["/sys/fs/cgroup/memory/machine/one", "/sys/fs/cgroup/memory/machine", "/sys/fs/cgroup/memory/"];
    check(HYBRID, memberships, &V1, &memory);
    let unified = "30 24 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    let system = ["/sys/fs/cgroup/system.slice/fanwire.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/"];
    check(unified, "0::/system.slice/fanwire.service\n", &V2, &system);
}

#[test]
fn a_container_sees_its_own_group_alone() {
    let own = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    check(own, "4:memory:/docker/abc\n", &V1, &["/sys/fs/cgroup/memory/"]);
    let namespace = "35 31 0:32 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    check(namespace, "0::/\n", &V2, &["/sys/fs/cgroup/"]);
    let elsewhere = "35 31 0:32 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    check(elsewhere, "0::/other\n", &V2, &["/sys/fs/cgroup/"]);
}

#[test]
fn without_control_groups_there_are_none() {
    check("22 1 0:21 / / rw - ext4 /dev/sda rw\n", "", &V2, &[]);
    check(HYBRID, "8:pids:/x\n", &V2, &[]);
}

#[test]
fn what_the_kernel_can_take_back_is_not_used() {
    let v1 = "cache 7\nactive_file 1\ntotal_active_file 100\ntotal_inactive_file 20\ntotal_rss 5\n";
    assert_eq!(sum(v1, V1.reclaimable), 120);
    let v2 = "anon 7\nactive_file 100\ninactive_file 20\nslab_reclaimable 3\nslab_unreclaimable 9\nsock 1\n";
    assert_eq!(sum(v2, V2.reclaimable), 123);
    assert_eq!((sum("", V2.reclaimable), sum("active_file x\nactive_file\n", V2.reclaimable)), (0, 0));
}

/// What a group with these files may use, and uses.
fn read(version: &'static Files, files: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(file, content)| fs::write(directory.path().join(file), content).unwrap());
    let cgroup = Cgroup { directory: directory.path().into(), files: version };
    (cgroup.limit(), cgroup.used().ok())
}

#[test]
fn the_least_limit_counts_and_max_is_none() {
    let stat = ("memory.stat", "anon 5\ninactive_file 300\n");
    let v2 = |max, high| read(&V2, &[("memory.max", max), ("memory.high", high), ("memory.current", "1000\n"), stat]);
    assert_eq!(v2("5000\n", "max\n"), (Some(5000), Some(700)));
    assert_eq!(v2("5000\n", "4000\n"), (Some(4000), Some(700)));
    assert_eq!(v2("max\n", "max\n"), (None, Some(700)));
    assert_eq!(read(&V2, &[("memory.current", "much"), stat]), (None, None));
    let v1 = [
        ("memory.limit_in_bytes", "5000\n"),
        ("memory.usage_in_bytes", "100\n"),
        ("memory.stat", "total_active_file 300\n"),
    ];
    assert_eq!(read(&V1, &v1), (Some(5000), Some(0)));
}

#[test]
fn what_is_no_limit_is_none() {
    let missing = Cgroup { directory: "/nowhere".into(), files: &V2 };
    assert_eq!((missing.limit(), missing.used().map_err(|error| error.kind())), (None, Err(io::ErrorKind::NotFound)));
}
