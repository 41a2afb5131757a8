//! `spoor list PATTERN`: what a pattern of `spoor func` matches. Nothing is attached, and no privilege is asked for.
use crate::run;
use spoor_tests::{Finished, binaries};

fn library() -> String {
    binaries::tracee_library().canonicalize().expect("is built").display().to_string()
}

fn listed(args: &[&str]) -> Finished {
    let run = run(&[&["list"], args].concat());
    assert_eq!(run.code(), 0, "{run}");
    run
}

/// Functions of C and C++ as the source names them; stars of their arguments are no patterns.
#[test]
fn functions_of_a_file_are_listed_by_name() {
    let library = library();
    let run = listed(&[&format!("{library}:store::*")]);
    let names = [
        "store::give",
        r"store::put(int, char const\*)",
        "store::put(long)",
        "store::take",
        "void store::push<int>(int)",
    ];
    let lines: Vec<String> = names.iter().map(|name| format!("{library}:{name}")).collect();
    assert_eq!(run.stdout, lines.join("\n") + "\n", "{run}");
    assert_eq!(run.stderr, "", "{run}");
}

#[test]
fn every_line_is_a_pattern_that_lists_itself() {
    let all = listed(&[&format!("{}:*", library())]);
    let lines: Vec<&str> = all.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(lines.len() > 20, "{all}");
    for line in lines {
        let again = listed(&[line]);
        assert_eq!(again.stdout.lines().next(), Some(line), "{again}");
        // A name means what the compiler made of it as well.
        assert!(again.stdout.lines().all(|other| other.starts_with(line) || other.starts_with(' ')), "{again}");
    }
}

#[test]
fn other_names_of_the_same_code_stand_below() {
    let library = library();
    let run = listed(&[&format!("{library}:tracee_alias_*")]);
    assert_eq!(run.stdout, format!("{library}:tracee_alias_one\n  also tracee_alias_two\n"), "{run}");
}

/// Its code is chosen when a process starts.
#[test]
fn a_name_that_cannot_be_traced_is_told_beside_the_list() {
    let run = listed(&[&format!("{}:tracee_ifunc", library())]);
    assert_eq!(run.stdout, "", "{run}");
    assert!(run.stderr.starts_with("note: tracee_ifunc cannot be traced: libtracee.so chooses"), "{run}");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
}

#[test]
fn probes_have_their_arguments_with_types_below() {
    let library = library();
    let run = listed(&[&format!("usdt:{library}:tracee:constants")]);
    let types = ["u8", "i8", "u32", "i32", "u64", "i64"];
    let arguments: String = (0..).zip(types).map(|(at, ty)| format!("  arg{at}              {ty}\n")).collect();
    assert_eq!(run.stdout, format!("usdt:{library}:tracee:constants\n{arguments}"), "{run}");
}

#[test]
fn an_instruction_keeps_its_offset() {
    let own = std::process::id().to_string();
    let run = run(&["list", "-p", &own, "spoor-no-such-library:x"]);
    run.refused(1, &["`spoor-no-such-library`"]).expect("refused");
    let library = library();
    let run = crate::run(&["list", &format!("{library}:+0x7fffffff")]);
    run.refused(1, &["no code at +0x7fffffff", "its code is from"]).expect("refused");
    let run = listed(&[&format!("{library}:tracee_usdt+0x1")]);
    assert_eq!(run.stdout, format!("{library}:tracee_usdt+0x1\n"), "{run}");
    let long = r"store::put(int, char const\*)+0x1";
    assert_eq!(listed(&[&format!("{library}:{long}")]).stdout, format!("{library}:{long}\n"));
    let run = crate::run(&["list", &format!("{library}:tracee_usdt+0x10000")]);
    run.refused(1, &["`tracee_usdt+0x10000`: `tracee_usdt` ends before, at +0x"]).expect("refused");
}

#[test]
fn a_process_says_which_files_are_meant() {
    let own = std::process::id().to_string();
    let run = listed(&["-p", &own, "libc:free"]);
    assert_eq!(run.stdout.lines().next(), Some("libc.so.6:free"), "{run}");
    // A word is a function's name, though fields have it too.
    let run = crate::run(&["list", "-p", &own, "elapsed"]);
    run.refused(1, &["no function `elapsed`"]).expect("refused");
    let run = crate::run(&["list", "-p", &own]);
    run.refused(2, &["there is none", &format!("spoor list -p {own} ")]).expect("refused");
}

/// As field names are looked for first.
#[test]
fn a_word_that_no_field_has_is_a_function_of_the_kernel() {
    let run = listed(&["vfs_read"]);
    assert_eq!(run.stdout.lines().next(), Some("kernel:vfs_read"), "{run}");
    assert!(run.stderr.contains("vfs_read: taken from the kernel"), "{run}");
    assert!(!listed(&["func"]).stdout.contains("kernel:"));
}

#[test]
fn names_that_are_not_there_are_answered_with_the_nearest() {
    let library = library();
    for (pattern, words) in [
        (format!("{library}:tracee_ad"), &["no function `tracee_ad`", "try:   `tracee_add`"][..]),
        ("libc:mallok".to_owned(), &["no function `mallok`", "`malloc`"]),
        ("libk:malloc".to_owned(), &["no library and no program `libk`", "try:"]),
        ("kernel:vfs_reed".to_owned(), &["no kernel function `vfs_reed`", "`kernel:vfs_read`"]),
        (format!("usdt:{library}:tracee:constant"), &["no USDT probe `tracee:constant`", ":tracee:constants`"]),
        ("/etc/passwd:x".to_owned(), &["`/etc/passwd` is no ELF file", "a program or a library"]),
        ("/spoor-no-such-file:x".to_owned(), &["no such file", "try:"]),
    ] {
        run(&["list", &pattern]).refused(1, words).expect("refused");
    }
}

#[test]
fn malformed_patterns_are_usage() {
    for (pattern, words) in [
        ("libc:", &["a part of it is empty", "`libc:*`"][..]),
        ("/bin/ls", &["a file without a function", "`/bin/ls:main`"]),
        ("tracepoint:sched", &["no GROUP:EVENT", "tracepoint:sched:sched_switch"]),
        ("usdt:x", &["no PROVIDER:NAME", "usdt:PATH:PROVIDER:NAME"]),
        ("libc:mem[", &["`[` without `]`"]),
        ("libc:\x1b[", &["\\x1b"]),
    ] {
        for command in ["list", "func"] {
            run(&[command, pattern]).refused(2, words).expect("refused");
        }
    }
}

/// `spoor list 'libc:*' | head -1`
#[test]
fn a_list_into_a_closed_pipe_is_a_normal_end() {
    let nowhere = spoor_tests::sys::broken_pipe().expect("a pipe");
    let mut command = spoor_tests::spoor(&["list", &format!("{}:tracee_*", library())]).command();
    let mut process = spoor_tests::process::Process::start(command.stdout(nowhere), false).expect("starts");
    assert_eq!(process.wait().expect("ends").code(), Some(0));
}

#[test]
fn fields_of_functions_are_listed() {
    let run = listed(&[]);
    let function = run.stdout.split("\nfunction  ").nth(1).expect("a provider function");
    for field in ["func ", "module ", "arg0 ", "arg5 ", "ret ", "elapsed ", "str(arg0) ", "str(ret) ", "ustack "] {
        assert!(function.contains(&format!("\n  {field}")), "no `{field}`: {run}");
    }
}
