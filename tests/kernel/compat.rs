//! 32-bit calls (int 0x80) have numbers of their own: i386's getpid is 20, and 20 is writev here.
use spoor_tests::{Result, ensure_eq, syscalls};

crate::tests![
    compat_calls_have_their_own_names,
    compat_calls_with_latency,
    compat_calls_can_be_selected,
    compat_exits_are_counted
];

fn compat_calls_have_their_own_names() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["compat", "250"])?;
    run.calls_are(&[("i386:getpid", 250), ("getppid", 500), ("readv", 1), ("writev", 1), ("exit_group", 1)])
}

fn compat_calls_with_latency() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["compat", "250"])?;
    run.calls_of("i386:getpid", 250)?;
    run.calls_of("getppid", 500)
}

fn compat_calls_can_be_selected() -> Result<()> {
    for (condition, count) in
        [("syscall == \"i386:*\"", 250), ("syscall == \"getpid\"", 0), ("syscall == \"i386:getpid\"", 250)]
    {
        let run = syscalls(&["--where", condition]).attached_to(&["compat", "250"])?;
        ensure_eq!(run.report()?.kept()?, count, "calls where {condition} in {run}");
    }
    Ok(())
}

/// Children that leave by i386's exit_group (252).
fn compat_exits_are_counted() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let run = syscalls(&["--follow"]).and(latency).attached_to(&["compat-exit", "20"])?;
        run.calls_of("i386:exit_group", 20)?;
        run.calls_of("exit_group", 1)?;
    }
    Ok(())
}
