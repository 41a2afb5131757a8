//! The kernel tests in every guest: kernels and programs in, one stage per boot out.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use super::kernel::Programs;
use super::stage::Stage;
use super::tally;
use crate::paths;
use crate::vm::{self, Image, Kernel, Qemu, Run};

/// A guest boots on one CPU for most of the time, and has two.
const AT_ONCE: usize = 2;

/// What came by apt, or why it did not.
pub struct Fetched {
    qemu: Result<Qemu>,
    images: Vec<(&'static Kernel, Result<Image>)>,
}

struct Boot {
    name: String,
    image: Image,
    initramfs: PathBuf,
    append: &'static str,
}

impl Boot {
    /// Lines of two guests come at the same time.
    fn prefix(&self) -> String {
        let name = self.name.trim_start_matches("kernel ");
        format!("{}| ", name.split_once(" (").map_or(name, |(name, _)| name))
    }
}

pub fn fetch(kernels: &[&'static Kernel]) -> Fetched {
    let qemu = Qemu::find();
    let images = kernels.iter().map(|kernel| (*kernel, Image::fetch(kernel))).collect();
    Fetched { qemu, images }
}

/// Runs every boot; the stages come in the order of the kernels.
pub fn run(fetched: Fetched, programs: &Programs, args: &[String]) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut boots = Vec::new();
    for (kernel, image) in fetched.images {
        match image.and_then(|image| boots_of(kernel, &image, programs)) {
            Ok(of_kernel) => boots.extend(of_kernel),
            Err(error) => stages.push(failed(&format!("kernel {}", kernel.name), &error)),
        }
    }
    match fetched.qemu {
        Ok(qemu) => {
            println!("QEMU {}", qemu.version);
            stages.extend(run_all(&boots, |boot| {
                let started = Instant::now();
                let run = vm::run(&qemu, &boot.image, &boot.initramfs, boot.append, args, &boot.prefix());
                run.map_or_else(|error| failed(&boot.name, &error), |run| stage(boot, &run, started.elapsed()))
            }));
        }
        Err(error) => stages.extend(boots.iter().map(|boot| failed(&boot.name, &error))),
    }
    stages
}

/// What a guest has besides /init: programs, what the dynamic one of them is loaded with, and modules of its kernel.
fn files(programs: &Programs, image: &Image) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for (name, path) in [("spoor", &programs.spoor), ("workload", &programs.workload), ("tracee", &programs.tracee)] {
        files.push((format!("bin/{name}"), path.clone()));
    }
    let beside = programs.tracee.parent().context("a program lies in a folder")?;
    files.extend(vm::libraries(&programs.tracee, beside, "bin")?);
    if let Some(rsyslog) = &programs.rsyslog {
        files.extend(rsyslog.files("rsyslog")?);
    }
    for module in &image.modules {
        let name = module.file_name().context("a module has a name")?;
        files.push((format!("lib/modules/{}", name.to_string_lossy()), module.clone()));
    }
    // Programs share libraries.
    files.sort();
    files.dedup();
    Ok(files)
}

/// The boots of one kernel: as Debian configures it, and fully preemptible where it can be.
fn boots_of(kernel: &Kernel, image: &Image, programs: &Programs) -> Result<Vec<Boot>> {
    let initramfs = paths::target(&format!("vm/initramfs-{}.cpio", kernel.suite));
    vm::pack(&initramfs, &programs.kernel_tests, &files(programs, image)?).context("make the initramfs")?;
    let boot = |more: &str, append| Boot {
        name: format!("kernel {}{more} ({})", kernel.name, image.release),
        image: image.clone(),
        initramfs: initramfs.clone(),
        append,
    };
    let mut boots = vec![boot("", "")];
    if kernel.preempt_full {
        boots.push(boot(" preempt=full", "preempt=full"));
    }
    Ok(boots)
}

/// Runs `AT_ONCE` boots at a time.
fn run_all(boots: &[Boot], run: impl Fn(&Boot) -> Stage + Sync) -> Vec<Stage> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(boot) = boots.get(number) else { break };
                    let stage = run(boot);
                    done.lock().expect("no boot panics").push((number, stage));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no boot panics");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, stage)| stage).collect()
}

fn stage(boot: &Boot, run: &Run, took: Duration) -> Stage {
    let told = tally::counts(&run.lines).is_some_and(|counts| counts.failed > 0);
    let trouble = match run.code {
        _ if run.timed_out => Some("killed at the time limit".to_owned()),
        None => Some("the guest died before the tests ended".to_owned()),
        Some(code) if code != 0 && !told => Some(format!("exit code {code}")),
        Some(_) => None,
    };
    Stage::ran(&boot.name, &run.lines, trouble, took)
}

fn failed(name: &str, error: &Error) -> Stage {
    Stage::failed(name, format!("{error:#}"), Duration::ZERO)
}
