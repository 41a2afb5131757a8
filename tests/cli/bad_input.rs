//! Everything that can be known to be wrong before the kernel is asked: status 2, the wrong value, and what was meant.
use crate::usage_error;

#[test]
fn no_command_is_usage() {
    let run = crate::run(&[]);
    assert_eq!(run.code(), 2, "{run}");
    assert!(run.stderr.contains("Usage") && run.stderr.contains("syscalls"), "{run}");
}

#[test]
fn an_unknown_command_is_named() {
    usage_error(&["sycalls"], &["sycalls", "syscalls"]);
}

#[test]
fn an_unknown_option_is_named() {
    usage_error(&["syscalls", "--folow"], &["--folow", "--follow"]);
}

#[test]
fn a_malformed_duration_is_shown() {
    for wrong in ["5x", "fast", "", "-1s"] {
        usage_error(&["syscalls", &format!("--duration={wrong}")], &[wrong]);
    }
    usage_error(&["syscalls", "-i", "7 fortnights"], &["7 fortnights"]);
}

#[test]
fn a_pid_is_a_number() {
    usage_error(&["syscalls", "-p", "abc"], &["abc"]);
    usage_error(&["syscalls", "-p", "-5"], &["-5"]);
    usage_error(&["syscalls", "-t", "12x"], &["12x"]);
    usage_error(&["syscalls", "-p", "99999999999999999999"], &["99999999999999999999"]);
}

#[test]
fn an_unknown_key_suggests_the_nearest() {
    usage_error(&["syscalls", "--by", "pid,sycall"], &["`sycall`", "`syscall`"]);
    usage_error(&["syscalls", "--by", "conm"], &["`conm`", "`comm`"]);
}

#[test]
fn an_unknown_field_in_a_condition_suggests_the_nearest_and_points_at_its_column() {
    usage_error(&["syscalls", "--where", "ret < 0 && elasped > 5"], &["`elasped`", "`elapsed`", "12"]);
}

#[test]
fn names_that_other_tools_have_are_answered_with_ours() {
    for (theirs, ours) in
        [("execname", "comm"), ("probefunc", "syscall"), ("tgid", "pid"), ("nsecs", "timestamp"), ("retval", "ret")]
    {
        usage_error(&["syscalls", "--by", theirs], &[&format!("`{theirs}`"), &format!("try: `{ours}`")]);
        usage_error(&["syscalls", "--where", &format!("{theirs} == 1")], &[&format!("try: `{ours}`")]);
        usage_error(&["list", theirs], &[&format!("`{theirs}`"), &format!("try:   spoor list {ours}")]);
    }
    usage_error(&["syscalls", "--agg", "hist(ret)"], &["`hist`", "try: `quantize`"]);
    usage_error(&["syscalls", "--agg", "lhist(ret, 0, 9, 1)"], &["`lhist`", "try: `lquantize`"]);
}

#[test]
fn a_pattern_that_no_field_matches_is_shown_with_the_nearest_name() {
    usage_error(&["list", "zzz*"], &["`zzz*`", "try:   spoor list"]);
    usage_error(&["list", "elasped*"], &["`elasped*`", "try:   spoor list elapsed"]);
    usage_error(&["list", "\x1b"], &["`\\x1b`"]);
}

#[test]
fn an_unknown_system_call_suggests_the_nearest() {
    usage_error(&["syscalls", "--where", "syscall == \"getpidd\""], &["getpidd", "getpid"]);
}

#[test]
fn an_unknown_event_suggests_the_nearest_or_names_all() {
    let refused = |event, words: &[&str]| {
        crate::run(&["profile", "--event", event]).refused(2, words).expect("refused");
    };
    refused("cpu-clok", &["`cpu-clok`", "try:   cpu-clock"]);
    refused("nonsense", &["`nonsense`", "cpu-clock, page-faults", "branch-misses"]);
    refused("\x1b[31m", &["\\x1b"]);
}

#[test]
fn a_frequency_is_a_number_of_samples() {
    for wrong in ["0", "many", "20001"] {
        usage_error(&["profile", "-F", wrong], &[wrong]);
    }
}

#[test]
fn a_stack_is_only_a_key() {
    usage_error(&["profile", "--where", "ustack == 5"], &["ustack"]);
    usage_error(&["profile", "--agg", "sum(kstack)"], &["kstack"]);
    usage_error(&["profile", "--by", "stak"], &["`stak`", "stack"]);
}

#[test]
fn formats_of_stacks_need_stacks() {
    for format in ["folded", "svg", "pprof"] {
        usage_error(&["profile", "--by", "func", "--format", format], &[format, "--by stack"]);
        usage_error(&["syscalls", "--format", format], &[format]);
    }
    usage_error(&["profile", "--format", "svg", "-i", "1s"], &["svg", "-i"]);
}

#[test]
fn an_unknown_errno_suggests_the_nearest() {
    usage_error(&["syscalls", "--where", "errno == \"ENOET\""], &["ENOET", "ENOENT"]);
}

#[test]
fn an_unknown_function_suggests_the_nearest() {
    usage_error(&["syscalls", "--agg", "quantise(ret)"], &["quantise", "quantize"]);
}

