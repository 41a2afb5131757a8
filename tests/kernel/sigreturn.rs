//! rt_sigreturn comes back without its number and with somebody else's result.
use spoor_tests::{Result, ensure_eq, syscalls};

crate::tests![
    sigreturn_is_counted,
    sigreturn_is_counted_with_latency,
    sigreturn_is_told_from_call_number_minus_one,
    sigreturn_in_a_command
];

fn sigreturn_is_counted() -> Result<()> {
    let run = syscalls(&[]).attached_to(&["sigreturn", "500"])?;
    run.calls_are(&[("tgkill", 500), ("rt_sigreturn", 500), ("readv", 1), ("writev", 1), ("exit_group", 1)])?;
    ensure_eq!(run.report()?.row(&[("syscall", "rt_sigreturn")])?.value("errors")?, 0, "errors in {run}");
    Ok(())
}

fn sigreturn_is_counted_with_latency() -> Result<()> {
    let run = syscalls(&["-L"]).attached_to(&["sigreturn", "500"])?;
    run.calls_of("tgkill", 500)?;
    run.calls_of("rt_sigreturn", 500)
}

fn sigreturn_is_told_from_call_number_minus_one() -> Result<()> {
    for latency in [&[][..], &["-L"]] {
        let run = syscalls(latency).attached_to(&["badnr", "500"])?;
        run.calls_of("-1", 500)?;
        run.calls_of("rt_sigreturn", 0)?;
    }
    Ok(())
}

fn sigreturn_in_a_command() -> Result<()> {
    syscalls(&[]).around(&["sigreturn", "500"])?.calls_of("rt_sigreturn", 500)
}
