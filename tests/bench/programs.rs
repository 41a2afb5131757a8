//! What each program takes for a run, by the kernel's own account, and how much of it the verifier had to walk.
use std::collections::BTreeMap;

use spoor_tests::{Context, Result, binaries};

use crate::once::{push, words};
use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;
use crate::tool::Tool;

/// What is asked of spoor, and what the worker does meanwhile.
const ASKED: [(&str, &str); 18] = [
    ("syscalls -p {pid}", "few"),
    ("syscalls --by comm,syscall -p {pid}", "few"),
    ("syscalls -L -p {pid}", "few"),
    ("syscalls --events -o /dev/null -p {pid}", "few"),
    ("syscalls --follow -p {pid}", "few"),
    ("profile -F 999 -p {pid}", "busy 1 300"),
    ("offcpu -p {pid}", "paths 2000"),
    ("offcpu --wakers -p {pid}", "paths 2000"),
    ("threads -p {pid}", "paths 2000"),
    ("func libtracee:tracee_add -p {pid}", "calls 10000"),
    ("func libtracee:tracee_add --by ustack -p {pid}", "calls 10000"),
    ("func -L libtracee:tracee_add -p {pid}", "calls 10000"),
    ("func kernel:__x64_sys_getppid -p {pid}", "few"),
    ("func tracepoint:sched:sched_switch", "paths 2000"),
    ("udp", "send lost 10000"),
    ("udp --events -o /dev/null", "send lost 10000"),
    ("udp --sent", "send refused 10000"),
    ("udp --truncated", "send cut 10000"),
];

/// What came of one program in all rounds.
#[derive(Default)]
struct Seen {
    run_ns: Vec<f64>,
    verified: f64,
}

pub fn programs(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("programs");
    table.notes.push(
        "A run that does nothing takes what `empty` of func-count says, most of which is the kernel's reading of the clock."
            .to_owned(),
    );
    stage.worker.ask(&format!("load {}", binaries::tracee_library().display()))?;
    let _counting = sys::count_runs().context("have the kernel count runs (5.8)")?;
    for (args, work) in ASKED {
        let filled = words(&args.replace("{pid}", &stage.worker.pid().to_string()));
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for _ in 0..stage.rounds.min(if stage.quick { 1 } else { 5 }) {
            let tool = match Tool::spoor(&filled, true) {
                Ok(tool) => tool,
                Err(error) => {
                    let why = format!("{error:#}");
                    let said = why.lines().find(|line| line.contains("error:")).unwrap_or(&why);
                    table.notes.push(format!("{args}: not here: {said}"));
                    break;
                }
            };
            stage.worker.ask(work)?;
            for program in tool.loaded()?.iter().map(|id| sys::bpf_program(*id)) {
                let program = program?;
                let seen = seen.entry(program.name).or_default();
                seen.verified = program.verified as f64;
                if program.runs > 0 {
                    seen.run_ns.push(program.run_time_ns as f64 / program.runs as f64);
                }
            }
            tool.interrupt()?;
        }
        let args = args.replace("{pid}", "PID").replace(" -o /dev/null", "");
        for (name, Seen { run_ns, verified }) in seen {
            push(&mut table, &format!("{args}: {name}"), "ns/run", &run_ns, None);
            push(&mut table, &format!("{args}: {name}, verified"), "insns", &[verified], None);
        }
        eprint!("\rprograms: {args}\x1b[K");
    }
    eprintln!("\r\x1b[K");
    Ok(table)
}

/// How often programs run for a datagram that is sent and read.
pub fn delivered(stage: &mut Stage) -> Result<Table> {
    const DATAGRAMS: u64 = 100_000;
    let mut table = Table::new("udp-runs");
    let _counting = sys::count_runs().context("have the kernel count runs (5.8)")?;
    // What others on the machine lose in the meantime is in it.
    for (args, most) in [("udp", Some(0.001)), ("udp --sent", None), ("udp --truncated", None), ("udp --all", None)] {
        let mut runs = Vec::new();
        for _ in 0..stage.rounds.min(3) {
            let tool = Tool::spoor(&words(args), true)?;
            let sum = |tool: &Tool| -> Result<u64> {
                let programs = tool.loaded()?.into_iter().map(sys::bpf_program);
                programs.map(|program| Ok(program?.runs)).sum()
            };
            let before = sum(&tool)?;
            stage.worker.ask(&format!("send delivered {DATAGRAMS}"))?;
            runs.push((sum(&tool)? - before) as f64 / DATAGRAMS as f64);
            tool.interrupt()?;
        }
        push(&mut table, &format!("{args}: programs run for a datagram that arrives"), "", &runs, most);
    }
    Ok(table)
}
