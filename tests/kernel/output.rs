//! Where the report goes, and what happens where it cannot go there.
use std::fs::File;
use std::process::Stdio;

use spoor_tests::{Result, binaries, ensure_eq, syscalls};

crate::tests![a_standard_error_that_is_full_does_not_end_the_run];

fn a_standard_error_that_is_full_does_not_end_the_run() -> Result<()> {
    let workload = binaries::workload().display().to_string();
    let command = ["--", &workload, "--exit", "1", "getppid", "5"];
    for args in [&["-d", "20ms"][..], &["-d", "20ms", "--events"], &command] {
        let full = File::options().write(true).open("/dev/full")?;
        let mut command = syscalls(args).command();
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full).status()?;
        ensure_eq!(status.code(), Some(0), "status of spoor syscalls {args:?}");
    }
    Ok(())
}
