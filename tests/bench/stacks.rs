//! More stacks than a tool has room for: 100,000 user stacks that differ, each waited in once. What of them is in a report, and
//! what the tool says that it lost.
use serde_json::Value;
use spoor_tests::{Context, Result};

use crate::cases::{Links, What};
use crate::counted;
use crate::once::{ms, push};
use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;

const PATHS: u64 = 100_000;
const QUICK_PATHS: u64 = 20_000;

const CONTENDERS: [(&str, What); 6] = [
    ("spoor", What::Spoor(&["offcpu", "--by", "tid,ustack", "--top", "0", "-p", "{pid}"])),
    (
        "spoor, with room",
        What::Spoor(&[
            "offcpu",
            "--by",
            "tid,ustack",
            "--top",
            "0",
            "--max-keys",
            "262144",
            "--map-memory",
            "1G",
            "-p",
            "{pid}",
        ]),
    ),
    ("offcputime", What::Peer(&["/usr/sbin/offcputime-libbpf", "-m", "0", "-p", "{pid}"], Links::One)),
    (
        "offcputime, with room",
        What::Peer(
            &["/usr/sbin/offcputime-libbpf", "-m", "0", "--stack-storage-size", "262144", "-p", "{pid}"],
            Links::One,
        ),
    ),
    ("bpftrace", What::Bpftrace(ONE_LINER)),
    ("bpftrace, with room", What::Bpftrace(ONE_LINER_WITH_ROOM)),
];

const ONE_LINER: &str = "tracepoint:sched:sched_switch { if (pid == {pid}) { @o[tid] = (1, ustack); } \
     $o = @o[args.next_pid]; if ($o.0) { @[args.next_pid, $o.1] = count(); } }";
const ONE_LINER_WITH_ROOM: &str = "config = { max_map_keys = 262144 } \
     tracepoint:sched:sched_switch { if (pid == {pid}) { @o[tid] = (1, ustack); } \
     $o = @o[args.next_pid]; if ($o.0) { @[args.next_pid, $o.1] = count(); } }";

pub fn stacks(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("stacks");
    let paths = if stage.quick { QUICK_PATHS } else { PATHS };
    for (name, what) in CONTENDERS {
        if matches!(what, What::Bpftrace(_) | What::Peer(..)) && stage.peers.is_none() {
            continue;
        }
        sys::wait_for_no_bpf_programs()?;
        let tool = stage.start(what, true)?.context("a tool")?;
        let fired = stage.worker.ask(&format!("paths {paths}"))?[0];
        let end = tool.interrupt()?;
        let mut push = |what: &str, unit, value: f64, most| {
            push(&mut table, &format!("{name}: {what}"), unit, &[value], most);
        };
        push("fired", "", fired, None);
        match what {
            What::Spoor(_) => {
                let report = counted::spoor_report(&end.stdout)?;
                let whole = Whole::of(&report)?;
                let lost = report["loss"]["total"].as_f64().context("loss.total")?;
                push("kept with its key", "", whole.kept, None);
                push("kept without it", "", whole.others, None);
                // The worker waits a few times more than it is asked to, before and after.
                push("fired - kept", "", fired - whole.kept - whole.others, Some(0.0));
                push("lost by the ledger", "", lost, None);
                // Not below 0 by more than the same few, or a firing is in the ledger twice.
                push("fired - kept with its key - lost", "", fired - whole.kept - lost, Some(0.0));
                push("stacks in the report", "", whole.rows, None);
                table.notes.push(format!("{name} says: {}", report["loss"]));
            }
            What::Bpftrace(_) => {
                push("kept", "", counted::bpftrace_sum(&end.stdout) as f64, None);
            }
            _ => {
                let missed = end.stdout.matches("[Missed User Stack]").count();
                let rows = end.stdout.lines().filter(|line| line.trim().parse::<u64>().is_ok()).count();
                push("stacks in the report", "", (rows - missed.min(rows)) as f64, None);
            }
        }
        push_end(&mut table, name, &end);
        let said: Vec<&str> = end.stderr.lines().filter(|line| !line.starts_with("failed to get")).collect();
        let last = said.last().copied().unwrap_or("nothing");
        table.notes.push(format!("{name}, {} lines on stderr, the last: {last}", said.len()));
        eprint!("\rstacks: {name}\x1b[K");
    }
    eprintln!("\r\x1b[K");
    Ok(table)
}

fn push_end(table: &mut Table, name: &str, end: &crate::tool::Ended) {
    push(table, &format!("{name}: SIGINT to exit"), "ms", &[ms(end.ending)], None);
    push(table, &format!("{name}: CPU in all"), "ms", &[ms(end.usage.cpu)], None);
}

/// What a report of spoor's holds.
struct Whole {
    /// Rows with a stack of their own, and how often they were counted.
    rows: f64,
    kept: f64,
    /// How often those were whose stack or key was lost.
    others: f64,
}

impl Whole {
    fn of(report: &Value) -> Result<Whole> {
        let without_a_key = report["other"]["values"]["count"].as_f64().unwrap_or(0.0);
        let mut whole = Whole { rows: 0.0, kept: 0.0, others: without_a_key };
        for row in report["rows"].as_array().context("rows")? {
            let keys = &row["keys"];
            let stack = keys.get("ustack").or_else(|| keys.get("stack"));
            let count = row["values"]["count"].as_f64().context("count")?;
            if stack.is_some_and(|stack| stack["lost"] == false) {
                whole.rows += 1.0;
                whole.kept += count;
            } else {
                whole.others += count;
            }
        }
        Ok(whole)
    }
}
