//! `--show-program`: the D program that the options stand for. No root, and the target need not exist.
use crate::run;

fn program(args: &[&str]) -> String {
    let mut words = vec!["syscalls", "--show-program"];
    words.extend(args);
    let run = run(&words);
    assert_eq!(run.code(), 0, "{run}");
    assert_eq!(run.stderr, "", "{run}");
    // One blank where there are several: how it is laid out is not the point. D's name for `ret` is arg1.
    run.stdout.split_whitespace().collect::<Vec<_>>().join(" ").replace("(int64_t)arg1", "ret")
}

fn shows(args: &[&str], parts: &[&str]) {
    let program = program(args);
    for part in parts {
        assert!(program.contains(part), "no `{part}` for {args:?} in `{program}`");
    }
}

/// DESIGN.md's own example.
#[test]
fn options_are_a_clause() {
    shows(
        &["-p", "42", "--by", "comm,syscall", "--where", "ret < 0", "--agg", "count()"],
        &["syscall:::return", "/pid == 42 && ret < 0/", "@[execname, probefunc] = count();"],
    );
}

#[test]
fn the_default_counts_by_system_call() {
    shows(&[], &["syscall:::return", "[probefunc] = count();"]);
}

#[test]
fn functions_keep_their_names() {
    shows(&["--agg", "quantize(ret)"], &["= quantize(", "ret"]);
    shows(&["--agg", "lquantize(ret, 0, 100, 10)"], &["= lquantize(", "0, 100, 10)"]);
    shows(&["--agg", "sum(arg2)", "--by", "arg0"], &["@[arg0] = sum(arg2);"]);
}

/// `a || b` beside a target must not become `pid == 42 && a || b`.
#[test]
fn conditions_keep_their_meaning_beside_a_target() {
    let program = program(&["-p", "42", "--where", "ret < 0 || arg0 == 3"]);
    assert!(program.contains("(ret < 0 || arg0 == 3)"), "{program}");
}

#[test]
fn several_targets_are_alternatives() {
    let program = program(&["-p", "42,43", "-t", "7", "--where", "ret < 0"]);
    assert!(program.contains("/(pid == 42 || pid == 43 || tid == 7) && ret < 0/"), "{program}");
}

#[test]
fn samples_are_of_the_provider_profile() {
    let program = |args: &[&str]| {
        crate::run(&["profile", "--show-program"].iter().chain(args).copied().collect::<Vec<_>>()).stdout
    };
    let default = program(&["-p", "42"]);
    assert_eq!(default.trim_end(), "profile:::profile-99 /pid == 42/ { @[stack(), ustack()] = count(); }");
    let often = program(&["-F", "499", "--by", "func"]);
    assert!(often.starts_with("profile:::profile-499 ") && often.contains("@[func(arg0)]"), "{often}");
    let faults = program(&["--event", "page-faults"]);
    assert!(faults.contains("/* samples of page-faults, not of time */"), "{faults}");
}

#[test]
fn strings_are_quoted() {
    shows(&["--where", "comm == \"sh\""], &["execname == \"sh\""]);
}

#[test]
fn expressions_may_begin_with_a_minus() {
    shows(&["--where", "-ret > 5"], &["/-ret > 5/"]);
    shows(&["--by", "-ret", "--agg", "count()"], &["@[-ret] = count();"]);
    shows(&["--agg", "sum(-ret)", "--by", "-arg0,pid"], &["@[-arg0, pid] = sum(-ret);"]);
    // The shell of a login has such a name.
    shows(&["--comm", "-bash"], &["execname == \"-bash\""]);
}

/// D knows no lists of names.
#[test]
fn every_name_of_a_pattern_is_compared() {
    let read = r#"probefunc == "read" || probefunc == "readlink" || probefunc == "readlinkat""#;
    shows(&["--where", "syscall == 'read,readlink*'"], &[&format!("/{read}/")]);
    shows(&["-p", "42", "--where", "syscall == 'read,readlink*'"], &[&format!("/pid == 42 && ({read})/")]);
    shows(&["--where", "syscall != 'readlink*'"], &[r#"/probefunc != "readlink" && probefunc != "readlinkat"/"#]);
    shows(&["--where", "errno == 'E[IN]O'"], &["/errno == EIO/"]);
}

#[test]
fn followed_children_are_progeny() {
    shows(&["-p", "42", "--follow"], &["syscall:::return /progenyof(42)/ {"]);
    shows(&["-p", "42,43", "--follow", "--where", "ret"], &["/(progenyof(42) || progenyof(43)) && ret/"]);
    shows(&["--", "ls"], &["/pid == $target/"]);
}

#[test]
fn a_cgroup_is_a_comment() {
    let Some(root) = spoor::attach::target::cgroup2_root() else { return };
    let root = root.display().to_string();
    shows(&["--cgroup", &root], &[&format!("}} /* and only tasks below cgroup {root} */")]);
    // As /proc/PID/cgroup has it: a folder too, but no cgroup.
    shows(&["--cgroup", "/"], &[&format!("below cgroup {root} */")]);
}

/// The clause at the return takes the difference to what the one at the entry noted.
#[test]
fn durations_have_their_beginning() {
    shows(
        &["-p", "42", "--agg", "quantize(elapsed)"],
        &[
            "syscall:::entry /pid == 42/ { self->start = timestamp; } syscall:::return /pid == 42/ { @ = quantize(timestamp - self->start); }",
        ],
    );
    let run = run(&["syscalls", "--show-program", "-L"]);
    assert!(run.stdout.starts_with("syscall:::entry { self->start = timestamp; }\nsyscall:::return {"), "{run}");
    assert!(!program(&["--agg", "quantize(ret)"]).contains("self->start"));
}
