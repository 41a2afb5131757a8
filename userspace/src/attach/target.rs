//! Whom to trace, in the kernel's terms: globals and map contents for probes-ebpf/src/target.rs.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probes_common::target::{
    CGROUPS_MAX, TARGET_CGROUP, TARGET_FOLLOW, TARGET_ONE, TARGET_SET, TARGET_TIDS, TARGETS_MAX, THREAD,
    THREADS_UNKNOWN, UNKNOWN_OFFSET,
};

use crate::btf::Found;
use crate::error::Advice;
use crate::program::error::printable;
use crate::sys::{bpf, process};

/// What the user asked for. Processes and threads add up; cgroups narrow them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub pids: Vec<u32>,
    pub tids: Vec<u32>,
    /// Folders in a cgroup v2 hierarchy.
    pub cgroups: Vec<PathBuf>,
    /// Children, those that exist and those to come.
    pub follow: bool,
    /// Whoever asked has children of the command only in mind: none exist yet.
    pub command: Option<Vec<String>>,
    /// Only for the report: the predicate does it.
    pub comm: Option<String>,
}

pub const MEMBERS: [(&str, &str); 16] = [
    ("task_struct", "tgid"),
    ("task_struct", "pid"),
    ("task_struct", "comm"),
    ("task_struct", "real_parent"),
    ("task_struct", "group_leader"),
    ("task_struct", "thread_pid"),
    ("pid", "level"),
    ("pid", "numbers"),
    ("pid_namespace", "ns.inum"),
    ("task_struct", "cgroups"),
    ("css_set", "dfl_cgrp"),
    ("cgroup", "kn"),
    ("kernfs_node", "id"),
    ("cgroup", "self.parent"),
    ("cgroup_subsys_state", "cgroup"),
    ("bpf_htab", "ma"),
];

impl Target {
    pub fn is_everything(&self) -> bool {
        self.pids.is_empty() && self.tids.is_empty()
    }

    /// Those that are meant, and those that a thread is meant of; each once.
    pub fn processes(&self) -> Vec<u32> {
        let owner = |tid: &u32| process::process_of_thread(*tid).unwrap_or(*tid);
        let mut processes = Vec::new();
        for pid in self.pids.iter().copied().chain(self.tids.iter().map(owner)) {
            if !processes.contains(&pid) {
                processes.push(pid);
            }
        }
        processes
    }

    /// One process and nothing that could make it more: compared with a constant.
    fn is_one(&self) -> bool {
        self.pids.len() == 1 && self.tids.is_empty() && !self.follow
    }

    /// Keys of the map `TARGETS`, which lists who is meant. None: that map is not needed.
    pub fn listed(&self) -> Option<Vec<u64>> {
        let threads = self.tids.iter().map(|tid| u64::from(*tid) | THREAD);
        (!self.is_everything() && !self.is_one())
            .then(|| self.pids.iter().map(|pid| u64::from(*pid)).chain(threads).collect())
    }

