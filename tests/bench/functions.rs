//! `spoor func` of many functions: on and off again; and to find them in a large file.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use spoor_tests::{Context, Result, binaries, elf, ensure};

use crate::floor::Floor;
use crate::once::{ms, push};
use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;
use crate::tool::Tool;

/// About 500 functions of the C library, some of which nobody calls, and whose returns can all be waited for; and one.
const MANY: [&str; 4] = ["f*", "get*", "si*", "st*"];
const ONE: &str = "getppid";

#[derive(Clone, Copy)]
enum Who {
    Spoor {
        latency: bool,
    },
    /// Programs that do nothing, linked and unlinked by the bench: what of it is the kernel's.
    Kernel {
        returns: bool,
    },
    /// `by`: what its map has as key. One program serves all of them unless that is the probe.
    Bpftrace {
        by: &'static str,
    },
}

const CONTENDERS: [(&str, Who); 5] = [
    ("kernel alone", Who::Kernel { returns: false }),
    ("kernel alone, with returns", Who::Kernel { returns: true }),
    ("spoor", Who::Spoor { latency: false }),
    ("spoor -L", Who::Spoor { latency: true }),
    ("bpftrace, @[func]", Who::Bpftrace { by: "func" }),
];

/// Few enough to be waited for: they are taken off one by one.
const BY_PROBE: (&str, Who, [&str; 1]) = ("bpftrace, @[probe], str*", Who::Bpftrace { by: "probe" }, ["str*"]);

/// One start and end.
#[derive(Clone, Copy)]
struct Times {
    starting_ms: f64,
    ending_ms: f64,
    /// All that the tool had.
    cpu_ms: Option<f64>,
    points: u64,
}

/// From exec to attached and from SIGINT to exit, less what one function takes; in the worker, which calls none of them.
pub fn attach(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("func-attach");
    table
        .notes
        .push("on: exec to attached; off: SIGINT to exit. Of the kernel alone: a link, and the end of it".to_owned());
    let (mut ones, mut many) = (vec![Vec::new(); CONTENDERS.len()], vec![Vec::new(); CONTENDERS.len()]);
    for round in 0..stage.rounds {
        for turn in 0..CONTENDERS.len() {
            let at = (turn + round) % CONTENDERS.len();
            let (name, who) = CONTENDERS[at];
            if matches!(who, Who::Bpftrace { .. }) && stage.peers.is_none() {
                continue;
            }
            ones[at].push(one(who, &[ONE], stage).with_context(|| format!("{name} of {ONE}"))?);
            many[at].push(one(who, &MANY, stage).context(name)?);
        }
        eprint!("\rfunc-attach: round {} of {}\x1b[K", round + 1, stage.rounds);
    }
    for ((name, who), (ones, many)) in CONTENDERS.iter().zip(ones.iter().zip(&many)) {
        let Some(points) = many.first().map(|first| first.points) else { continue };
        let goal = |at_most: f64| matches!(who, Who::Spoor { .. }).then_some(at_most);
        let mut lines = |what: &str, of: fn(&Times) -> Option<f64>, at_most: Option<f64>| {
            let pairs = ones.iter().zip(many);
            let (ones, many): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(one, many)| of(one).zip(of(many))).unzip();
            push(&mut table, &format!("{name}: {what}, 1 function"), "ms", &ones, None);
            push(&mut table, &format!("{name}: {what}, {points} functions"), "ms", &many, None);
            let more: Vec<f64> = many.iter().zip(&ones).map(|(many, one)| many - one).collect();
            push(&mut table, &format!("{name}: {what}, {points} less 1"), "ms", &more, at_most);
        };
        lines("on", |times| Some(times.starting_ms), goal(50.0));
        lines("off", |times| Some(times.ending_ms), goal(100.0));
        lines("CPU in all", |times| times.cpu_ms, None);
    }
    if stage.peers.is_some() && !stage.quick {
        let (name, who, patterns) = BY_PROBE;
        let times = one(who, &patterns, stage).context(name)?;
        let name = format!("{name}, {} functions", times.points);
        push(&mut table, &format!("{name}: exec to attached"), "ms", &[times.starting_ms], None);
        push(&mut table, &format!("{name}: SIGINT to exit"), "ms", &[times.ending_ms], None);
    }
    eprintln!("\r\x1b[K");
    Ok(table)
}

