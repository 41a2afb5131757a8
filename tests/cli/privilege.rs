//! Without capabilities: status 1, which one is missing, and the `setcap` line that gives it.
use spoor_tests::folder::Folder;
use spoor_tests::process::Process;
use spoor_tests::sys::{self, Lower};
use spoor_tests::{Finished, binaries};

/// As the user who runs the tests; root becomes nobody, who can reach a copy of the binary.
fn unprivileged(args: &[&str]) -> Finished {
    let folder = Folder::new().expect("a folder");
    let copy = folder.text("spoor");
    // By another process: what this one writes stays open for a moment in each child that another test forks meanwhile,
    // and a file that is open for writing does not start (ETXTBSY).
    let copied = std::process::Command::new("cp").arg(binaries::spoor()).arg(&copy).status().expect("cp starts");
    assert!(copied.success(), "{copied}");
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

/// What was not tried, or was refused to us and not for what it is, is neither yes nor no.
#[test]
fn doctor_says_unknown_where_it_may_not_try() {
    let run = unprivileged(&["doctor"]);
    for what in ["compare-and-exchange", "provider syscall", "provider function", "user functions", "kernel functions"]
    {
        let line = run.stdout.lines().find(|line| line.starts_with(what)).expect(what);
        assert!(line.contains("unknown (CAP_BPF and CAP_PERFMON missing)"), "{line}");
    }
}

#[test]
fn list_says_shortly_why_the_path_is_unknown() {
    let run = unprivileged(&["list"]);
    assert!(run.stdout.contains("(unknown here: CAP_BPF and CAP_PERFMON missing; kernel "), "{run}");
}

/// Which of the maps is refused first is no matter of luck.
#[test]
fn the_refusal_reads_the_same_in_every_run() {
    let what = || unprivileged(&["syscalls"]).stderr.lines().next().expect("a line").to_owned();
    let first = what();
    assert!((0..8).all(|_| what() == first), "{first}");
}

/// `unshare --user --map-root-user`: all capabilities, and none that BPF asks for.
#[test]
fn in_a_user_namespace_it_says_that_capabilities_do_not_count() {
    let inside = |args: &[&str]| {
        let setup = spoor_tests::spoor(args).through(&["unshare", "--user", "--map-root-user"]);
        setup.run().expect("unshare starts")
    };
    let doctor = inside(&["doctor"]);
    if doctor.stderr.starts_with("unshare: ") {
        // Here nobody may make one.
        return;
    }
    let line = doctor.stdout.lines().find(|line| line.starts_with("privileges")).expect("a line");
    assert!(line.contains("not enough: in a user namespace"), "{line}");
    inside(&["syscalls"]).refused(1, &["not permitted, in a user namespace", "outside"]).expect("refused");
}

#[test]
fn list_needs_no_privilege() {
    let run = unprivileged(&["list"]);
    assert_eq!(run.code(), 0, "{run}");
    assert!(run.stdout.contains("elapsed"), "{run}");
}
