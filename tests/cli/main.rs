//! The command line without a kernel to trace: usage, help, exit statuses, `--show-program`. No root.
mod bad_input;
mod func;
mod help;
mod list;
mod privilege;
mod program;
mod readme;
mod udp;

use spoor_tests::{Finished, spoor};

/// Runs it to its end.
fn run(args: &[&str]) -> Finished {
    spoor(args).run().unwrap_or_else(|why| panic!("{args:?}: {why:?}"))
}

/// Usage: status 2, nothing on stdout, an `error:` that says all of `words`, and no panic.
fn usage_error(args: &[&str], words: &[&str]) {
    let run = run(args);
    assert_eq!(run.code(), 2, "{run}");
    assert!(run.stdout.is_empty(), "printed something: {run}");
    assert!(run.stderr.starts_with("error: "), "no error first: {run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "does not say `{word}`: {run}");
    }
}
