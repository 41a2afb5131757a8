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
mod udp;
mod udp_account;
mod udp_asked;
mod udp_net;
mod udp_rsyslog;
mod where_;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

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
    func::rate::TESTS,
    func::files::TESTS,
    func::ends::TESTS,
    func::usdt::TESTS,
    func::tracepoints::TESTS,
    func::kernel::TESTS,
    func::lines::TESTS,
    udp_net::TESTS,
    udp::TESTS,
    udp_asked::TESTS,
    udp_account::TESTS,
    udp_rsyslog::TESTS,
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
    let trials = match args.filter.take_if(|filter| filter.contains([',', '*'])) {
        Some(filter) => filter.split(',').filter(|part| !part.is_empty()).flat_map(picked).collect(),
        None => tests().map(|(name, test)| trial(name, test, false)).collect(),
    };
    libtest_mimic::run(&args, trials)
}

/// With the names that people read.
fn tests() -> impl Iterator<Item = (String, fn() -> Result<()>)> {
    let name = |name: &str| name.trim_start_matches("kernel::").replace("where_::", "where::");
    TOPICS.iter().copied().flatten().map(move |(long, test)| (name(long), *test))
}

/// What one part of a filter picks, as often as it says.
fn picked(part: &str) -> Vec<Trial> {
    let (wanted, times) = match part.split_once('*') {
        Some((wanted, times)) => (wanted, times.parse().ok()),
        None => (part, None),
    };
    let again = 0..times.unwrap_or(1);
    let all = again.flat_map(|_| tests()).filter(|(name, _)| name.contains(wanted));
    all.map(|(name, test)| trial(name, test, times.is_some())).collect()
}

/// Of thousands of exact numbers, on two CPUs that two emulated kernels share, one is off now and then. So a test that fails
/// may run once more, and the summary of `cargo xtask test` names it with what went wrong. Not many may: then it is spoor.
const SECOND_CHANCES: u32 = 3;

static CHANCES_TAKEN: AtomicU32 = AtomicU32::new(0);

fn twice(name: &str, test: fn() -> Result<()>) -> Result<()> {
    match test() {
        Err(error) if !error.is::<Skip>() && CHANCES_TAKEN.fetch_add(1, Ordering::Relaxed) < SECOND_CHANCES => {
            let reason = format!("{error:#}").replace('\n', " ");
            // The name of the test stands on this line already.
            println!("\nunstable {name}: {reason}");
            test()
        }
        result => result,
    }
}

fn trial(name: String, test: fn() -> Result<()>, repeated: bool) -> Trial {
    Trial::ignorable_test(name.clone(), move || {
        if !sys::is_root() {
            return Ok(Completion::ignored_with("needs root"));
        }
        match if repeated { test() } else { twice(&name, test) } {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => Ok(Completion::ignored_with(&skip.0)),
                None => Err(Failed::from(format!("{error:#}"))),
            },
        }
    })
}
