//! A tracer that runs beside the worker: started, seen attached, interrupted, and what it counted.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spoor_tests::lines::Lines;
use spoor_tests::{Context, Result, bail, binaries, ensure};

use crate::cases::Links;
use crate::once::number;
use crate::sys::{self, Usage};
use crate::worker::TOOL_CPU;

/// Where the peers are: the folder that ../shared/peers/setup made.
pub fn peers() -> Option<PathBuf> {
    let folder = std::env::var_os("SPOOR_PEERS")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join("spoor-peers")))?;
    folder.join("usr/bin/bpftrace").exists().then_some(folder)
}

pub struct Tool {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    begun: Instant,
    reaped: bool,
    misses_signals: bool,
}

pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// From SIGINT to the end of the process.
    pub ending: Duration,
    pub usage: Usage,
    /// Its memory at its peak, as last seen before it ended. Not getrusage's, which has that of whoever started it, too.
    pub peak_bytes: u64,
}

/// While a tool ends.
const LOOK: Duration = Duration::from_millis(2);

impl Tool {
    pub fn start(mut command: Command, pinned: bool) -> Result<Tool> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The child inherits the place; the bench itself has no other.
        if pinned {
            sys::pin(TOOL_CPU)?
        } else {
            sys::unpin()?
        }
        let begun = Instant::now();
        let spawned = command.spawn().with_context(|| format!("start {:?}", command.get_program()));
        sys::pin(TOOL_CPU)?;
        let mut child = spawned?;
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = child.stderr.take().map(Lines::of).unwrap_or_default();
        Ok(Tool { child, stdout, stderr, begun, reaped: false, misses_signals: false })
    }

    pub fn spoor(args: &[String], pinned: bool) -> Result<Tool> {
        let mut command = Command::new(binaries::spoor());
        command.args(args);
        let tool = Tool::start(command, pinned)?;
        tool.stderr.wait_for("spoor: tracing").with_context(|| format!("spoor {}", args.join(" ")))?;
        Ok(tool)
    }

    /// `pid`: what its probes of user space are confined to, as by `-p`.
    pub fn bpftrace(folder: &Path, program: &str, pid: Option<u32>, pinned: bool) -> Result<Tool> {
        let mut command = Command::new("/usr/bin/bpftrace");
        sys::inside(&mut command, folder);
        // Raw tracepoints are found by the functions that the kernel lists for ftrace; where it does not, by all symbols.
        if program.contains("rawtracepoint") {
            command.args(["--traceable-functions", &traceable_functions(folder)?]);
        }
        if let Some(pid) = pid {
            command.args(["-p", &pid.to_string()]);
        }
        command.args(["-f", "json", "-e", program]);
        let tool = Tool::start(command, pinned)?;
        tool.stdout
            .wait_for(r#"{"type": "attached_probes""#)
            .with_context(|| format!("bpftrace -e '{program}': {}", tool.stderr.text()))?;
        Ok(tool)
    }

    /// A peer that says nothing where it is seen while it works. `traced`: the process that it works on.
    pub fn peer(folder: &Path, command: &[String], links: Links, traced: u32, pinned: bool) -> Result<Tool> {
        let (program, args) = command.split_first().context("a command")?;
        let mut command = Command::new(program);
        sys::inside(&mut command, folder);
        command.args(args);
        let mut tool = Tool::start(command, pinned)?;
        tool.misses_signals = true;
        let end = Instant::now() + spoor_tests::patience();
        while !tool.is_attached(links, traced)? {
            ensure!(Instant::now() < end, "{program} is not attached: {}", tool.stderr.text());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(tool)
    }

    fn is_attached(&self, links: Links, traced: u32) -> Result<bool> {
        let with = |mark: &str| -> Result<usize> { Ok(self.fd_infos()?.filter(|info| info.contains(mark)).count()) };
        Ok(match links {
            Links::One => with("link_type:")? >= 1,
            Links::EachCpu => with("link_type:")? >= sys::online_cpus(),
            Links::Traced => {
                let status = std::fs::read_to_string(format!("/proc/{traced}/status"))?;
                status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", &self.pid().to_string()]))
            }
            Links::Polls => {
                let poll = format!("{} ", sys::POLL);
                std::fs::read_to_string(format!("/proc/{}/syscall", self.pid()))?.starts_with(&poll)
            }
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has had so far.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(sys::cpu_of(self.pid())?)
    }

    fn fd_infos(&self) -> Result<impl Iterator<Item = String>> {
        fd_infos(self.pid())
    }

    /// BPF programs that it holds, by their ids.
    pub fn loaded(&self) -> Result<BTreeSet<u32>> {
        let id = |info: String| info.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
        Ok(self.fd_infos()?.filter_map(id).collect())
    }

    pub fn programs(&self) -> Result<usize> {
        Ok(self.loaded()?.len())
    }

    pub fn since_start(&self) -> Duration {
        self.begun.elapsed()
    }

    /// SIGINT, and the report.
    pub fn interrupt(mut self) -> Result<Ended> {
        let (first, mut begun, mut worked) = (Instant::now(), Instant::now(), self.cpu()?);
        sys::kill(self.pid(), spoor_tests::sys::SIGINT)?;
        let mut peak = 0;
        while !sys::wait_ended(self.pid(), LOOK)? {
            peak = peak.max(peak_bytes(self.pid()).unwrap_or(0));
            ensure!(first.elapsed().as_secs() < 60, "still running a minute after SIGINT: {}", self.stderr.text());
            // Some peers are attached a moment before they wait for the signal, and wait for ever if it came in between.
            if self.misses_signals && begun.elapsed().as_secs() >= 1 {
                let works = self.cpu()?;
                if works == worked {
                    begun = Instant::now();
                    sys::kill(self.pid(), spoor_tests::sys::SIGINT)?;
                }
                worked = works;
            }
        }
        let ending = begun.elapsed();
        let usage = sys::wait(self.pid())?;
        self.reaped = true;
        let stdout = String::from_utf8_lossy(&self.stdout.wait_closed()?).into_owned();
        let stderr = String::from_utf8_lossy(&self.stderr.wait_closed()?).into_owned();
        // Some tell by their end that they were interrupted.
        if usage.status != 0 && usage.status != spoor_tests::sys::SIGINT {
            bail!("ended with status {:#x}: {stderr}", usage.status);
        }
        Ok(Ended { stdout, stderr, ending, usage, peak_bytes: peak })
    }
}

fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(number(&status, "VmHWM:")? as u64 * 1024)
}

/// What the kernel says of each open file of a process; those that are closed meanwhile are left out.
pub fn fd_infos(pid: u32) -> Result<impl Iterator<Item = String>> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))?;
    Ok(files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()))
}

impl Drop for Tool {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn traceable_functions(folder: &Path) -> Result<String> {
    const NAME: &str = "/tmp/spoor-bench-functions";
    let file = folder.join(&NAME[1..]);
    if !file.exists() {
        let symbols = std::fs::read_to_string("/proc/kallsyms")?;
        let names: Vec<&str> = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        std::fs::write(&file, names.join("\n"))?;
    }
    Ok(NAME.to_owned())
}
