//! Without capabilities: status 1, which one is missing, and the `setcap` line that gives it.
use spoor_tests::folder::Folder;
use spoor_tests::process::Process;
use spoor_tests::sys::{self, Lower};
use spoor_tests::{Finished, binaries};

/// As the user who runs the tests; root becomes nobody, who can reach a copy of the binary.
fn unprivileged(args: &[&str]) -> Finished {
    let folder = Folder::new().expect("a folder");
    let copy = folder.text("spoor");
    std::fs::copy(binaries::spoor(), &copy).expect("a copy");
    let mut command = std::process::Command::new(&copy);
    command.args(args).current_dir("/");
    if sys::is_root() {
        sys::lower(&mut command, Lower::Nobody);
    }
    let mut process = Process::start(&mut command, true).expect("starts");
    let status = process.wait().expect("ends");
    let stdout = process.stdout.wait_closed().expect("closed");
    let stderr = process.stderr.wait_closed().expect("closed");
    Finished::new(&args.join(" "), status, &stdout, &stderr)
}

#[test]
fn no_privilege_says_which_and_how_to_get_it() {
    unprivileged(&["syscalls", "-d", "100ms"]).refused(1, &["CAP_", "setcap", "/spoor"]).expect("refused");
}

#[test]
fn doctor_says_which_privilege_is_missing() {
    let run = unprivileged(&["doctor"]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(run.stdout.contains("CAP_") && run.stdout.contains("setcap"), "{run}");
}

#[test]
fn list_needs_no_privilege() {
    let run = unprivileged(&["list"]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(run.stdout.contains("elapsed"), "{run}");
}