/// A library with more functions than others, and patterns for about 1, 100, 500 and 5,000 of them.
const LARGE: &str = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3";
const SIZES: [&str; 4] = ["BN_new", "RSA_*", "X509_*", "*"];

/// How attaching and detaching grow with the number of points, in the worker, which has not loaded the library.
pub fn points(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("func-points");
    table.notes.push(format!("on: exec to attached; off: SIGINT to exit; `spoor func -p PID {LARGE}:PATTERN`"));
    if !Path::new(LARGE).exists() {
        table.notes.push("the library is not here".to_owned());
        return Ok(table);
    }
    let sizes = if stage.quick { &SIZES[..2] } else { &SIZES[..] };
    for pattern in sizes {
        for name in ["spoor", "bpftrace"] {
            let mut times = Vec::new();
            for _ in 0..stage.rounds.min(if stage.quick { 1 } else { 5 }) {
                let pid = stage.worker.pid();
                let (tool, points) = match (name, stage.peers) {
                    ("spoor", _) => {
                        let pattern = format!("{LARGE}:{pattern}");
                        let args = ["func", "-p", &pid.to_string(), &pattern, "--max-probes", "10000"];
                        (Tool::spoor(&args.map(str::to_owned), false)?, "spoor: tracing ")
                    }
                    (_, Some(peers)) => {
                        let probe = format!("uprobe:/proc/{pid}/root{LARGE}:{pattern}");
                        let program = format!("config = {{ max_probes = 10000 }} {probe} {{ @[func] = count(); }}");
                        (Tool::bpftrace(peers, &program, Some(pid), false)?, r#"{"type": "attached_probes", "count": "#)
                    }
                    (_, None) => break,
                };
                times.push(times_of(tool, points)?);
            }
            let Some(points) = times.first().map(|times| times.points) else { continue };
            let mut lines = |what: &str, of: fn(&Times) -> Option<f64>| {
                let all: Vec<f64> = times.iter().filter_map(of).collect();
                push(&mut table, &format!("{name}: {what}, {points} functions"), "ms", &all, None);
            };
            lines("on", |times| Some(times.starting_ms));
            lines("off", |times| Some(times.ending_ms));
            lines("CPU in all", |times| times.cpu_ms);
        }
        eprint!("\rfunc-points: {pattern}\x1b[K");
    }
    eprintln!("\r\x1b[K");
    Ok(table)
}

fn one(who: Who, patterns: &[&str], stage: &Stage) -> Result<Times> {
    let pid = stage.worker.pid();
    let (tool, points) = match who {
        Who::Kernel { returns } => {
            let prefixes = patterns.iter().map(|pattern| pattern.trim_end_matches('*')).collect::<Vec<_>>();
            let libc = PathBuf::from(libc_of(pid)?);
            let is_one = patterns == [ONE];
            let offsets = elf::function_offsets(&libc, |name| match is_one {
                true => name == ONE,
                false => prefixes.iter().any(|prefix| name.starts_with(prefix)),
            })?;
            sys::unpin()?;
            let begun = Instant::now();
            let floor = Floor::on_functions(&libc, &offsets, pid, returns)?;
            let starting_ms = ms(begun.elapsed());
            let begun = Instant::now();
            drop(floor);
            let (ending_ms, points) = (ms(begun.elapsed()), offsets.len() as u64);
            return Ok(Times { starting_ms, ending_ms, cpu_ms: None, points });
        }
        Who::Spoor { latency } => {
            let mut args: Vec<String> = ["func", "-p"].map(str::to_owned).to_vec();
            args.push(pid.to_string());
            args.extend(latency.then(|| "-L".to_owned()));
            args.extend(patterns.iter().map(|pattern| format!("libc:{pattern}")));
            let tool = Tool::spoor(&args, false)?;
            (tool, "spoor: tracing ")
        }
        Who::Bpftrace { by } => {
            let libc = libc_of(pid)?;
            let probes: Vec<String> =
                patterns.iter().map(|pattern| format!("uprobe:/proc/{pid}/root{libc}:{pattern}")).collect();
            let program = format!("{} {{ @[{by}] = count(); }}", probes.join(","));
            let tool = Tool::bpftrace(stage.peers.context("there are no peers")?, &program, Some(pid), false)?;
            (tool, r#"{"type": "attached_probes", "count": "#)
        }
    };
    times_of(tool, points)
}

/// Of a tool that is attached; its number of points stands behind `points`.
fn times_of(tool: Tool, points: &str) -> Result<Times> {
    let starting_ms = ms(tool.since_start());
    let end = tool.interrupt()?;
    let said = end.stderr.lines().chain(end.stdout.lines()).find_map(|line| line.strip_prefix(points));
    let digits = said.and_then(|said| said.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let cpu_ms = Some(ms(end.usage.cpu));
    Ok(Times { starting_ms, ending_ms: ms(end.ending), cpu_ms, points: digits.context("how many points")? })
}

/// Where the C library is that a process has loaded.
fn libc_of(pid: u32) -> Result<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    Ok(paths.into_iter().find(|path| path.contains("/libc.so")).context("a C library")?.to_owned())
}

/// All functions of the largest library at hand: `SPOOR_BENCH_LIBRARY`, or the compiler's.
pub fn list(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("func-list");
    let library = library().context("a large library: SPOOR_BENCH_LIBRARY names one")?;
    let bytes = std::fs::metadata(&library)?.len();
    let spoor = |pattern: &str| {
        let mut command = Command::new(binaries::spoor());
        command.arg("list").arg(format!("{}:{pattern}", library.display()));
        command
    };
    let bpftrace = |folder: &Path| {
        let mut command = Command::new("/usr/bin/bpftrace");
        sys::inside(&mut command, folder);
        command.arg("-l").arg(format!("uprobe:/proc/{}/root{}:*", stage.worker.pid(), library.display()));
        command
    };
    table.notes.push(format!("{}, {} MB", library.display(), bytes / 1_000_000));
    let mut listers = vec![("spoor list '*'", Some(spoor("*"))), ("spoor list 'rustc_*'", Some(spoor("rustc_*")))];
    listers.push(("bpftrace -l '*'", stage.peers.map(bpftrace)));
    for (name, command) in &mut listers {
        let Some(command) = command else { continue };
        let listed = command.output()?;
        ensure!(listed.status.success(), "{name}: {}", String::from_utf8_lossy(&listed.stderr));
        let lines = listed.stdout.iter().filter(|byte| **byte == b'\n').count();
        ensure!(lines > 0, "{name}: nothing");
        table.notes.push(format!("{name}: {lines} lines"));
    }
    let mut samples = vec![Vec::new(); listers.len()];
    for round in 0..stage.rounds {
        for turn in 0..listers.len() {
            let at = (turn + round) % listers.len();
            if let Some(command) = &mut listers[at].1 {
                samples[at].push(seconds(command)?);
            }
        }
        eprint!("\rfunc-list: round {} of {}\x1b[K", round + 1, stage.rounds);
    }
    eprintln!("\r\x1b[K");
    for (at, ((name, _), samples)) in listers.iter().zip(&samples).enumerate() {
        push(&mut table, name, "s", samples, (at == 0).then_some(0.25));
    }
    Ok(table)
}

/// From before fork and exec to the end.
fn seconds(command: &mut Command) -> Result<f64> {
    sys::unpin()?;
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "{:?}: {status}", command.get_program());
    Ok(took)
}

fn library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SPOOR_BENCH_LIBRARY") {
        return Some(path.into());
    }
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")))?;
    let folders = std::fs::read_dir(home.join("toolchains")).ok()?;
    let files = folders.filter_map(|folder| std::fs::read_dir(folder.ok()?.path().join("lib")).ok()).flatten();
    let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("librustc_driver") && name.ends_with(".so")
    });
    // A toolchain may be a link to another, from where the peers see no root.
    let mut paths: Vec<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    paths.sort();
    paths.into_iter().next()
}
