//! One boot: a kernel and an initramfs in, what /init printed and how it ended out.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Image, Qemu};
use crate::watch::{Watched, watch};

/// /init prints it when it has mounted what it needs (tests/src/vm.rs), before any test.
const STARTED: &str = "vm: Linux ";
/// /init prints it last, followed by its exit code.
const EXITED: &str = "SPOOR-VM-EXIT ";

/// The tests take 120 to 240 s with two guests at once, and took 640 s on a machine that was three times overbooked.
const LIMIT: Duration = Duration::from_secs(1500);

pub struct Run {
    pub lines: Vec<String>,
    /// `None`: the guest died or was killed before /init said how it ended.
    pub code: Option<i32>,
    pub timed_out: bool,
}

/// Boots and waits for the end; once more if /init was not reached, which is not spoor's doing.
pub fn run(
    qemu: &Qemu,
    image: &Image,
    initramfs: &Path,
    append: &str,
    init_args: &[String],
    prefix: &str,
) -> Result<Run> {
    let append = command_line(append, init_args);
    for attempt in [1, 2] {
        let watched = watch(qemu.command().args(arguments(image, initramfs, &append)), prefix, LIMIT)?;
        if started(&watched.lines) {
            return Ok(Run {
                code: exit_code(&watched.lines),
                timed_out: watched.status.is_none(),
                lines: watched.lines,
            });
        }
        println!("{prefix}attempt {attempt}: the guest did not reach /init: {}", why(&watched));
    }
    bail!("the guest did not reach /init in two boots")
}

/// What the kernel and, behind `--`, what /init shall know.
fn command_line(append: &str, init_args: &[String]) -> String {
    let mut line = format!("console=ttyS0 panic=-1 quiet {append}").trim_end().to_owned();
    if !init_args.is_empty() {
        line += &format!(" -- {}", init_args.join(" "));
    }
    line
}

fn arguments(image: &Image, initramfs: &Path, append: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    // TCG: KVM may be missing, and a test that passes only with it would be worth little.
    for arg in ["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1G", "-nic", "none"] {
        args.push(arg.into());
    }
    for arg in ["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"] {
        args.push(arg.into());
    }
    args.extend(["-kernel".into(), image.vmlinuz.clone().into()]);
    args.extend(["-initrd".into(), initramfs.into()]);
    args.extend(["-append".into(), append.into()]);
    args
}

fn started(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains(STARTED))
}

fn exit_code(lines: &[String]) -> Option<i32> {
    // A kernel message may stand before it on the line.
    let said = lines.iter().rev().find_map(|line| Some(line.split_once(EXITED)?.1))?;
    said.trim().parse().ok()
}

fn why(watched: &Watched) -> String {
    match watched.status {
        None => format!("killed after {} s", LIMIT.as_secs()),
        Some(status) => format!("QEMU: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn exit_code_is_the_last_one_said_and_none_without_it() {
        assert_eq!(exit_code(&lines("vm: Linux 6.1\nSPOOR-VM-EXIT 101")), Some(101));
        assert_eq!(exit_code(&lines("[ 3.1] a warning SPOOR-VM-EXIT 0\n")), Some(0));
        assert_eq!(exit_code(&lines("vm: Linux 6.1\nKernel panic")), None);
    }

    #[test]
    fn arguments_of_init_stand_behind_those_of_the_kernel() {
        let args = ["names::".to_owned(), "--exact".to_owned()];
        assert_eq!(command_line("preempt=full", &args), "console=ttyS0 panic=-1 quiet preempt=full -- names:: --exact");
        assert_eq!(command_line("", &[]), "console=ttyS0 panic=-1 quiet");
    }

    #[test]
    fn a_guest_that_panics_before_init_has_not_started() {
        assert!(!started(&lines("SeaBIOS\n[ 0.1] Kernel panic - not syncing")));
        assert!(started(&lines("SeaBIOS\n[ 0.1] noise vm: Linux 6.1")));
    }
}
