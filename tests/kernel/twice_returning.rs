//! fork, vfork, clone and clone3 return twice: in the parent with the child's PID, in the child with 0. One call each.
use spoor_tests::{Result, ensure_eq, syscalls};

crate::tests![
    fork_is_one_call,
    vfork_is_one_call,
    clone_is_one_call,
    clone3_is_one_call,
    each_is_one_call_with_latency,
    each_is_one_call_of_a_command_without_its_children,
];

const N: u64 = 200;

/// The parent's table, whole; then with the children in it, where only their exits are more.
fn one_call(name: &str) -> Result<()> {
    let n = N.to_string();
    let alone = syscalls(&[]).attached_to(&[name, &n])?;
    alone.calls_are(&[(name, N), ("wait4", N), ("readv", 1), ("writev", 1), ("exit_group", 1)])?;
    ensure_eq!(alone.report()?.row(&[("syscall", name)])?.value("errors")?, 0, "errors of {name} in {alone}");

    let followed = syscalls(&["--follow"]).attached_to(&[name, &n])?;
    followed.calls_are(&[(name, N), ("wait4", N), ("readv", 1), ("writev", 1), ("exit_group", N + 1)])
}

fn fork_is_one_call() -> Result<()> {
    one_call("fork")
}

fn vfork_is_one_call() -> Result<()> {
    one_call("vfork")
}

fn clone_is_one_call() -> Result<()> {
    one_call("clone")
}

fn clone3_is_one_call() -> Result<()> {
    one_call("clone3")
}

fn each_is_one_call_with_latency() -> Result<()> {
    for name in ["fork", "vfork", "clone", "clone3"] {
        for follow in [&[][..], &["--follow"]] {
            let run = syscalls(&["-L"]).and(follow).attached_to(&[name, &N.to_string()])?;
            run.calls_of(name, N)?;
            run.calls_of("wait4", N)?;
            run.calls_of("exit_group", if follow.is_empty() { 1 } else { N + 1 })?;
        }
    }
    Ok(())
}

fn each_is_one_call_of_a_command_without_its_children() -> Result<()> {
    for name in ["fork", "vfork", "clone", "clone3"] {
        let run = syscalls(&[]).around(&[name, &N.to_string()])?;
        run.calls_of(name, N)?;
        run.calls_of("exit_group", 1)?;
    }
    Ok(())
}
