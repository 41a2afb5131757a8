//! A cgroup (v2) of a test's own.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::skip::skip;
use crate::sys;

pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Below the root of the v2 hierarchy, wherever that is mounted.
    pub fn new(name: &str) -> Result<Cgroup> {
        let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
        let mount = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&"cgroup2"));
        match mount {
            Some(fields) => Cgroup::at(Path::new(fields[1]).join(format!("spoor-{name}-{}", std::process::id()))),
            None => skip("no cgroup v2 hierarchy is mounted"),
        }
    }

    pub fn child(&self, name: &str) -> Result<Cgroup> {
        Cgroup::at(self.0.join(name))
    }

    fn at(path: PathBuf) -> Result<Cgroup> {
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Cgroup(path))
    }

    pub fn add(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).context("move a process to a cgroup")
    }

    pub fn path(&self) -> String {
        self.0.display().to_string()
    }

    pub fn id(&self) -> Result<u64> {
        Ok(sys::inode(&self.0)?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process is in it: declare the cgroup before the process.
        let _ = fs::remove_dir(&self.0);
    }
}