    pub fn globals(&self, btf: &Found) -> Vec<(&'static str, Vec<u8>)> {
        let word = |value: u32| value.to_ne_bytes().to_vec();
        let offset = |structure, path| word(btf.offset(structure, path).unwrap_or(UNKNOWN_OFFSET));
        let mut mode = 0;
        if self.is_one() {
            mode |= TARGET_ONE;
        } else if !self.is_everything() {
            mode |= TARGET_SET;
        }
        if !self.tids.is_empty() {
            mode |= TARGET_TIDS;
        }
        if !self.cgroups.is_empty() {
            mode |= TARGET_CGROUP;
        }
        if self.follow {
            mode |= TARGET_FOLLOW;
        }
        let (dev, ino) = pid_namespace();
        let mut cgroups = [0u64; CGROUPS_MAX as usize];
        for (id, folder) in cgroups.iter_mut().zip(&self.cgroups) {
            // A cgroup's id is its folder's inode (v5.10 kernel/cgroup/cgroup.c: cgroup_id).
            *id = fs::metadata(folder).map_or(0, |folder| folder.ino());
        }
        vec![
            ("TARGET_MODE", word(mode)),
            ("TARGET_TGID", word(self.pids.first().copied().unwrap_or(0))),
            ("SELF_TGID", word(std::process::id())),
            ("PIDNS_DEV", dev.to_ne_bytes().to_vec()),
            ("PIDNS_INO", ino.to_ne_bytes().to_vec()),
            ("CGROUPS_USED", word(self.cgroups.len() as u32)),
            ("CGROUP_IDS", cgroups.iter().flat_map(|id| id.to_ne_bytes()).collect()),
            ("TASK_CGROUPS", offset("task_struct", "cgroups")),
            ("CSS_SET_CGROUP", offset("css_set", "dfl_cgrp")),
            ("CGROUP_NODE", offset("cgroup", "kn")),
            ("NODE_ID", offset("kernfs_node", "id")),
            ("CGROUP_PARENT", offset("cgroup", "self.parent")),
            ("CSS_CGROUP", offset("cgroup_subsys_state", "cgroup")),
            ("TASK_TGID", offset("task_struct", "tgid")),
            ("TASK_TID", offset("task_struct", "pid")),
            ("TASK_GROUP_LEADER", offset("task_struct", "group_leader")),
            ("TASK_THREAD_PID", offset("task_struct", "thread_pid")),
            ("PID_LEVEL", offset("pid", "level")),
            ("PID_NUMBERS", offset("pid", "numbers")),
            ("PIDNS_INUM", offset("pid_namespace", "ns.inum")),
        ]
    }

    pub fn map_entries(&self) -> Vec<(&'static str, u32)> {
        vec![("TARGETS", if self.listed().is_some() { TARGETS_MAX } else { 1 })]
    }

    /// Writes the processes, threads and cgroups that are known now.
    pub fn fill(&self, targets: BorrowedFd, cgroups: BorrowedFd) -> Result<()> {
        for key in self.listed().unwrap_or_default() {
            add(targets, key)?;
        }
        if self.cgroups.len() > CGROUPS_MAX as usize {
            bail!("at most {CGROUPS_MAX} cgroups can be told apart, {} were given", self.cgroups.len());
        }
        for (index, path) in self.cgroups.iter().enumerate() {
            let folder = File::open(path).with_context(|| format!("open cgroup `{}`", path.display()))?;
            bpf::map_update(cgroups, &(index as u32).to_ne_bytes(), &folder.as_raw_fd().to_ne_bytes()).map_err(
                |error| {
                    let what = format!(
                        "--cgroup: `{}` is no cgroup of a v2 hierarchy: {error}",
                        printable(&path.display().to_string())
                    );
                    Advice::new(what, format!("a folder under {}; v1 cgroups cannot be told apart by BPF", root_name()))
                },
            )?;
        }
        Ok(())
    }

    /// Adds the children that exist. Called when forks are already seen, so that none is born unnoticed; repeated until
    /// nothing is new.
    /// What was decided of them before is forgotten, where the programs keep it: `generation` counts up.
    pub fn add_existing_children(&self, targets: BorrowedFd, generation: Option<BorrowedFd>) -> Result<()> {
        if !self.follow {
            return Ok(());
        }
        let mut known: BTreeSet<u32> = self.pids.iter().copied().collect();
        let threads: BTreeSet<u32> = self.tids.iter().copied().collect();
        loop {
            let mut new = BTreeSet::new();
            for (pid, parent) in processes()? {
                let of_thread =
                    !threads.is_empty() && threads.iter().any(|tid| children_of_thread(*tid).contains(&pid));
                if (known.contains(&parent) || of_thread) && !known.contains(&pid) {
                    new.insert(pid);
                }
            }
            if new.is_empty() {
                return Ok(());
            }
            for pid in &new {
                add(targets, u64::from(*pid))?;
            }
            if let Some(generation) = generation {
                bpf::map_update(generation, &0u32.to_ne_bytes(), &process::monotonic_ns().to_ne_bytes())
                    .context("forget what was decided")?;
            }
            known.extend(new);
        }
    }
}

fn add(targets: BorrowedFd, key: u64) -> Result<()> {
    bpf::map_update(targets, &key.to_ne_bytes(), &THREADS_UNKNOWN.to_ne_bytes())
        .with_context(|| format!("more than {TARGETS_MAX} processes and threads to trace"))
}

