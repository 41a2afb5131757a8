//! Keys: each field stands for what it says.
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use spoor_tests::cgroup::Cgroup;
use spoor_tests::sys::NOBODY;
use spoor_tests::{Context, Finished, Result, Work, binaries, ensure, ensure_eq, syscalls};

crate::tests![
    arguments_are_keys,
    results_are_keys,
    errors_are_keys,
    pid_tid_and_comm,
    comm_with_any_bytes_is_valid_json_and_safe_text,
    comm_with_any_bytes_has_one_spelling,
    cpu_is_the_one_that_it_ran_on,
    uid_and_gid,
    ppid_is_the_parents,
    cgroup_is_the_inode_of_its_folder,
    three_keys_at_once,
    an_expression_is_a_key,
    a_cast_is_a_key_with_its_own_sign,
    one_process_by_pid_is_one_row,
];

fn count(run: &Finished, keys: &[(&str, &str)], wanted: u64) -> Result<()> {
    ensure_eq!(run.report()?.row(keys)?.count()?, wanted, "{keys:?} in {run}");
    Ok(())
}

/// 40 descriptors that nobody has, each closed 25 times.
fn arguments_are_keys() -> Result<()> {
    let run = syscalls(&["--by", "arg0", "--where", "syscall == \"close\""]).attached_to(&["keys", "40", "25"])?;
    let counts = run.report()?.counts_by("arg0")?;
    let wanted = (0..40).map(|key| ((1_000_000 + key).to_string(), 25)).collect();
    ensure_eq!(counts, wanted, "calls by arg0 in {run}");
    Ok(())
}

fn results_are_keys() -> Result<()> {
    let run = syscalls(&["--by", "ret", "--where", "syscall == \"lseek\""]).attached_to(&[
        "returns",
        "5",
        "5",
        "0",
        "-22",
        "-9",
        "9223372036854775807",
    ])?;
    for (ret, calls) in [("5", 2), ("0", 1), ("-22", 1), ("-9", 1), ("9223372036854775807", 1)] {
        count(&run, &[("ret", ret)], calls)?;
    }
    Ok(())
}

fn errors_are_keys() -> Result<()> {
    let run = syscalls(&["--by", "errno", "--where", "syscall == \"lseek\""])
        .attached_to(&["returns", "5", "5", "0", "-22", "-9", "-9", "-9"])?;
    for (errno, calls) in [("0", 3), ("EINVAL", 1), ("EBADF", 3)] {
        count(&run, &[("errno", errno)], calls)?;
    }
    Ok(())
}

fn pid_tid_and_comm() -> Result<()> {
    let work = Work::waiting(&["comm", "a name of 15 b.", "120"])?;
    let pid = work.pid();
    let run = syscalls(&["--by", "pid,tid,comm,syscall", "-p", &pid]).with(work)?;
    count(&run, &[("pid", &pid), ("tid", &pid), ("comm", "a name of 15 b."), ("syscall", "getppid")], 120)
}

/// ESC, BEL, a line feed and a byte that is no UTF-8.
fn comm_with_any_bytes_is_valid_json_and_safe_text() -> Result<()> {
    let run = syscalls(&["--by", "comm", "--where", "syscall == \"getppid\""]).attached_to(&["hostile-comm", "60"])?;
    ensure_eq!(run.report()?.kept()?, 60, "calls in {run}");
    printable(&run)?;
    for format in ["text", "csv"] {
        let run = spoor_tests::spoor(&["syscalls", "--format", format, "--by", "comm"])
            .attached_to(&["hostile-comm", "60"])?;
        ensure_eq!(run.code(), 0, "status of {run}");
        ensure!(run.stdout.contains("[2J"), "the name is not in the {format}: {run}");
        printable(&run)?;
    }
    Ok(())
}

/// As a key and in an event, as JSON and in CSV: the same bytes are told in the same way.
fn comm_with_any_bytes_has_one_spelling() -> Result<()> {
    let name = "\u{1b}[2J\u{7}\n\\xff";
    let run = syscalls(&["--by", "comm"]).attached_to(&["hostile-comm", "5"])?;
    run.report()?.row(&[("comm", name)])?;
    let run = syscalls(&["--events"]).attached_to(&["hostile-comm", "5"])?;
    let first = run.stdout.lines().next().with_context(|| run.to_string())?;
    ensure_eq!(serde_json::from_str::<serde_json::Value>(first)?["comm"], name, "comm of {run}");
    let run =
        spoor_tests::spoor(&["syscalls", "--format", "csv", "--by", "comm"]).attached_to(&["hostile-comm", "5"])?;
    ensure!(run.stdout.contains("\n\\x1b[2J\\x07\\x0a\\xff,"), "comm in {run}");
    Ok(())
}