#[test]
fn a_condition_must_end_where_it_should() {
    for wrong in ["ret <", "(ret < 0", "ret < 0)", "ret ret", "&& ret", "ret < \"x", "1 +* 2", ""] {
        usage_error(&["syscalls", "--where", wrong], &[]);
    }
}

#[test]
fn strings_and_numbers_do_not_compare() {
    usage_error(&["syscalls", "--where", "comm == 5"], &["comm"]);
    usage_error(&["syscalls", "--where", "ret == \"five\""], &["ret"]);
    usage_error(&["syscalls", "--where", "comm < \"a\""], &["comm"]);
}

#[test]
fn keys_of_more_than_64_bytes_are_refused() {
    // Nine numbers of 8 bytes.
    usage_error(&["syscalls", "--by", "pid,tid,cpu,uid,gid,arg0,arg1,arg2,arg3"], &["64"]);
}

#[test]
fn parameters_of_lquantize_are_checked() {
    usage_error(&["syscalls", "--agg", "lquantize(ret, 10, 0, 1)"], &["lquantize"]);
    usage_error(&["syscalls", "--agg", "lquantize(ret, 0, 10, 0)"], &["lquantize"]);
    usage_error(&["syscalls", "--agg", "llquantize(ret, 10, 0, 5, 3)"], &["llquantize"]);
    usage_error(&["syscalls", "--agg", "quantize()"], &["quantize"]);
}

#[test]
fn a_pattern_that_does_not_end_is_refused() {
    usage_error(&["syscalls", "--comm", "[ab"], &["[ab"]);
}

/// It would have no effect.
#[test]
fn durations_beside_functions_say_how_to_ask_for_them() {
    let run = crate::run(&["syscalls", "-L", "--agg", "count()"]);
    run.refused(2, &["-L", "--agg 'p99(elapsed)'"]).expect("refused");
    assert_eq!(crate::run(&["syscalls", "-L", "--events", "--show-program"]).code(), 0);
}

#[test]
fn formats_and_orders_have_names() {
    usage_error(&["syscalls", "--format", "xml"], &["xml", "json"]);
    usage_error(&["syscalls", "--sort", "colour"], &["colour", "value"]);
    usage_error(&["syscalls", "--asc", "--desc"], &["--asc", "--desc"]);
}

#[test]
fn numbers_of_rows_and_keys_are_numbers() {
    usage_error(&["syscalls", "--top", "many"], &["many"]);
    usage_error(&["syscalls", "--max-keys", "lots"], &["lots"]);
    usage_error(&["syscalls", "--map-memory", "much"], &["much"]);
}

/// What comes from the command line is escaped, too.
#[test]
fn control_characters_are_not_repeated_raw() {
    let run = crate::run(&["syscalls", "--by", "\x1b[31mpid"]);
    assert_eq!(run.code(), 2, "{run}");
    assert!(!run.stderr.contains('\x1b'), "{:?}", run.stderr);
}

/// Longer than the clock goes on, which once was a panic.
#[test]
fn a_duration_beyond_ten_years_is_refused() {
    for option in ["-d", "-i"] {
        let run = crate::run(&["syscalls", option, "18446744073709551615s"]);
        run.refused(2, &["18446744073709551615s", "10 years"]).expect("refused");
    }
}

#[test]
fn an_interval_of_nothing_is_refused() {
    for nothing in ["0", "0s", "1us"] {
        crate::run(&["syscalls", "-i", nothing]).refused(2, &[nothing, "1ms"]).expect("refused");
    }
}

#[test]
fn values_below_zero_are_answered_as_values() {
    for (option, value) in
        [("-d", "-1s"), ("-i", "-1"), ("-p", "-1"), ("-t", "-1"), ("--map-memory", "-1"), ("--top", "-1")]
    {
        crate::run(&["syscalls", option, value]).refused(2, &[&format!("`{value}`: ")]).expect("refused");
    }
}

/// What the parser of options finds comes in the same form as what spoor finds.
#[test]
fn every_usage_error_is_one_line_what_and_one_line_what_to_do() {
    for words in [
        &["sycalls"][..],
        &["syscalls", "--folow"],
        &["syscalls", "-p"],
        &["syscalls", "-p", "abc"],
        &["syscalls", "--format", "xml"],
        &["syscalls", "--asc", "--desc"],
        &["syscalls", "--events", "--agg", "count()"],
        &["syscalls", "ls"],
        &["list", "a", "b"],
        &["func"],
        &["func", "libc:"],
        &["func", "-L", "libc:malloc", "--agg", "count()"],
    ] {
        let run = crate::run(words);
        run.refused(2, &[]).expect("refused");
        assert_eq!(run.stderr.lines().count(), 2, "{run}");
    }
}

#[test]
fn control_characters_in_options_and_values_are_not_repeated_raw() {
    for words in [
        &["\x1b[31m"][..],
        &["syscalls", "--\x1b[31m"],
        &["syscalls", "--format", "\x1b[31m"],
        &["syscalls", "-d", "\x1b[31m"],
        &["syscalls", "--cgroup", "/\x1b[31m"],
        &["syscalls", "-o", "/spoor-no-such-folder/\x1b[31m"],
    ] {
        let run = crate::run(words);
        assert_ne!(run.code(), 0, "{run}");
        assert!(run.stderr.contains("\\x1b[31m") && !run.stderr.contains('\x1b'), "{:?}", run.stderr);
    }
}
