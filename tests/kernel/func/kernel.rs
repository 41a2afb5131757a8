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
    an_offset_is_an_instruction_of_the_function,
    an_offset_where_no_instruction_begins_is_named,
    an_offset_beyond_the_function_is_refused,
    an_offset_has_no_return,
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

/// Behind what a function begins with: 5 bytes for ftrace, before them 4 more where jumps through pointers are checked
/// (CONFIG_X86_KERNEL_IBT), where the first of these is inside of an instruction.
const OFFSETS: [u64; 2] = [5, 9];
/// In the middle of the first instruction of all of them.
const NO_INSTRUCTION: &str = "kernel:vfs_read+1";

fn instructions_known() -> Result<()> {
    here()?;
    if cfg!(not(target_arch = "x86_64")) {
        return skip("what a function begins with is known for x86-64 only");
    }
    Ok(())
}

/// In the two ways that an offset is written in, and beside the function itself.
fn an_offset_is_an_instruction_of_the_function() -> Result<()> {
    instructions_known()?;
    let mut seen = 0;
    for offset in OFFSETS {
        for pattern in [format!("kernel:vfs_read+{offset}"), format!("kernel:vfs_read+{offset:#x}")] {
            let name = format!("vfs_read+{offset:#x}");
            let alone = func(&[&pattern, "-d", "100ms"]).run()?;
            if alone.code() == 1 {
                alone.refused(1, &[&format!("attach to `{name}`"), "no instruction begins there"])?;
                continue;
            }
            calls_are(&traced_of(reads()?, &[&pattern])?, &[(&name, 1500)])?;
            let both = traced_of(reads()?, &[&pattern, "kernel:vfs_read"])?;
            calls_are(&both, &[("vfs_read", 1500), (&name, 1500)])?;
            let run = traced_of(reads()?, &[&pattern, "--by", "func,kstack"])?;
            let row = run.report()?.row(&[("func", &name)])?;
            ensure_eq!(row.keys["kstack"]["kernel"][0]["symbol"], "vfs_read", "the innermost frame of {run}");
            seen += 1;
        }
    }
    ensure!(seen >= 2, "neither offset could be traced");
    Ok(())
}

/// Alone, and beside what goes on.
fn an_offset_where_no_instruction_begins_is_named() -> Result<()> {
    instructions_known()?;
    let run = func(&[NO_INSTRUCTION, "-d", "1s"]).run()?;
    run.refused(1, &["attach to `vfs_read+0x1`", "no instruction begins there"])?;
    let run = traced_of(reads()?, &[NO_INSTRUCTION, "kernel:vfs_read"])?;
    calls_are(&run, &[("vfs_read", 1500)])?;
    const WHY: &str = "vfs_read+0x1 is not traced: no instruction begins there";
    ensure!(run.report()?.notes().iter().any(|note| note.starts_with(WHY)), "no `{WHY}` in {run}");
    Ok(())
}

fn an_offset_beyond_the_function_is_refused() -> Result<()> {
    let run = func(&["kernel:vfs_read+0x100000", "-d", "1s"]).run()?;
    run.refused(1, &["`vfs_read+0x100000`: `vfs_read` ends before, at +0x"])?;
    func(&["kernel:no_such_function+4", "-d", "1s"]).run()?.refused(1, &["no kernel function `no_such_function`"])
}

fn an_offset_has_no_return() -> Result<()> {
    let run = func(&["-L", "kernel:vfs_read+5", "-d", "1s"]).run()?;
    run.refused(2, &["`vfs_read+0x5` is passed and does not return", "leave out -L"])
}