/// Every process with its parent.
fn processes() -> io::Result<Vec<(u32, u32)>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect())
}

/// Field 4 of /proc/PID/stat; the name before it may hold anything, also a parenthesis.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(behind_name..)?).ok()?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// Needs CONFIG_PROC_CHILDREN; without it nothing is found.
fn children_of_thread(tid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{tid}/task/{tid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Device and inode of the PID namespace as the kernel compares them; zeros in the first one.
fn pid_namespace() -> (u64, u64) {
    /// v5.10 include/linux/proc_ns.h: PROC_PID_INIT_INO.
    const FIRST: u64 = 0xEFFF_FFFC;
    match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) if namespace.ino() != FIRST => {
            let dev = namespace.dev();
            // The kernel keeps twenty bits of minor number, user space sees them scattered.
            (u64::from(libc::major(dev)) << 20 | u64::from(libc::minor(dev)), namespace.ino())
        }
        _ => (0, 0),
    }
}

/// True where spoor lives in a PID namespace of its own, and numbers are that one's.
pub fn in_container() -> bool {
    pid_namespace().1 != 0
}

/// The folder of a cgroup as people name it: a path, or one below the v2 hierarchy's root, as /proc/PID/cgroup has it.
pub fn cgroup_folder(name: &Path) -> Result<PathBuf> {
    cgroup_below(name, cgroup2_root().as_deref())
}

fn cgroup_below(name: &Path, root: Option<&Path>) -> Result<PathBuf> {
    if is_cgroup(name) {
        return Ok(name.to_owned());
    }
    let root = root.ok_or_else(|| {
        Advice::new(
            "--cgroup: no cgroup v2 hierarchy is mounted",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup; v1 cgroups cannot be told apart by BPF",
        )
    })?;
    // Taken apart and put together: no slash is left at the end of the root.
    let folder: PathBuf = root.join(name.strip_prefix("/").unwrap_or(name)).components().collect();
    if is_cgroup(&folder) {
        return Ok(folder);
    }
    let shown = |path: &Path| printable(&path.display().to_string());
    let what = format!("--cgroup: neither `{}` nor `{}` is a cgroup", shown(name), shown(&folder));
    Err(Advice::new(what, format!("ls {} shows those that there are", shown(root))).into())
}

/// Every cgroup lists its processes; `/` and `/user.slice` may be other folders as well.
fn is_cgroup(folder: &Path) -> bool {
    folder.join("cgroup.procs").is_file()
}

fn root_name() -> String {
    cgroup2_root().map_or_else(|| "/sys/fs/cgroup".to_owned(), |root| root.display().to_string())
}

/// Where the v2 hierarchy is mounted.
pub fn cgroup2_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with `below/it/cgroup.procs` as the hierarchy, and one without.
    #[test]
    fn cgroup_is_looked_for_below_the_root_where_the_path_is_another_folder() {
        let here = std::env::temp_dir().join(format!("spoor-cgroup-folder-{}", std::process::id()));
        let (root, other) = (here.join("root"), here.join("other"));
        for folder in [&root, &root.join("below/it")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("cgroup.procs"), "").unwrap();
        }
        fs::create_dir_all(&other).unwrap();
        let found = |name: &Path| cgroup_below(name, Some(&root)).map_err(|error| error.to_string());
        assert_eq!(found(Path::new("/")), Ok(root.clone()));
        assert_eq!(found(Path::new("/below/it")), Ok(root.join("below/it")));
        assert_eq!(found(Path::new("below/it")), Ok(root.join("below/it")));
        assert_eq!(found(&root.join("below/it")), Ok(root.join("below/it")));
        for wrong in [other.as_path(), Path::new("/proc"), Path::new("below"), Path::new("/\x1b")] {
            let error = found(wrong).unwrap_err();
            assert!(
                error.contains(&printable(&wrong.display().to_string())) && error.ends_with("is a cgroup"),
                "{error}"
            );
        }
        assert!(cgroup_below(Path::new("/"), None).unwrap_err().to_string().contains("no cgroup v2 hierarchy"));
        fs::remove_dir_all(&here).unwrap();
    }
}
