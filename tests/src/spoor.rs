//! The binary under test: a command line in, what it printed and how it ended out.
//! The only text that the harness relies on: `spoor: tracing` begins a line on stderr once everything is attached.
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::folder::Folder;
use crate::process::Process;
use crate::report::Report;
use crate::work::Work;
use crate::{binaries, sys};

const ATTACHED: &str = "spoor: tracing";

/// A command line that is still being written.
pub struct Setup {
    args: Vec<OsString>,
    program: Option<Vec<OsString>>,
    lower: Option<sys::Lower>,
}

/// `spoor ARGS`.
pub fn spoor(args: &[&str]) -> Setup {
    Setup { args: args.iter().map(OsString::from).collect(), program: None, lower: None }
}

/// `spoor syscalls --format json ARGS`.
pub fn syscalls(args: &[&str]) -> Setup {
    spoor(&["syscalls", "--format", "json"]).and(args)
}

/// `spoor profile --format json ARGS`.
pub fn profile(args: &[&str]) -> Setup {
    spoor(&["profile", "--format", "json"]).and(args)
}

/// `spoor offcpu --format json ARGS`.
pub fn offcpu(args: &[&str]) -> Setup {
    spoor(&["offcpu", "--format", "json"]).and(args)
}

/// `spoor threads --format json ARGS`.
pub fn threads(args: &[&str]) -> Setup {
    spoor(&["threads", "--format", "json"]).and(args)
}

/// `spoor udp --format json ARGS`.
pub fn udp(args: &[&str]) -> Setup {
    spoor(&["udp", "--format", "json"]).and(args)
}

/// `spoor func --format json ARGS`.
pub fn func(args: &[&str]) -> Setup {
    spoor(&["func", "--format", "json"]).and(args)
}

impl Setup {
    pub fn and(mut self, args: &[&str]) -> Setup {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    /// Started by another program, such as `workload enter-pidns PID`.
    pub fn through(mut self, program: &[&str]) -> Setup {
        self.program = Some(program.iter().map(OsString::from).collect());
        self
    }

    pub fn lowered(mut self, how: sys::Lower) -> Setup {
        self.lower = Some(how);
        self
    }

    pub fn command(&self) -> Command {
        let mut words: Vec<OsString> = self.program.clone().unwrap_or_default();
        words.push(binaries::spoor().into());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Some(how) = self.lower {
            sys::lower(&mut command, how);
        }
        command
    }

    fn words(&self) -> String {
        let words: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        format!("spoor {}", words.join(" "))
    }

    /// Starts it and returns once it is attached.
    pub fn start(self) -> Result<Trace> {
        let trace = self.start_anyway()?;
        trace.process.stderr.wait_for(ATTACHED).with_context(|| trace.words.clone())?;
        Ok(trace)
    }

    /// Starts it and waits for nothing.
    pub fn start_anyway(self) -> Result<Trace> {
        let process = Process::start(&mut self.command(), true)?;
        Ok(Trace { process, words: self.words() })
    }

    /// Starts it with its standard output in a file or pipe of the test's; returns once it is attached.
    pub fn start_into(self, stdout: Stdio) -> Result<Trace> {
        let process = Process::start(self.command().stdout(stdout), false)?;
        process.stderr.wait_for(ATTACHED).with_context(|| self.words())?;
        Ok(Trace { process, words: self.words() })
    }

    /// Runs it to its end, attached or not.
    pub fn run(self) -> Result<Finished> {
        self.start_anyway()?.finish()
    }

    /// `-- workload WORK`: the report comes in a file, so that the command has standard output for itself.
    pub fn around(self, work: &[&str]) -> Result<Finished> {
        let folder = Folder::new()?;
        let report = folder.text("report");
        let workload = binaries::workload().display().to_string();
        let mut finished = self.and(&["-o", &report, "--", &workload]).and(work).run()?;
        finished.output = std::mem::take(&mut finished.stdout);
        if let Some(why) = finished.output.lines().find_map(|line| line.strip_prefix("unsupported ")) {
            return crate::skip::skip(why);
        }
        finished.stdout = std::fs::read_to_string(&report).unwrap_or_default();
        Ok(finished)
    }

    /// `-p PID` of a workload that waits, does its work once spoor is attached, and ends; spoor ends with it.
    pub fn attached_to(self, work: &[&str]) -> Result<Finished> {
        let work = Work::waiting(work)?;
        let pid = work.pid();
        self.and(&["-p", &pid]).with(work)
    }

    /// The command line as it is; the workload works from `attached` to its end, and spoor must end by itself.
    /// With `--follow` it is interrupted: when a run that follows ends is not what these tests are about.
    pub fn with(self, mut work: Work) -> Result<Finished> {
        let follows = self.args.iter().any(|arg| arg == "--follow");
        let trace = self.start()?;
        let did = work.run()?;
        work.end()?;
        let mut finished = if follows { trace.interrupt()? } else { trace.finish()? };
        finished.did = did;
        Ok(finished)
    }
}

/// A spoor that runs.
pub struct Trace {
    pub process: Process,
    words: String,
}

impl Trace {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn signal(&self, signal: i32) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ctrl-C, and what it then reports.
    pub fn interrupt(self) -> Result<Finished> {
        self.signal(sys::SIGINT)?;
        self.finish()
    }

