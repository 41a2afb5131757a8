//! A setting that the whole machine has in common.
use std::fs;

use anyhow::{Context, Result};

/// Put back when dropped, also by a test that fails.
pub struct HostSysctl {
    path: String,
    before: String,
}

impl HostSysctl {
    /// Of what is below /proc/sys.
    pub fn set(name: &str, value: &str) -> Result<HostSysctl> {
        let path = format!("/proc/sys/{name}");
        let before = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let guard = HostSysctl { path, before };
        fs::write(&guard.path, value).with_context(|| format!("write {value} to {name}"))?;
        Ok(guard)
    }
}

impl Drop for HostSysctl {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("put {} back to {}: {error}", self.path, self.before.trim());
        }
    }
}
