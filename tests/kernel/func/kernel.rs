//! Functions of the kernel: how often a workload's system calls come to them, with what, and from where.
use std::path::Path;

use spoor_tests::skip::skip;
use spoor_tests::{Result, Work, ensure, ensure_eq, func};

use super::{by_key, calls_are, only_value, traced_of};

crate::tests![
    a_function_is_counted_for_its_target,
    a_function_is_timed,
    a_pattern_is_many_functions,
    parameters_have_the_names_of_the_source,
    results_are_what_was_returned,
    kernel_stacks_begin_with_the_function,
    a_bare_name_is_the_kernels_where_no_file_has_it,
    a_function_of_the_kernel_and_one_of_a_library_are_one_trace,
    an_unknown_function_is_refused,
];

/// The kernel lists what can probe its functions: neither kprobe.multi nor fentry is there without kprobes in practice.
fn here() -> Result<()> {
    match Path::new("/sys/bus/event_source/devices/kprobe").exists() {
        true => Ok(()),
        false => skip("not supported: this kernel has no kprobes"),
    }
}

/// 1500 reads of one byte each.
fn reads() -> Result<Work> {
    Work::waiting(&["mix", "500"])
}

fn a_function_is_counted_for_its_target() -> Result<()> {
    here()?;
    calls_are(&traced_of(reads()?, &["kernel:vfs_read"])?, &[("vfs_read", 1500)])
}

fn a_function_is_timed() -> Result<()> {
    here()?;
    let run = traced_of(reads()?, &["-L", "kernel:vfs_read"])?;
    calls_are(&run, &[("vfs_read", 1500)])?;
    let row = run.report()?.row(&[("func", "vfs_read")])?;
    ensure!(row.value("total_ns")? > 0 && row.value("max_ns")? <= row.value("total_ns")?, "times of {run}");
    Ok(())
}

fn a_pattern_is_many_functions() -> Result<()> {
    here()?;
    for latency in [&[][..], &["-L"]] {
        let run = traced_of(reads()?, &[&["kernel:vfs_re*", "--slow-detach"], latency].concat())?;
        ensure_eq!(run.report()?.row(&[("func", "vfs_read")])?.count()?, 1500, "reads in {run}");
    }
    Ok(())
}

fn parameters_have_the_names_of_the_source() -> Result<()> {
    here()?;
    let run = traced_of(reads()?, &["kernel:vfs_read", "--by", "count"])?;
    by_key(&run, "count", &[("1", 1500)])?;
    let run = traced_of(reads()?, &["kernel:vfs_read", "--by", "arg2", "--where", "count == 1"])?;
    by_key(&run, "arg2", &[("1", 1500)])
}

fn results_are_what_was_returned() -> Result<()> {
    here()?;
    let run = traced_of(reads()?, &["kernel:vfs_read", "--agg", "sum(ret)"])?;
    ensure_eq!(only_value(&run, "sum(ret)")?, 1500, "bytes in {run}");
    Ok(())
}

/// One function and many: they are attached in different ways.
fn kernel_stacks_begin_with_the_function() -> Result<()> {
    here()?;
    for pattern in ["kernel:vfs_read", "kernel:vfs_re*"] {
        let run = traced_of(reads()?, &[pattern, "--slow-detach", "--by", "func,kstack"])?;
        let rows = run.report()?.rows()?;
        let mut calls = 0;
        for row in rows.iter().filter(|row| row.keys["func"] == "vfs_read") {
            ensure_eq!(row.keys["kstack"]["kernel"][0]["symbol"], "vfs_read", "the innermost frame of {run}");
            calls += row.count()?;
        }
        ensure_eq!(calls, 1500, "calls in {run}");
    }
    Ok(())
}

fn a_bare_name_is_the_kernels_where_no_file_has_it() -> Result<()> {
    here()?;
    let run = traced_of(reads()?, &["vfs_read"])?;
    calls_are(&run, &[("vfs_read", 1500)])?;
    ensure!(run.stderr.contains("vfs_read: taken from the kernel"), "not said: {run}");
    Ok(())
}

fn a_function_of_the_kernel_and_one_of_a_library_are_one_trace() -> Result<()> {
    here()?;
    for latency in [&[][..], &["-L"]] {
        let work = super::in_workload(&["began-before", "3"])?;
        let run = traced_of(work, &[&["workload:tracee_block", "kernel:vfs_write"], latency].concat())?;
        let report = run.report()?;
        ensure_eq!(report.row(&[("func", "tracee_block")])?.count()?, 3, "calls of the program in {run}");
        // Two bytes for each of the three, and one for the call that began before.
        ensure_eq!(report.row(&[("func", "vfs_write")])?.count()?, 7, "calls of the kernel in {run}");
    }
    Ok(())
}

fn an_unknown_function_is_refused() -> Result<()> {
    let run = func(&["kernel:no_such_function", "-d", "1s"]).run()?;
    run.refused(1, &["no kernel function `no_such_function`"])
}
