//! `spoor func` as far as no kernel is asked: errors, help, `--show-program`.
use crate::run;
use spoor_tests::binaries;

fn library() -> String {
    binaries::tracee_library().canonicalize().expect("is built").display().to_string()
}

fn program(args: &[&str]) -> String {
    let run = run(&[&["func", "--show-program"], args].concat());
    assert_eq!(run.code(), 0, "{run}");
    run.stdout
}

#[test]
fn a_pattern_must_be_given() {
    run(&["func"]).refused(2, &["`spoor func` needs a PATTERN", "try:   spoor func 'libc:mem*'"]).expect("refused");
    run(&["func", "-p", "1"]).refused(2, &["needs a PATTERN"]).expect("refused");
}

#[test]
fn more_points_than_meant_are_refused_with_their_number_and_the_option() {
    let pattern = format!("{}:tracee_tail_*", library());
    let run = run(&["func", "--max-probes", "1", &pattern]);
    run.refused(1, &["2 functions match, more than --max-probes 1", "--max-probes 2"]).expect("refused");
    crate::run(&["func", "--max-probes", "0", &pattern]).refused(2, &["--max-probes `0`"]).expect("refused");
}

#[test]
fn options_that_contradict_each_other_say_so() {
    let pattern = format!("{}:tracee_add", library());
    let run = run(&["func", "-L", "--agg", "count()", &pattern]);
    run.refused(2, &["-L", "--agg 'p99(elapsed)'"]).expect("refused");
    let probe = format!("usdt:{}:tracee:text", library());
    for words in [&["func", "-L", &probe][..], &["func", "--by", "ret", &probe]] {
        crate::run(words).refused(2, &["does not return", "leave out -L"]).expect("refused");
    }
}

#[test]
fn returns_that_would_end_the_process_are_not_waited_for() {
    let run = run(&["func", "-L", "libgcc_s:_Unwind_RaiseException"]);
    run.refused(2, &["would end the process", "try:   leave out -L"]).expect("refused");
}

#[test]
fn a_process_that_has_no_such_function_is_told_the_nearest() {
    let own = std::process::id().to_string();
    let run = run(&["func", "-p", &own, "mallok"]);
    run.refused(1, &["no function `mallok`", "`malloc`"]).expect("refused");
    crate::run(&["func", "-p", "4194304", "malloc"]).refused(1, &["-p 4194304: no such process"]).expect("refused");
    crate::run(&["func", "libc:malloc", "ls"]).refused(1, &["`ls`", "-p PID"]).expect("refused");
}

#[test]
fn unknown_fields_and_too_many_arguments_are_usage() {
    let pattern = format!("{}:tracee_six", library());
    let run = run(&["func", &pattern, "--by", "retval"]);
    run.refused(2, &["`retval`", "try: `ret`"]).expect("refused");
    let many = "arg0 + arg1 + arg2 + arg3 + arg4 + arg5 > 0 && str(arg0) == 'a' && str(arg1) == 'b' && str(arg2) == 'c' \
                && str(arg3) == 'd' && str(arg4) == 'e'";
    crate::run(&["func", &pattern, "--where", many]).refused(2, &["2 texts", "try:"]).expect("refused");
}

#[test]
fn help_has_patterns_examples_and_options() {
    let run = run(&["func", "--help"]);
    assert_eq!(run.code(), 0, "{run}");
    for words in [
        "Patterns:",
        "libc:malloc",
        "kernel:vfs_*",
        "tracepoint:sched:sched_switch",
        "usdt:/usr/bin/python3:python:gc__start",
        ":+0x1234",
        "/opt/app:store::get+0x1a",
        "Examples:",
        "--max-probes",
        "--slow-detach",
        "-L",
        "--by",
        "--where",
        "--agg",
        "spoor list PATTERN",
    ] {
        assert!(run.stdout.contains(words), "no `{words}` in\n{}", run.stdout);
    }
}

#[test]
fn functions_are_probes_of_a_process_in_d() {
    let pattern = format!("{}:tracee_add", library());
    let probe = "pid$target:libtracee.so:tracee_add";
    let shown = program(&[&pattern]);
    assert_eq!(
        shown,
        format!(
            "{probe}:entry {{ @[probefunc] = count(); }}\n\
             /* $target is one process in D; here it is every one that is meant */\n"
        )
    );
    let shown = program(&[&pattern, "--by", "arg0,ret", "--", "/bin/true"]);
    assert_eq!(
        shown,
        format!(
            "{probe}:entry /pid == $target/ {{ self->arg0 = arg0; }}\n\
             {probe}:return /pid == $target/ {{ @[self->arg0, (int64_t)arg1] = count(); }}\n"
        )
    );
}

#[test]
fn probes_of_a_file_have_its_provider_in_d() {
    let probe = format!("usdt:{}:tracee:constants", library());
    assert!(program(&[&probe]).starts_with("tracee$target:::constants { @[probename] = count(); }\n"));
}

/// Kernel functions are in /proc/kallsyms whoever asks.
#[test]
fn functions_of_the_kernel_are_those_of_fbt_in_d() {
    assert_eq!(program(&["kernel:vfs_read"]), "fbt::vfs_read:entry { @[probefunc] = count(); }\n");
    let shown = program(&["kernel:vfs_read", "--by", "ret"]);
    assert_eq!(shown, "fbt::vfs_read:return { @[(int64_t)arg1] = count(); }\n");
}
