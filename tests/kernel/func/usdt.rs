//! USDT probes: each is counted, has the arguments that its note says, and is enabled only while somebody traces it.
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use spoor_tests::skip::skip;
use spoor_tests::{Context, Result, Work, binaries, elf, ensure, ensure_eq, func, patience};

use super::{by_key, calls_are, in_workload, library, only_value, traced, traced_of};

crate::tests![
    every_probe_is_counted,
    arguments_are_what_the_note_says,
    a_text_argument_is_a_text,
    a_name_with_two_places_is_one_row,
    an_argument_that_no_probe_has_is_refused,
    a_probe_behind_a_semaphore_is_enabled,
    a_semaphore_is_lowered_at_the_end,
    a_probe_of_a_static_program_is_found,
    a_probe_has_no_return,
    a_name_that_no_probe_has_is_refused,
];

const CALLS: [&str; 4] = ["call", "usdt", "1", "50"];

/// usdt.S has them for one architecture.
fn here() -> Result<()> {
    if cfg!(target_arch = "x86_64") { Ok(()) } else { skip("the tracee has USDT probes for x86_64 only") }
}

fn every_probe_is_counted() -> Result<()> {
    here()?;
    let names = ["none", "registers", "numbered", "stack", "memory", "indexed", "constants", "text", "enabled"];
    let names = names.iter().chain(&["wide", "both", "variable", "float"]).map(|name| (format!("tracee:{name}"), 50));
    let other = [("tracee:twice".to_owned(), 100), ("tracee_other:none".to_owned(), 50)];
    let all: Vec<(String, u64)> = names.chain(other).collect();
    let all: Vec<(&str, u64)> = all.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    calls_are(&traced(&["usdt:libtracee:*:*"], &CALLS)?, &all)?;
    // Of every file of the process.
    calls_are(&traced(&["usdt:tracee_other:none"], &CALLS)?, &[("tracee_other:none", 50)])?;
    calls_are(&traced(&["usdt:libtracee:*:none"], &CALLS)?, &[("tracee:none", 50), ("tracee_other:none", 50)])?;
    for (name, count) in all {
        let run = traced(&[&format!("usdt:{}:{name}", library())], &CALLS)?;
        calls_are(&run, &[(name, count)])?;
    }
    Ok(())
}

/// The value that the probe is passed first, in each of its sizes.
const VALUE: u64 = 0x8182838485868788;
const U8: &str = "136";
const I8: &str = "-120";
const U16: &str = "34696";
const I16: &str = "-30840";
const U32: &str = "2240186248";
const I32: &str = "-2054781048";
const U64: &str = "9332165983064197000";
const I64: &str = "-9114578090645354616";

/// As the note declares them: what is signed there is shown by a cast.
fn arguments_are_what_the_note_says() -> Result<()> {
    here()?;
    ensure_eq!((VALUE.to_string(), (VALUE as i64).to_string()), (U64.into(), I64.into()), "the constants of this test");
    let probes: [(&str, &[&str]); 9] = [
        ("registers", &[U8, I8, U16, I16, U32, I32, U64, I64]),
        ("numbered", &[U8, I16, U32, I64]),
        ("stack", &[U64, I64, U32, I32, U16, I16, U8, I8]),
        ("memory", &["101", "-102", "303"]),
        // 303 * 2^32 + 304; its upper half; (u32)-102.
        ("indexed", &["1301375090992", "303", "4294967194"]),
        ("constants", &["200", "-1", "7", "-5", "18446744073709551615", "-9223372036854775808"]),
        ("enabled", &[U64]),
        ("both", &[U64]),
        ("variable", &["42"]),
    ];
    for (name, values) in probes {
        for (at, value) in values.iter().enumerate() {
            let key = if value.starts_with('-') { format!("(i64)arg{at}") } else { format!("arg{at}") };
            let run = traced(&[&format!("usdt:libtracee:tracee:{name}"), "--by", &key], &["call", "usdt", "1", "1"])?;
            by_key(&run, &key, &[(value, 1)]).with_context(|| format!("argument {at} of {name}"))?;
        }
    }
    // Behind the probe that is enabled or not.
    for (probes, enabled) in [(&["usdt:tracee:wide"][..], "0"), (&["usdt:tracee:wide", "usdt:tracee:enabled"], "1")] {
        let by = ["--by", "(i64)arg0", "--agg", "count()"];
        let run = traced(&[probes, &by].concat(), &["call", "usdt", "1", "1"])?;
        ensure_eq!(run.report()?.sum("count()")?, probes.len() as i64, "probes in {run}");
        ensure_eq!(run.did("sum")?.to_string(), enabled, "whether it was enabled");
    }
    let run = traced(&["usdt:tracee:wide", "--by", "arg1"], &CALLS)?;
    by_key(&run, "arg1", &[("0", 50)])
}

fn a_text_argument_is_a_text() -> Result<()> {
    here()?;
    let run = traced(&["usdt:libtracee:tracee:text", "--by", "str(arg0)"], &CALLS)?;
    by_key(&run, "str(arg0)", &[("text", 50)])?;
    let run = traced(&["usdt:libtracee:tracee:text", "--where", "str(arg0) != \"te*\""], &CALLS)?;
    calls_are(&run, &[])
}

/// The one has its argument in a register, the other in memory.
fn a_name_with_two_places_is_one_row() -> Result<()> {
    here()?;
    let run = traced(&["usdt:libtracee:tracee:twice"], &CALLS)?;
    calls_are(&run, &[("tracee:twice", 100)])?;
    let run = traced(&["usdt:libtracee:tracee:twice", "--by", "arg0"], &["call", "usdt", "1", "2"])?;
    by_key(&run, "arg0", &[(U64, 2), ("9332165983064197001", 2)])
}

