//! Where the report goes, and what happens where it cannot go there.
use std::fs::File;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Stdio;
use std::time::Instant;

use spoor_tests::folder::Folder;
use spoor_tests::{Result, Work, binaries, ensure, ensure_eq, patience, syscalls};

crate::tests![
    a_standard_error_that_is_full_does_not_end_the_run,
    a_full_disk_in_mid_run_is_named,
    a_report_takes_the_place_of_the_file_behind_a_link,
    a_killed_run_leaves_no_half_report,
    events_in_a_file_can_be_read_along,
];

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

fn a_full_disk_in_mid_run_is_named() -> Result<()> {
    for args in [&["-i", "50ms"][..], &["--events"]] {
        let mut work = Work::holding(&["getppid", "10"])?;
        let trace = syscalls(args).and(&["-o", "/dev/full", "-p", &work.pid()]).start()?;
        work.run()?;
        trace.finish()?.refused(1, &["write to `/dev/full`: No space left on device"])?;
    }
    Ok(())
}

fn a_report_takes_the_place_of_the_file_behind_a_link() -> Result<()> {
    let folder = Folder::new()?;
    let (real, link) = (folder.file("real"), folder.file("link"));
    std::fs::write(&real, "old")?;
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600))?;
    std::os::unix::fs::symlink("real", &link)?;
    for args in [&["-d", "20ms"][..], &["-d", "20ms", "-i", "10ms"], &["-d", "20ms", "--events"]] {
        let run = syscalls(args).and(&["-o", &link.display().to_string()]).run()?;
        ensure_eq!(run.code(), 0, "status of {run}");
        ensure!(std::fs::symlink_metadata(&link)?.is_symlink(), "the link is gone: {run}");
        ensure_eq!(std::fs::metadata(&real)?.permissions().mode() & 0o7777, 0o600, "mode after {run}");
        ensure!(std::fs::read_to_string(&real)?.contains("\"spoor\":1"), "no report in the file: {run}");
    }
    Ok(())
}

/// Neither under its own name nor under another: the file has none until it is complete.
fn a_killed_run_leaves_no_half_report() -> Result<()> {
    let folder = Folder::new()?;
    let nameless = File::options().write(true).custom_flags(libc::O_TMPFILE).open(folder.path());
    if nameless.is_err() {
        return spoor_tests::skip::skip("this file system has no O_TMPFILE");
    }
    for old in [None, Some("old")] {
        if let Some(old) = old {
            std::fs::write(folder.file("report"), old)?;
        }
        let mut trace = syscalls(&["-o", &folder.text("report")]).start()?;
        trace.process.kill();
        let names: Vec<_> = std::fs::read_dir(folder.path())?.collect::<std::io::Result<_>>()?;
        ensure_eq!(names.len(), usize::from(old.is_some()), "files left: {names:?}");
    }
    ensure_eq!(std::fs::read_to_string(folder.file("report"))?, "old", "the old report");
    Ok(())
}

fn events_in_a_file_can_be_read_along() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.file("events");
    let mut work = Work::holding(&["getppid", "3"])?;
    let mut trace = syscalls(&["--events", "-p", &work.pid(), "-o", &folder.text("events")]).start()?;
    work.run()?;
    let end = Instant::now() + patience();
    while std::fs::read_to_string(&file)?.matches("\"getppid\"").count() < 3 {
        ensure!(Instant::now() < end, "no events in the file while spoor runs");
        std::thread::yield_now();
    }
    trace.process.kill();
    ensure_eq!(std::fs::read_to_string(&file)?.matches("\"getppid\"").count(), 3, "events after spoor was killed");
    Ok(())
}
