//! The tests that need root and a kernel: the real `spoor` on the real workload, exact numbers.
//! One file a topic. As PID 1 this is all that a virtual machine runs: it mounts what it needs, tests, prints
//! `SPOOR-VM-EXIT CODE` and powers off. Arguments pick tests by name, there those behind `--` on the kernel's command
//! line; so does `SPOOR_FILTER`. Parts of several names have commas between them: `counts::,names::`. Behind a part,
//! `*20` runs what it picks 20 times: what fails now and then shows itself.
mod aggregations;
mod command;
mod compat;
mod counts;
mod differential;
mod errors;
mod events;
mod exits;
mod full_map;
mod func;
mod keys;
mod latency;
mod loss;
mod names;
mod offcpu;
mod output;
mod preempt;
mod profile;
mod sigreturn;
mod stacks;
mod target;
mod threads;
mod tracee;
mod twice_returning;
mod where_;

use std::process::ExitCode;

use libtest_mimic::{Arguments, ColorSetting, Completion, Conclusion, Failed, Trial};
use spoor_tests::skip::Skip;
use spoor_tests::{Result, sys, vm};

pub type Test = (&'static str, fn() -> Result<()>);

/// Names with their functions: `tests![a, b]`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub const TESTS: &[$crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}

const TOPICS: &[&[Test]] = &[
    counts::TESTS,
    twice_returning::TESTS,
    exits::TESTS,
    sigreturn::TESTS,
    compat::TESTS,
    latency::TESTS,
    target::TESTS,
    threads::TESTS,
    command::TESTS,
    keys::TESTS,
    aggregations::TESTS,
    where_::TESTS,
    full_map::TESTS,
    events::TESTS,
    loss::TESTS,
    output::TESTS,
    errors::TESTS,
    preempt::TESTS,
    profile::TESTS,
    offcpu::TESTS,
    stacks::TESTS,
    names::TESTS,
    tracee::TESTS,
    func::calls::TESTS,
    func::returns::TESTS,
    func::names::TESTS,
    func::files::TESTS,
    func::ends::TESTS,
    func::usdt::TESTS,
    func::tracepoints::TESTS,
    func::kernel::TESTS,
    differential::TESTS,
];

extern "C" fn before_main() {
    vm::early();
}

/// Called by the C library before Rust's runtime starts.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

fn main() -> ExitCode {
    if vm::is_init() {
        vm::set_up();
        // What stands behind `--` on the kernel's command line.
        let mut args = arguments();
        // The console is a terminal to us, but its reader is a program.
        args.color = Some(ColorSetting::Never);
        let result = std::panic::catch_unwind(|| run(args));
        vm::power_off(result.map_or(101, |conclusion| conclusion.has_failed() as u8 * 101));
    }
    run(arguments()).exit_code()
}

fn arguments() -> Arguments {
    let mut args = Arguments::from_args();
    if args.filter.is_none() {
        args.filter = std::env::var("SPOOR_FILTER").ok();
    }
    args
}

/// One test at a time: some fill every CPU, some look at the whole machine.
fn run(mut args: Arguments) -> Conclusion {
    args.test_threads.get_or_insert(1);
    let all = || TOPICS.iter().copied().flatten().map(|(name, test)| trial(name, *test));
    let trials = match args.filter.take_if(|filter| filter.contains([',', '*'])) {
        Some(filter) => {
            filter.split(',').filter(|part| !part.is_empty()).flat_map(|part| picked(part, all())).collect()
        }
        None => all().collect(),
    };
    libtest_mimic::run(&args, trials)
}

/// What one part of a filter picks, as often as it says.
fn picked(part: &str, all: impl Iterator<Item = Trial> + Clone) -> impl Iterator<Item = Trial> {
    let (name, times) = match part.split_once('*') {
        Some((name, times)) => (name, times.parse().unwrap_or(1)),
        None => (part, 1),
    };
    std::iter::repeat_n(all.filter(move |trial| trial.name().contains(name)), times).flatten()
}

fn trial(name: &str, test: fn() -> Result<()>) -> Trial {
    let name = name.trim_start_matches("kernel::").replace("where_::", "where::");
    Trial::ignorable_test(name, move || {
        if !sys::is_root() {
            return Ok(Completion::ignored_with("needs root"));
        }
        match test() {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => Ok(Completion::ignored_with(&skip.0)),
                None => Err(Failed::from(format!("{error:#}"))),
            },
        }
    })
}