/// Not the register that a function would have it in.
fn an_argument_that_no_probe_has_is_refused() -> Result<()> {
    here()?;
    let work = Work::dynamic(&CALLS)?;
    // None at all; only two; a floating point number.
    for (name, argument) in [("none", 0), ("wide", 2), ("float", 0)] {
        let (pattern, argument) = (format!("usdt:libtracee:tracee:{name}"), format!("arg{argument}"));
        let run = func(&[&pattern, "--by", &argument, "-p", &work.pid()]).run()?;
        run.refused(2, &[&format!("tracee:{name} is not traced: it has no `{argument}`")])?;
    }
    drop(work);
    // Those that have it go on.
    let run = traced(&["usdt:libtracee:tracee:*", "--by", "func", "--where", "arg6 == 0 || arg6 != 0"], &CALLS)?;
    calls_are(&run, &[("tracee:registers", 50), ("tracee:stack", 50)])?;
    ensure!(run.stderr.contains("tracee:none is not traced: it has no `arg6`"), "not said: {run}");
    Ok(())
}

/// The workload says how often it was: each of the first 50 calls, none of the second.
fn a_probe_behind_a_semaphore_is_enabled() -> Result<()> {
    here()?;
    let run = traced(&["usdt:libtracee:tracee:enabled"], &CALLS)?;
    calls_are(&run, &[("tracee:enabled", 50)])?;
    ensure_eq!(run.did("sum")?, 50, "times that it was enabled in {run}");
    let run = traced(&["usdt:libtracee:tracee:none"], &CALLS)?;
    ensure_eq!(run.did("sum")?, 0, "times that another probe enabled it in {run}");
    let work = in_workload(&CALLS)?;
    let run = traced_of(work, &["usdt:tracee:enabled", "--agg", "sum((i64)arg0 - (i64)arg0 + 1)"])?;
    ensure_eq!(only_value(&run, "sum((i64)arg0 - (i64)arg0 + 1)")?, 50, "calls of {run}");
    ensure_eq!(run.did("sum")?, 50, "times that it was enabled in {run}");
    Ok(())
}

/// By Ctrl-C and by SIGKILL, in a process that lives on and calls it then.
fn a_semaphore_is_lowered_at_the_end() -> Result<()> {
    here()?;
    for kill in [false, true] {
        let mut work = Work::dynamic(&CALLS)?;
        let semaphore = Semaphore::of(&work.pid(), "tracee_enabled_semaphore")?;
        ensure_eq!(semaphore.read()?, 0, "the semaphore before");
        let mut trace = func(&["usdt:libtracee:tracee:enabled", "-p", &work.pid()]).start()?;
        ensure_eq!(semaphore.read()?, 1, "the semaphore while it is traced");
        if kill {
            trace.process.kill();
        } else {
            trace.interrupt()?;
        }
        let end = Instant::now() + patience();
        while semaphore.read()? != 0 {
            ensure!(Instant::now() < end, "the semaphore stays at {}", semaphore.read()?);
            std::thread::yield_now();
        }
        ensure_eq!(work.run()?["sum"], 0, "times that it was enabled when nobody traced");
        work.end()?;
    }
    Ok(())
}

/// A counter of 16 bits in a process's memory.
struct Semaphore {
    memory: File,
    address: u64,
}

impl Semaphore {
    fn of(pid: &str, symbol: &str) -> Result<Semaphore> {
        let at = elf::file_offset(&binaries::tracee_library(), symbol)?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        // `START-END rw-p OFFSET DEVICE INODE PATH`.
        let place = |line: &str| -> Option<u64> {
            let mut words = line.split_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let is_writable = words.next()?.starts_with("rw");
            let [start, end, offset] = [start, end, words.next()?].map(|hex| u64::from_str_radix(hex, 16).unwrap_or(0));
            let address = (start + at).checked_sub(offset)?;
            (is_writable && (start..end).contains(&address)).then_some(address)
        };
        let address = maps.lines().filter(|line| line.ends_with("/libtracee.so")).find_map(place);
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        Ok(Semaphore { memory, address: address.with_context(|| format!("{symbol} is mapped nowhere: {maps}"))? })
    }

    fn read(&self) -> Result<u16> {
        let mut bytes = [0; 2];
        self.memory.read_exact_at(&mut bytes, self.address).context("read the semaphore")?;
        Ok(u16::from_ne_bytes(bytes))
    }
}

fn a_probe_of_a_static_program_is_found() -> Result<()> {
    here()?;
    let run = traced_of(in_workload(&CALLS)?, &["usdt:workload:tracee:both", "--by", "func,module"])?;
    let row = run.report()?.row(&[("func", "tracee:both"), ("module", "workload")])?;
    ensure_eq!(row.count()?, 50, "calls in {run}");
    Ok(())
}

fn a_probe_has_no_return() -> Result<()> {
    here()?;
    let work = Work::dynamic(&CALLS)?;
    func(&["-L", "usdt:tracee:none", "-p", &work.pid()]).run()?.refused(2, &["`tracee:none`", "does not return"])
}

fn a_name_that_no_probe_has_is_refused() -> Result<()> {
    here()?;
    let work = Work::dynamic(&CALLS)?;
    let run = func(&["usdt:libtracee:tracee:no_such", "-p", &work.pid()]).run()?;
    run.refused(1, &["no USDT probe `tracee:no_such`"])
}
