//! What people read first.
use crate::run;

/// The options of the issue.
const OPTIONS: &[&str] = &[
    "-p",
    "-t",
    "--comm",
    "--cgroup",
    "--follow",
    "-d",
    "-i",
    "--by",
    "--where",
    "--agg",
    "-L",
    "--events",
    "--top",
    "--sort",
    "--desc",
    "--asc",
    "--max-keys",
    "--map-memory",
    "--format",
    "-o",
    "--strict",
    "--show-program",
    "--verifier-log",
];

fn mentions(text: &str, option: &str) -> bool {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(option).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_none_or(ends);
        let after = text[at + option.len()..].chars().next().is_none_or(ends);
        before && after
    })
}

#[test]
fn help_mentions_every_option() {
    let run = run(&["syscalls", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in OPTIONS {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
    assert!(run.stdout.contains("COMMAND"), "{run}");
}

#[test]
fn help_of_offcpu_mentions_its_options() {
    let own = ["--min", "--max", "--state", "--wakers", "--lines", "--inlines"];
    let others = ["-L", "--events"];
    let run = run(&["offcpu", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in OPTIONS.iter().filter(|option| !others.contains(option)).chain(&own) {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
}

#[test]
fn help_of_threads_mentions_its_options() {
    let run = run(&["threads", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in
        ["-p", "-t", "--cgroup", "--follow", "-d", "-i", "-F", "--top", "--sort", "--format", "-o", "--strict"]
    {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
}

#[test]
fn help_of_udp_mentions_its_options() {
    let run = run(&["udp", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in ["--sockets", "-p", "--port", "--top", "--format", "-o", "--strict"] {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
}

/// Beside those that it has in common with others.
#[test]
fn help_of_profile_mentions_its_options() {
    let own = ["-F", "--event", "--lines", "--inlines"];
    let others = ["-L", "--events"];
    let run = run(&["profile", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in OPTIONS.iter().filter(|option| !others.contains(option)).chain(&own) {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
    for word in ["folded", "svg", "pprof", "COMMAND"] {
        assert!(run.stdout.contains(word), "no `{word}` in\n{}", run.stdout);
    }
}

#[test]
fn short_help_names_every_option_too() {
    let run = run(&["syscalls", "-h"]);
    assert_eq!(run.code(), 0, "{run}");
    for option in OPTIONS {
        assert!(mentions(&run.stdout, option), "no `{option}` in\n{}", run.stdout);
    }
}

#[test]
fn help_names_every_command() {
    let run = run(&["--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for command in ["syscalls", "profile", "offcpu", "threads", "func", "udp", "list", "doctor"] {
        assert!(mentions(&run.stdout, command), "no `{command}` in\n{}", run.stdout);
    }
}

#[test]
fn version_is_the_packages() {
    let run = run(&["--version"]);
    assert_eq!(run.code(), 0, "{run}");
    assert_eq!(run.stdout.trim(), concat!("spoor ", env!("CARGO_PKG_VERSION")));
}

/// `spoor --help | true`
#[test]
fn help_into_a_closed_pipe_is_a_normal_end() {
    let nowhere = spoor_tests::sys::broken_pipe().expect("a pipe");
    let mut command = spoor_tests::spoor(&["syscalls", "--help"]).command();
    let mut process = spoor_tests::process::Process::start(command.stdout(nowhere), false).expect("starts");
    assert_eq!(process.wait().expect("ends").code(), Some(0));
    let stderr = process.stderr.wait_closed().expect("closed");
    assert_eq!(String::from_utf8_lossy(&stderr), "");
}

#[test]
fn list_shows_fields_with_types_and_units() {
    let run = run(&["list"]);
    assert_eq!(run.code(), 0, "{run}");
    for word in [
        "syscall",
        "errno",
        "ret",
        "arg0",
        "arg5",
        "pid",
        "tid",
        "comm",
        "cpu",
        "uid",
        "gid",
        "ppid",
        "cgroup",
        "timestamp",
        "elapsed",
        "profile",
        "func",
        "module",
        "ustack",
        "kstack",
        "stack",
        "weight",
        "sched",
        "offcpu",
        "runnable",
        "waker_kstack",
    ] {
        assert!(mentions(&run.stdout, word), "no `{word}` in\n{}", run.stdout);
    }
    assert!(mentions(&run.stdout, "ns"), "no unit: {run}");
}

#[test]
fn list_takes_a_pattern() {
    let all = run(&["list"]);
    let some = run(&["list", "sys*"]);
    assert_eq!(some.code(), 0, "{some}");
    assert!(some.stdout.contains("syscall") && some.stdout.len() <= all.stdout.len(), "{some}");
}

#[test]
fn doctor_answers() {
    let run = run(&["doctor"]);
    assert_eq!(run.code(), 0, "{run}");
    for word in [
        "kernel",
        "privileges",
        "BTF",
        "syscall",
        "provider profile",
        "provider sched",
        "provider function",
        "user functions",
        "kernel functions",
        "attach cookies",
        "tracepoints",
        "events to sample",
    ] {
        assert!(run.stdout.contains(word), "no `{word}`: {run}");
    }
}

/// `spoor list > /dev/full`
#[test]
fn what_could_not_be_written_is_named() {
    for (words, what) in [
        (&["list"][..], "list"),
        (&["doctor"], "findings"),
        (&["syscalls", "--show-program"], "program"),
        (&["-h"], "help"),
    ] {
        let full = std::fs::File::create("/dev/full").expect("/dev/full");
        let mut command = spoor_tests::spoor(words).command();
        let mut process = spoor_tests::process::Process::start(command.stdout(full), false).expect("starts");
        assert_eq!(process.wait().expect("ends").code(), Some(1), "{words:?}");
        let stderr = String::from_utf8(process.stderr.wait_closed().expect("closed")).expect("UTF-8");
        assert!(stderr.starts_with(&format!("error: write the {what} ")) && stderr.contains("\ntry:"), "{stderr}");
    }
}

/// One page for all commands; roff escapes hyphens.
#[test]
fn man_page_has_the_options_of_every_command() {
    let page = run(&["--generate", "man"]).stdout.replace('\\', "");
    for words in
        ["spoor syscalls", "--max-keys", "spoor profile", "--inlines", "spoor func", "--max-probes", "spoor doctor"]
    {
        assert!(page.contains(words), "no {words} in the man page");
    }
}