    pub fn finish(mut self) -> Result<Finished> {
        let status = self.process.wait().with_context(|| self.words.clone())?;
        let (stdout, stderr) = (self.process.stdout.wait_closed()?, self.process.stderr.wait_closed()?);
        Ok(Finished::new(&self.words, status, &stdout, &stderr))
    }
}

/// A spoor that ended.
pub struct Finished {
    words: String,
    pub status: ExitStatus,
    /// The report.
    pub stdout: String,
    pub stderr: String,
    /// What the traced command printed.
    pub output: String,
    /// What the workload says that it did.
    pub did: Value,
}

impl Finished {
    pub fn new(words: &str, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Finished {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Finished {
            words: words.to_owned(),
            status,
            stdout: text(stdout),
            stderr: text(stderr),
            output: String::new(),
            did: Value::Null,
        }
    }

    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or(0))
    }

    /// Ended as it should: 0, with a report, and nothing lost.
    pub fn report(&self) -> Result<Report> {
        let report = self.report_with_loss()?;
        report.nothing_lost().with_context(|| self.to_string())?;
        Ok(report)
    }

    pub fn report_with_loss(&self) -> Result<Report> {
        ensure!(self.code() == 0, "ended with {}: {self}", self.status);
        self.report_of_code()
    }

    /// Whatever the exit status.
    pub fn report_of_code(&self) -> Result<Report> {
        Report::last_of(&self.stdout).with_context(|| self.to_string())
    }

    /// Calls by name are these, and there are no others.
    pub fn calls_are(&self, wanted: &[(&str, u64)]) -> Result<()> {
        let calls = self.report()?.counts_by("syscall")?;
        let wanted =
            wanted.iter().filter(|(_, count)| *count > 0).map(|(name, count)| ((*name).to_owned(), *count)).collect();
        ensure!(calls == wanted, "calls are {calls:?}, not {wanted:?}\n{self}");
        Ok(())
    }

    pub fn calls_of(&self, syscall: &str, wanted: u64) -> Result<()> {
        let calls = self.report()?.calls(syscall)?;
        ensure!(calls == wanted, "{calls} calls of {syscall}, not {wanted}\n{self}");
        Ok(())
    }

    /// Refused with this status: one line what and why, one line what to do, no report.
    pub fn refused(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code() == code, "ended with {}, not {code}: {self}", self.status);
        let error = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        let advice = self.stderr.lines().filter(|line| line.starts_with("try:")).count();
        ensure!(error == 1 && advice == 1, "{error} lines `error:` and {advice} lines `try:`, not one of each: {self}");
        for word in words {
            ensure!(self.stderr.contains(word), "stderr does not say `{word}`: {self}");
        }
        ensure!(!self.stderr.contains("panicked"), "panicked: {self}");
        ensure!(self.stdout.is_empty(), "printed something: {self}");
        Ok(())
    }

    pub fn did(&self, what: &str) -> Result<u64> {
        match self.did[what].as_u64() {
            Some(count) => Ok(count),
            None => bail!("the workload does not say how many {what}: {}", self.did),
        }
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| text.chars().take(3000).collect::<String>();
        write!(
            f,
            "`{}`: {}\nstdout: {}\nstderr: {}\nworkload: {}",
            self.words,
            self.status,
            cut(&self.stdout),
            cut(&self.stderr),
            self.did
        )
    }
}

/// Opens what spoor shall write to.
pub fn into_file(path: &std::path::Path) -> Result<Stdio> {
    Ok(File::create(path).with_context(|| format!("create {}", path.display()))?.into())
}
