//! `cargo xtask test`: the workspace in, one line per stage out.
//! Stages: host (unit tests), cli (package spoor-tests, no root), kernel here, kernel in each guest.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::vm::{self, KERNELS, Kernel, Rsyslog};

mod guests;
mod host;
mod kernel;
mod program;
mod stage;
mod tally;

use stage::Stage;

#[derive(clap::Args)]
pub struct Args {
    /// Leave out the guests
    #[arg(long)]
    no_vm: bool,
    /// Only the kernel tests, and only on this kernel: here, 5.10, 6.1, 6.12 or newest
    #[arg(long, value_name = "NAME", conflicts_with = "no_vm", value_parser = kernel_name)]
    kernel: Vec<String>,
    /// Arguments for the kernel tests, here and in the guests, such as parts of tests' names: `names::,counts::`.
    /// Without them SPOOR_FILTER holds such parts
    #[arg(last = true, value_name = "ARG")]
    rest: Vec<String>,
}

const HERE: &str = "here";
/// The kernel tests read it themselves, but no guest has our environment.
const FILTER: &str = "SPOOR_FILTER";

pub fn run(args: &Args) -> ExitCode {
    let started = Instant::now();
    let stages = stages(args);
    let (text, total) = stage::summary(&stages);
    println!("\n{} s in all\n{text}", started.elapsed().as_secs());
    // No error line: the totals are the last line, whatever they are.
    if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn stages(args: &Args) -> Vec<Stage> {
    let rest = for_tests(&args.rest, env::var(FILTER).ok());
    let only = |name: &str| args.kernel.is_empty() || args.kernel.iter().any(|only| only == name);
    let kernels: Vec<&'static Kernel> = KERNELS.iter().filter(|kernel| only(kernel.name)).collect();
    let no_guest = if args.no_vm { Some("--no-vm".to_owned()) } else { vm::unavailable() };

    // Packages come over the network while the tests before the guests use the CPUs.
    let wanted = no_guest.is_none() && !kernels.is_empty();
    let fetching = wanted.then(|| {
        let kernels = kernels.clone();
        thread::spawn(move || guests::fetch(&kernels))
    });
    let fetching_rsyslog = vm::unavailable().is_none().then(|| thread::spawn(Rsyslog::fetch));
    let mut stages = Vec::new();
    if args.kernel.is_empty() {
        stages.push(host::unit_tests());
    }
    let started = Instant::now();
    let mut programs = match kernel::build() {
        Ok(programs) => programs,
        Err(error) => {
            stages.push(Stage::failed("static programs", format!("{error:#}"), started.elapsed()));
            return stages;
        }
    };
    if let Some(fetching) = fetching_rsyslog {
        match fetching.join().expect("fetch returns errors, it does not panic") {
            Ok(rsyslog) => programs.rsyslog = Some(rsyslog),
            Err(error) => stages.push(Stage::failed("rsyslogd", format!("{error:#}"), Duration::ZERO)),
        }
    }
    if args.kernel.is_empty() {
        stages.push(host::cli_tests(&programs));
    }
    if only(HERE) {
        stages.push(kernel::run_here(&programs, &rest));
    }
    if let Some(fetching) = fetching {
        let fetched = fetching.join().expect("fetch returns errors, it does not panic");
        stages.extend(guests::run(fetched, &programs, &rest));
    }
    if let Some(why) = no_guest {
        let skipped = |kernel: &&Kernel| Stage::skipped(format!("kernel {}", kernel.name), why.as_str());
        stages.extend(kernels.iter().map(skipped));
    }
    stages
}

fn kernel_name(name: &str) -> Result<String, String> {
    let names: Vec<_> = [HERE].into_iter().chain(KERNELS.iter().map(|kernel| kernel.name)).collect();
    if names.contains(&name) { Ok(name.into()) } else { Err(format!("one of {}", names.join(", "))) }
}

fn for_tests(typed: &[String], filter: Option<String>) -> Vec<String> {
    match filter {
        Some(filter) if typed.is_empty() && !filter.is_empty() => vec![filter],
        _ => typed.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_the_environment_reaches_guests_where_no_argument_was_typed() {
        let filter = || Some("names::".to_owned());
        assert_eq!(for_tests(&[], filter()), ["names::"]);
        assert_eq!(for_tests(&["--exact".to_owned()], filter()), ["--exact"]);
        assert!(for_tests(&[], Some(String::new())).is_empty());
        assert!(for_tests(&[], None).is_empty());
    }
}
