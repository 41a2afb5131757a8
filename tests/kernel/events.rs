//! `--events`: each call a line, in time order, none in silence lost. As JSON one object a line; the report that closes
//! the stream (the line with `"spoor"`) has the loss.
use serde_json::Value;
use spoor_tests::folder::Folder;
use spoor_tests::{Context, Finished, Result, Work, ensure, ensure_eq, scaled, spoor, sys, syscalls};

crate::tests![
    every_call_is_an_event,
    an_event_has_what_strace_shows,
    events_of_threads_come_in_time_order,
    events_can_be_selected,
    exits_and_forks_are_events,
    text_is_as_strace_prints_it,
    control_characters_never_come_out_raw,
    a_text_that_is_too_long_is_cut_and_said,
    texts_cut_are_counted_and_those_that_just_fit_are_not,
    a_call_that_began_before_is_shown_without_its_duration,
    at_a_steady_rate_nothing_is_lost,
    at_full_rate_kept_and_lost_are_all,
    events_reach_a_pipe_before_the_end,
];

struct Events {
    events: Vec<Value>,
    lost: u64,
}

fn parse(run: &Finished) -> Result<Events> {
    ensure_eq!(run.code(), 0, "status of {run}");
    let lines =
        run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).with_context(|| format!("line `{line}`")));
    let (reports, events): (Vec<_>, Vec<_>) =
        lines.collect::<Result<Vec<_>>>()?.into_iter().partition(|line| line.get("spoor").is_some());
    let Some(report) = reports.last() else { spoor_tests::bail!("no closing report with `spoor` and `loss`: {run}") };
    let lost = report["loss"]["total"].as_u64().with_context(|| format!("no loss.total in {report}"))?;
    Ok(Events { events, lost })
}

/// Nothing lost.
fn all(run: &Finished) -> Result<Vec<Value>> {
    let events = parse(run)?;
    ensure_eq!(events.lost, 0, "lost events in {run}");
    Ok(events.events)
}

fn of<'e>(events: &'e [Value], syscall: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["syscall"] == syscall).collect()
}

fn every_call_is_an_event() -> Result<()> {
    let run = syscalls(&["--events"]).attached_to(&["mix", "200"])?;
    let events = all(&run)?;
    for (syscall, count) in [("getppid", 200), ("close", 400), ("read", 600), ("writev", 1), ("exit_group", 1)] {
        ensure_eq!(of(&events, syscall).len(), count, "events of {syscall}");
    }
    Ok(())
}

fn an_event_has_what_strace_shows() -> Result<()> {
    let work = Work::waiting(&["comm", "spoor-event", "3"])?;
    let pid = work.pid();
    let run = syscalls(&["--events", "-p", &pid, "--where", "syscall == \"getppid\""]).with(work)?;
    let events = all(&run)?;
    ensure_eq!(events.len(), 3, "events in {run}");
    for event in &events {
        ensure_eq!(event["comm"], "spoor-event", "comm of {event}");
        ensure_eq!(event["pid"].to_string(), pid, "pid of {event}");
        ensure_eq!(event["tid"].to_string(), pid, "tid of {event}");
        ensure_eq!(event["ret"].as_i64(), Some(std::process::id().into()), "ret of {event}");
        ensure!(event["elapsed_ns"].as_u64().is_some_and(|ns| ns > 0), "elapsed_ns of {event}");
        ensure!(event["args"].is_array() && event["errno"].is_null(), "args and errno of {event}");
    }
    let run = syscalls(&["--events", "--where", "syscall == \"close\""]).attached_to(&["keys", "2", "1"])?;
    let events = all(&run)?;
    ensure_eq!(events[1]["args"][0].as_u64(), Some(1_000_001), "arg0 of {}", events[1]);
    ensure_eq!(events[1]["errno"], "EBADF", "errno of {}", events[1]);
    Ok(())
}

fn time_of(event: &Value) -> Result<u64> {
    event["time_unix_ns"].as_u64().with_context(|| format!("no time in {event}"))
}

