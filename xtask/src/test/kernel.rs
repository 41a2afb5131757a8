//! The kernel tests: one static program that runs here as root, and in a guest as /init.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::stage::Stage;
use super::{HERE, program};
use crate::shell::cmd;
use crate::static_build;
use crate::vm::Rsyslog;

/// Its test target in package spoor-tests.
pub const TARGET: &str = "kernel";

pub struct Programs {
    pub spoor: PathBuf,
    pub workload: PathBuf,
    pub kernel_tests: PathBuf,
    /// Linked dynamically; libtracee.so lies beside it.
    pub tracee: PathBuf,
    /// None: where packages cannot be fetched. Its tests say so.
    pub rsyslog: Option<Rsyslog>,
}

impl Programs {
    /// Tells a test where the programs are; in a guest they are in /bin and /rsyslog.
    pub fn name_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(rsyslog) = &self.rsyslog {
            command.env("RSYSLOG_TREE", rsyslog.folder());
        }
        command.env("SPOOR_BIN", &self.spoor).env("WORKLOAD_BIN", &self.workload).env("TRACEE_BIN", &self.tracee)
    }
}

pub fn build() -> Result<Programs> {
    let built =
        static_build::build("release", &["--package=spoor", "--package=spoor-tests", "--bins", "--test", TARGET])?;
    Ok(Programs {
        spoor: built.program("spoor")?,
        workload: built.program("workload")?,
        kernel_tests: built.program(TARGET)?,
        tracee: built.out_dir("spoor-tests")?.join("tracee"),
        rsyslog: None,
    })
}

pub fn run_here(programs: &Programs, args: &[String]) -> Stage {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = format!("kernel {HERE} ({})", release.trim());
    if fs::metadata("/proc/self").map_or(true, |me| me.uid() != 0) {
        return Stage::skipped(name, "needs root");
    }
    let mut command = cmd(&programs.kernel_tests.to_string_lossy(), args);
    program::run(&name, programs.name_in(&mut command), &format!("{HERE}| "))
}
