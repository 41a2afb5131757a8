//! A tracer that runs beside the worker: started, seen attached, interrupted, and what it counted.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use spoor_tests::lines::Lines;
use spoor_tests::{Context, Result, bail, binaries, ensure};

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
}

pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// From SIGINT to the end of the process.
    pub ending: Duration,
    pub usage: Usage,
}

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
        Ok(Tool { child, stdout, stderr, begun, reaped: false })
    }

    pub fn spoor(args: &[String], pinned: bool) -> Result<Tool> {
        let mut command = Command::new(binaries::spoor());
        command.args(args);
        let tool = Tool::start(command, pinned)?;
        tool.stderr.wait_for("spoor: tracing").with_context(|| format!("spoor {}", args.join(" ")))?;
        Ok(tool)
    }

    pub fn bpftrace(folder: &Path, program: &str, pinned: bool) -> Result<Tool> {
        let mut command = Command::new("/usr/bin/bpftrace");
        sys::inside(&mut command, folder);
        // Raw tracepoints are found by the functions that the kernel lists for ftrace; where it does not, by all symbols.
        if program.contains("rawtracepoint") {
            command.args(["--traceable-functions", &traceable_functions(folder)?]);
        }
        command.args(["-f", "json", "-e", program]);
        let tool = Tool::start(command, pinned)?;
        tool.stdout
            .wait_for(r#"{"type": "attached_probes""#)
            .with_context(|| format!("bpftrace -e '{program}': {}", tool.stderr.text()))?;
        Ok(tool)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// BPF programs that it holds.
    pub fn programs(&self) -> Result<usize> {
        let mut ids = BTreeSet::new();
        for file in std::fs::read_dir(format!("/proc/{}/fdinfo", self.pid()))? {
            let info = std::fs::read_to_string(file?.path())?;
            ids.extend(info.lines().find_map(|line| line.strip_prefix("prog_id:")).map(|id| id.trim().to_owned()));
        }
        Ok(ids.len())
    }

    pub fn since_start(&self) -> Duration {
        self.begun.elapsed()
    }

    /// SIGINT, and the report.
    pub fn interrupt(mut self) -> Result<Ended> {
        let begun = Instant::now();
        sys::kill(self.pid(), spoor_tests::sys::SIGINT)?;
        ensure!(sys::wait_ended(self.pid(), Duration::from_secs(60))?, "still running a minute after SIGINT");
        let ending = begun.elapsed();
        let usage = sys::wait(self.pid())?;
        self.reaped = true;
        let stdout = String::from_utf8_lossy(&self.stdout.wait_closed()?).into_owned();
        let stderr = String::from_utf8_lossy(&self.stderr.wait_closed()?).into_owned();
        if usage.status != 0 {
            bail!("ended with status {:#x}: {stderr}", usage.status);
        }
        Ok(Ended { stdout, stderr, ending, usage })
    }
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

/// Calls of getppid in a report of `spoor syscalls --format json`.
///
/// Errors: something was lost, so that its cost is another.
pub fn spoor_counted(report: &str) -> Result<u64> {
    let report: Value = serde_json::from_str(report.lines().last().context("a report")?)?;
    let lost = report["loss"]["total"].as_u64().context("loss.total")?;
    ensure!(lost == 0, "spoor lost {}", report["loss"]);
    let mut counted = 0;
    for row in report["rows"].as_array().context("rows")? {
        let keys = &row["keys"];
        let comm = keys.get("comm").is_none_or(|comm| comm == crate::worker::COMM);
        if keys["syscall"] == "getppid" && comm {
            let values = row["values"].as_object().context("values")?;
            let value = values.get("count").or_else(|| values.values().next());
            counted += value.and_then(count_of).context("a count, or buckets")?;
        }
    }
    Ok(counted)
}

/// A number, or the sum of buckets.
fn count_of(value: &Value) -> Option<u64> {
    match value.as_array() {
        Some(buckets) => Some(buckets.iter().filter_map(|bucket| bucket["count"].as_u64()).sum()),
        None => value.as_u64(),
    }
}

/// The value, or the sum of the buckets, of the keys that end in getppid's number and begin as the worker is named.
pub fn bpftrace_counted(output: &str) -> Result<u64> {
    const GETPPID: &str = "110";
    let mut counted = 0;
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(map) = line["data"]["@"].as_object() else { continue };
        for (key, value) in map {
            let (comm, number) = key.rsplit_once(',').unwrap_or((crate::worker::COMM, key));
            if number == GETPPID && comm == crate::worker::COMM {
                counted += count_of(value).context("a count, or buckets")?;
            }
        }
    }
    Ok(counted)
}