fn events_of_threads_come_in_time_order() -> Result<()> {
    let each = scaled(20_000);
    let run = syscalls(&["--events", "--where", "syscall == \"getppid\""]).attached_to(&[
        "threads",
        "4",
        &each.to_string(),
    ])?;
    let parsed = parse(&run)?;
    ensure_eq!(parsed.events.len() as u64 + parsed.lost, 4 * each, "kept + lost");
    let times = parsed.events.iter().map(time_of).collect::<Result<Vec<_>>>()?;
    ensure!(times.is_sorted(), "events are out of order");
    Ok(())
}

fn events_can_be_selected() -> Result<()> {
    let run = syscalls(&["--events", "--where", "syscall == \"close\" && arg0 < 1000007"])
        .attached_to(&["keys", "100", "1"])?;
    let args: Vec<_> = all(&run)?.iter().map(|event| event["args"][0].as_u64()).collect();
    // The loader's descriptors were closed before `ready`.
    ensure_eq!(args, (1_000_000..1_000_007).map(Some).collect::<Vec<_>>(), "arg0 of the events");
    Ok(())
}

fn exits_and_forks_are_events() -> Result<()> {
    let run = syscalls(&["--events", "--follow"]).attached_to(&["clone", "20"])?;
    let events = all(&run)?;
    ensure_eq!(of(&events, "clone").len(), 20, "events of clone");
    ensure_eq!(of(&events, "exit_group").len(), 21, "events of exit_group");
    Ok(())
}

/// Lines of strace 6.1 for the same calls, from the name to the result (workload/strings.rs lists them).
fn text_is_as_strace_prints_it() -> Result<()> {
    let folder = Folder::new()?;
    let dir = folder.path().display().to_string();
    let mut work = Work::waiting(&["strings", &dir])?;
    let trace = spoor(&["syscalls", "--events", "-p", &work.pid()]).start()?;
    let did = work.run()?;
    work.end()?;
    let run = trace.finish()?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let (fd, udp, unix) = (&did["fd"], &did["udp"], &did["unix"]);
    let mut wanted = vec![
        format!("openat(AT_FDCWD, \"{dir}/file\", O_RDWR|O_CREAT|O_TRUNC, 0644) = {fd}"),
        format!("write({fd}, \"hello spoor\\n\", 12) = 12"),
        format!("write({fd}, \"\\33[31m\\7\\0\\377\", 8) = 8"),
        format!("lseek({fd}, 0, SEEK_SET) = 0"),
        format!("read({fd}, \"hello spoor\\n\", 12) = 12"),
        format!("connect({udp}, {{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr(\"127.0.0.1\")}}, 16) = 0"),
        format!("sendto({udp}, \"datagram\", 8, 0, "),
        format!("connect({unix}, {{sa_family=AF_UNIX, sun_path=\"{dir}/socket\"}}"),
        format!("openat(AT_FDCWD, \"{dir}/\\33[2J\\n\", O_RDONLY) = -1 ENOENT (No such file or directory)"),
        format!("execve(\"{dir}/program\", "),
    ];
    if cfg!(target_arch = "x86_64") {
        wanted.push(format!("open(\"{dir}/missing\", O_RDONLY) = -1 ENOENT (No such file or directory)"));
        wanted.push(format!("rename(\"{dir}/file\", \"{dir}/file2\") = 0"));
    }
    for line in wanted {
        ensure!(run.stdout.contains(&line), "no `{line}` in {run}");
    }
    Ok(())
}

fn control_characters_never_come_out_raw() -> Result<()> {
    let folder = Folder::new()?;
    for format in ["text", "json"] {
        for work in [&["strings", &folder.path().display().to_string()][..], &["hostile-comm", "5"]] {
            let run = spoor(&["syscalls", "--events", "--format", format]).attached_to(work)?;
            ensure!(run.stdout.contains("[2J"), "the text is not there: {run}");
            let raw = run.stdout.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{fffd}');
            ensure!(!raw, "raw bytes on stdout: {:?}", run.stdout);
        }
    }
    Ok(())
}