/// `stdout` was made text with U+FFFD for what is no UTF-8.
fn printable(run: &Finished) -> Result<()> {
    let raw = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{fffd}');
    ensure!(!raw(&run.stdout), "raw bytes on stdout: {:?}", run.stdout);
    ensure!(!raw(&run.stderr), "raw bytes on stderr: {:?}", run.stderr);
    Ok(())
}

fn cpu_is_the_one_that_it_ran_on() -> Result<()> {
    let last = std::thread::available_parallelism()?.get() - 1;
    for cpu in [0, last] {
        let cpu = cpu.to_string();
        let run = syscalls(&["--by", "cpu", "--where", "syscall == \"getppid\""]).attached_to(&[
            "hot-threads",
            "2",
            "500",
            &cpu,
        ])?;
        count(&run, &[("cpu", &cpu)], 1000)?;
        ensure_eq!(run.report()?.rows()?.len(), 1, "CPUs in {run}");
    }
    Ok(())
}

fn uid_and_gid() -> Result<()> {
    let mut command = Command::new(binaries::workload());
    command.args(["--wait", "getppid", "75"]).uid(NOBODY).gid(1234);
    let work = Work::start(&mut command)?;
    let pid = work.pid();
    let run = syscalls(&["--by", "uid,gid,syscall", "-p", &pid]).with(work)?;
    count(&run, &[("uid", "65534"), ("gid", "1234"), ("syscall", "getppid")], 75)
}

fn ppid_is_the_parents() -> Result<()> {
    let run = syscalls(&["--by", "ppid,syscall"]).attached_to(&["getppid", "75"])?;
    count(&run, &[("ppid", &std::process::id().to_string()), ("syscall", "getppid")], 75)
}

fn cgroup_is_the_inode_of_its_folder() -> Result<()> {
    let group = Cgroup::new("key")?;
    let mut work = Work::holding(&["getppid", "75"])?;
    group.add(work.process().pid())?;
    let trace = syscalls(&["--by", "cgroup,syscall", "-p", &work.pid()]).start()?;
    work.run()?;
    let run = trace.interrupt()?;
    ensure_eq!(std::fs::metadata(group.path())?.ino(), group.id()?, "id of the cgroup");
    count(&run, &[("cgroup", &group.id()?.to_string()), ("syscall", "getppid")], 75)
}

fn three_keys_at_once() -> Result<()> {
    let run = syscalls(&["--by", "arg0,errno,syscall"]).attached_to(&["keys", "10", "5"])?;
    for key in 0..10 {
        count(&run, &[("arg0", &(1_000_000 + key).to_string()), ("errno", "EBADF"), ("syscall", "close")], 5)?;
    }
    Ok(())
}

/// Not in the list of keys, but in its grammar; the key's name is its text.
fn an_expression_is_a_key() -> Result<()> {
    let run = syscalls(&["--by", "arg0 % 4", "--where", "syscall == \"getppid\""]).attached_to(&["range", "100"])?;
    let rows = run.report()?.rows()?;
    let counts: Vec<u64> = rows.iter().map(|row| row.count()).collect::<Result<_>>()?;
    ensure_eq!(counts, [25, 25, 25, 25], "calls by arg0 % 4 in {run}");
    Ok(())
}

fn a_cast_is_a_key_with_its_own_sign() -> Result<()> {
    let run = syscalls(&["--by", "(i32)ret,(u8)ret", "--where", "syscall == \"lseek\""]).attached_to(&[
        "returns",
        "5",
        "-22",
        "-9",
        "4294967296",
        "2147483648",
    ])?;
    for (signed, byte) in [("5", "5"), ("-22", "234"), ("-9", "247"), ("0", "0"), ("-2147483648", "0")] {
        count(&run, &[("(i32)ret", signed), ("(u8)ret", byte)], 1)?;
    }
    Ok(())
}

/// Every call of the process, whatever it is.
fn one_process_by_pid_is_one_row() -> Result<()> {
    let run = syscalls(&["--by", "pid"]).attached_to(&["getppid", "75"])?;
    ensure_eq!(run.report()?.rows()?.len(), 1, "rows of {run}");
    // readv that began before, writev, exit_group.
    ensure_eq!(run.report()?.kept()?, 78, "calls in {run}");
    Ok(())
}
