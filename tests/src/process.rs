//! A child process under guard: its output is collected, its end waited for with patience, and a test that fails
//! leaves none behind.
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::lines::Lines;
use crate::{patience, sys};

pub struct Process {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Standard input stays open until the process is dropped; output is read unless the command says otherwise.
    pub fn start(command: &mut Command, read_stdout: bool) -> Result<Process> {
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        if read_stdout {
            command.stdout(Stdio::piped());
        }
        let mut child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = child.stderr.take().map(Lines::of).unwrap_or_default();
        Ok(Process { child, stdout, stderr, ended: None })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn line(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("standard input is open")?;
        stdin.write_all(b"\n").context("the process reads its standard input")
    }

    pub fn signal(&self, signal: i32) -> Result<()> {
        // Not after its end was seen: the number may be another's.
        if self.ended.is_none() {
            sys::kill(self.pid(), signal)?;
        }
        Ok(())
    }

    pub fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_none())
    }

    pub fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        if !sys::wait_for_end(self.pid(), patience())? {
            bail!(
                "process {} still runs after {} s; stderr:\n{}",
                self.pid(),
                patience().as_secs(),
                self.stderr.text()
            );
        }
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
