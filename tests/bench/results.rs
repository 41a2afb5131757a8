//! The tables of a run as a page for the repository: when, where, of what; and below a mark what is written by hand, which
//! stays.
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use spoor_tests::{Context, Result, binaries};

use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;

const MARK: &str = "<!-- What follows is written by hand, and `bench --results` keeps it. -->";

pub fn write(file: &Path, tables: &[Table], stage: &Stage) -> Result<()> {
    let before = std::fs::read_to_string(file).unwrap_or_default();
    let mut page = head(stage)?;
    tables.iter().for_each(|table| page += &format!("{}\n", table.markdown()));
    Ok(std::fs::write(file, page + &by_hand(&before))?)
}

/// The mark and what is below it.
fn by_hand(before: &str) -> String {
    before.find(MARK).map_or_else(|| format!("{MARK}\n"), |at| before[at..].to_owned())
}

fn head(stage: &Stage) -> Result<String> {
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d"])).context("the date")?;
    let mut page = format!("# What spoor costs, {date}\n\n");
    let _ =
        writeln!(page, "`cargo xtask bench{}`, {} rounds.", if stage.quick { " --quick" } else { "" }, stage.rounds);
    page += "Medians, and the interval that holds the median in 95 of 100 resamplings.\n\n";
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = memory.lines().find_map(|line| line.split_whitespace().nth(1)?.parse().ok()).context("memory")?;
    let _ =
        writeln!(page, "- {} CPUs of {model}, {:.1} GiB of memory", sys::online_cpus(), kib as f64 / (1 << 20) as f64);
    let _ = writeln!(page, "- {}", std::fs::read_to_string("/proc/version")?.split(" (").next().unwrap_or_default());
    let mut versions: Vec<String> = said(Command::new(binaries::spoor()).arg("--version")).into_iter().collect();
    if let Some(folder) = stage.peers {
        for (program, option) in [("bpftrace", "--version"), ("perf", "--version"), ("strace", "-V")] {
            let mut command = Command::new(format!("/usr/bin/{program}"));
            sys::inside(&mut command, folder);
            versions.extend(said(command.arg(option)));
        }
        // Where the peers come from knows those that do not tell theirs.
        let packages = std::fs::read_to_string(folder.join("var/lib/dpkg/status")).unwrap_or_default();
        for package in ["libbpf-tools", "bpfcc-tools"] {
            let about = packages.split("\n\n").find(|about| about.starts_with(&format!("Package: {package}\n")));
            let version = about.and_then(|about| about.lines().find_map(|line| line.strip_prefix("Version: ")));
            versions.extend(version.map(|version| format!("{package} {version}")));
        }
    }
    let _ = writeln!(page, "- {}\n", versions.join(", "));
    Ok(page)
}

/// The first line of what a command says.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_stays() {
        let kept = format!("{MARK}\n\n## What grows\n");
        assert_eq!(by_hand(&format!("# An older run\n{kept}")), kept);
        assert_eq!(by_hand("# A page without the mark\n"), format!("{MARK}\n"));
    }
}
