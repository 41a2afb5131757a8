//! The workload under guard, by its protocol (workload/main.rs).
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::binaries;
use crate::process::Process;
use crate::skip::skip;

pub struct Work {
    process: Process,
    ids: Vec<u32>,
}

impl Work {
    /// `workload ARGS` that waits to be released.
    pub fn waiting(args: &[&str]) -> Result<Work> {
        Work::start(Command::new(binaries::workload()).arg("--wait").args(args))
    }

    /// The same, and it stays after `done` until it is released again.
    pub fn holding(args: &[&str]) -> Result<Work> {
        Work::start(Command::new(binaries::workload()).args(["--wait", "--hold"]).args(args))
    }

    /// `tracee ARGS`, the dynamic program, that waits to be released.
    pub fn dynamic(args: &[&str]) -> Result<Work> {
        Work::start(Command::new(binaries::tracee()).arg("--wait").args(args))
    }

    pub fn start(command: &mut Command) -> Result<Work> {
        let process = Process::start(command, true)?;
        let ready = match process.stdout.wait_for("ready ") {
            Ok(ready) => ready,
            Err(why) => match process
                .stdout
                .text()
                .lines()
                .find_map(|line| line.strip_prefix("unsupported ").map(str::to_owned))
            {
                Some(reason) => return skip(&reason),
                None => bail!("{why}; stderr: {}", process.stderr.text()),
            },
        };
        let ids = ready.split(' ').skip(1).map(|id| id.parse().context("a PID after ready")).collect::<Result<_>>()?;
        Ok(Work { process, ids })
    }

    pub fn pid(&self) -> String {
        self.process.pid().to_string()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it calls itself, in its own PID namespace.
    pub fn own_pid(&self) -> u32 {
        self.ids[0]
    }

    /// Its threads or children at `ready`.
    pub fn others(&self) -> &[u32] {
        &self.ids[1..]
    }

    pub fn release(&mut self) -> Result<()> {
        self.process.line()
    }

    /// Waits for `done`, and for the line after it: what was done.
    pub fn done(&mut self) -> Result<Value> {
        let line =
            self.process.stdout.wait_for("{").with_context(|| format!("workload: {}", self.process.stderr.text()))?;
        serde_json::from_str(&line).with_context(|| format!("the workload's counts: {line}"))
    }

    pub fn run(&mut self) -> Result<Value> {
        self.release()?;
        self.done()
    }

    /// Waits for its end, which it has reached by itself or is let go to.
    pub fn end(mut self) -> Result<()> {
        let status = self.process.wait()?;
        anyhow::ensure!(status.success(), "workload: {status}, {}", self.process.stderr.text());
        Ok(())
    }
}