/// A path of 1000 bytes does not fit in 256: what is there ends in dots, as strace's does, and every call is there.
fn a_text_that_is_too_long_is_cut_and_said() -> Result<()> {
    let run =
        spoor(&["syscalls", "--events", "--where", "syscall == \"openat\""]).attached_to(&["long-string", "5"])?;
    ensure_eq!(run.code(), 0, "status of {run}");
    let cut = run.stdout.lines().filter(|line| line.contains("/xxxxxxxx") && line.contains("\"...")).count();
    ensure_eq!(cut, 5, "cut paths in {run}");
    ensure!(run.stderr.contains("lost: 5 "), "the loss is not said: {run}");
    Ok(())
}

/// 255 bytes and a NUL are all that there is room for.
fn texts_cut_are_counted_and_those_that_just_fit_are_not() -> Result<()> {
    for (bytes, cut) in [("254", 0), ("255", 0), ("256", 3), ("257", 3)] {
        let run = syscalls(&["--events", "--strict", "--where", "syscall == \"openat\""]).attached_to(&[
            "long-string",
            "3",
            bytes,
        ])?;
        ensure_eq!(run.code(), if cut > 0 { 3 } else { 0 }, "status of {run}");
        let report = run.report_of_code()?;
        ensure_eq!((report.lost()?, report.lost_of_kind("texts_cut")?), (cut, cut), "lost of {bytes} bytes in {run}");
        ensure_eq!(run.stdout.matches("\"cut\":[1]").count() as u64, cut, "events that say so in {run}");
    }
    Ok(())
}

/// The read that the workload waits in.
fn a_call_that_began_before_is_shown_without_its_duration() -> Result<()> {
    let run = spoor(&["syscalls", "--events"]).attached_to(&["getppid", "1"])?;
    ensure!(run.stdout.lines().any(|line| line.contains("readv(") && !line.ends_with('>')), "no readv: {run}");
    ensure!(run.stderr.contains("it is shown without its duration"), "it is not said: {run}");
    ensure!(!run.stderr.contains("no row"), "said as of a table: {run}");
    Ok(())
}

/// 20,000 a second for two seconds; the 500,000 are the benchmark's.
fn at_a_steady_rate_nothing_is_lost() -> Result<()> {
    let rate = scaled(20_000);
    let run =
        syscalls(&["--events", "--where", "syscall == \"getppid\""]).attached_to(&["paced", &rate.to_string(), "2"])?;
    ensure_eq!(all(&run)?.len() as u64, 2 * rate, "events");
    Ok(())
}

/// fired = kept + lost. Into a file, so that the lines do not wait for this process.
fn at_full_rate_kept_and_lost_are_all() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.file("events");
    let mut work = Work::waiting(&["full", "1.0"])?;
    let setup = syscalls(&["--events", "-p", &work.pid(), "--where", "syscall == \"getppid\""]);
    let trace = setup.start_into(spoor_tests::spoor::into_file(&file)?)?;
    let fired = work.run()?["getppid"].as_u64().context("how many")?;
    work.end()?;
    let mut run = trace.finish()?;
    run.stdout = std::fs::read_to_string(&file)?;
    let events = parse(&run)?;
    ensure_eq!(events.events.len() as u64 + events.lost, fired, "kept {} + lost {}", events.events.len(), events.lost);
    Ok(())
}

/// `spoor ... | grep` sees a call while the target still runs.
fn events_reach_a_pipe_before_the_end() -> Result<()> {
    let mut work = Work::holding(&["getppid", "3"])?;
    let trace = spoor(&["syscalls", "--events", "-p", &work.pid(), "--where", "syscall == \"getppid\""]).start()?;
    work.run()?;
    let end = std::time::Instant::now() + spoor_tests::patience();
    while trace.process.stdout.text().matches("getppid").count() < 3 {
        ensure!(std::time::Instant::now() < end, "no events while the target runs: {}", trace.process.stdout.text());
        std::thread::yield_now();
    }
    trace.signal(sys::SIGINT)?;
    ensure_eq!(trace.finish()?.code(), 0, "status");
    Ok(())
}
