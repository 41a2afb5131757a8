//! Which functions a pattern means, and what is said of those that cannot be traced.
use spoor_tests::folder::Folder;
use spoor_tests::skip::skip;
use spoor_tests::{Result, Work, binaries, elf, ensure, ensure_eq, func};

use super::{calls_are, in_workload, library, traced, traced_of};

crate::tests![
    names_of_one_place_are_one_point,
    names_of_cpp_and_rust_are_as_in_the_source,
    parts_that_a_compiler_made_have_their_own_names,
    an_indirect_function_is_what_the_process_chose,
    an_indirect_function_of_no_process_is_refused,
    a_bare_name_says_where_it_was_found,
    several_patterns_are_one_trace,
    functions_with_one_name_are_told_apart,
    an_offset_is_a_place,
    an_offset_in_a_function_is_a_place,
    an_offset_outside_of_code_is_refused,
    an_offset_beyond_the_function_is_refused,
    a_name_that_nothing_has_gets_the_nearest,
    a_stripped_file_says_what_to_do,
    a_file_without_sections_says_what_to_do,
    more_than_max_probes_are_refused,
    a_first_instruction_that_takes_no_probe_is_named,
];

/// 100 calls, by the one and the other in turns.
fn names_of_one_place_are_one_point() -> Result<()> {
    let alias = ["call", "alias", "1", "100"];
    for name in ["tracee_alias_one", "tracee_alias_two"] {
        calls_are(&traced(&[&format!("libtracee:{name}")], &alias)?, &[(name, 100)])?;
    }
    let run = traced(&["libtracee:tracee_alias_*"], &alias)?;
    let report = run.report()?;
    ensure_eq!((report.rows()?.len(), report.kept()?), (1, 100), "rows and calls of {run}");
    let both = traced(&["libtracee:tracee_alias_two", "libtracee:tracee_alias_one"], &alias)?;
    calls_are(&both, &[("tracee_alias_two", 100)])
}

fn names_of_cpp_and_rust_are_as_in_the_source() -> Result<()> {
    for (pattern, work, name) in [
        ("store::put*", "put", "store::put(int, char const*)"),
        ("store::put*", "put_long", "store::put(long)"),
        ("store::take", "take", "store::take"),
        ("store::give", "give", "store::give"),
        ("store::*", "give", "store::give"),
        ("*store::push*", "push", "void store::push<int>(int)"),
        ("store::put(long)", "put_long", "store::put(long)"),
        // As the linker knows it.
        ("_ZN5store3putEl", "put_long", "store::put(long)"),
    ] {
        let run = traced(&[&format!("libtracee:{pattern}")], &["call", work, "1", "60"])?;
        calls_are(&run, &[(name, 60)])?;
        let run = traced_of(in_workload(&["call", work, "1", "60"])?, &[&format!("workload:{pattern}")])?;
        calls_are(&run, &[(name, 60)])?;
    }
    // The one that is not called has no row.
    let run = traced(&["libtracee:store::put(int*"], &["call", "put_long", "1", "60"])?;
    calls_are(&run, &[])
}

fn parts_that_a_compiler_made_have_their_own_names() -> Result<()> {
    let whole = ["call", "whole", "1", "80"];
    // Made of the function that the name is of, and called in its place.
    for pattern in ["tracee_whole", "tracee_whole*"] {
        let run = traced(&[&format!("libtracee:{pattern}")], &whole)?;
        calls_are(&run, &[("tracee_whole", 80), ("tracee_whole.isra.0", 80)])?;
    }
    // The part that is seldom run is no function that somebody calls: only by its own name.
    for name in ["tracee_whole.isra.0", "tracee_whole.cold"] {
        calls_are(&traced(&[&format!("libtracee:{name}")], &whole)?, &[(name, 80)])?;
    }
    Ok(())
}

fn an_indirect_function_is_what_the_process_chose() -> Result<()> {
    let ifunc = ["call", "ifunc", "1", "100"];
    for latency in [&[][..], &["-L"]] {
        let run = traced(&[&["libtracee:tracee_ifunc"], latency].concat(), &ifunc)?;
        calls_are(&run, &[("tracee_ifunc", 100)])?;
        let run = traced_of(in_workload(&ifunc)?, &[&["tracee_ifunc_chosen"], latency].concat())?;
        calls_are(&run, &[("tracee_ifunc_chosen", 100)])?;
    }
    // 3 times 0 + 1 .. 99.
    let run = traced(&["libtracee:tracee_ifunc", "--agg", "sum(ret)"], &ifunc)?;
    ensure_eq!(super::only_value(&run, "sum(ret)")?, 3 * 4950, "sum of results in {run}");
    Ok(())
}

fn an_indirect_function_of_no_process_is_refused() -> Result<()> {
    let pattern = format!("{}:tracee_ifunc", library());
    let run = func(&[&pattern, "-d", "1s"]).run()?;
    ensure_eq!(run.code(), 1, "status of {run}");
    for words in ["error: ", "`tracee_ifunc`", "chooses its code when a process starts", "-p PID"] {
        ensure!(run.stderr.contains(words), "no `{words}` in {run}");
    }
    // The code itself has a name.
    let pattern = format!("{}:tracee_ifunc_chosen", library());
    calls_are(&traced(&[&pattern], &["call", "ifunc", "1", "100"])?, &[("tracee_ifunc_chosen", 100)])
}

fn a_bare_name_says_where_it_was_found() -> Result<()> {
    let run = traced(&["tracee_add"], &["call", "add", "1", "70"])?;
    calls_are(&run, &[("tracee_add", 70)])?;
    ensure!(run.stderr.contains("tracee_add: taken from libtracee.so of process "), "not said: {run}");
    let run = traced_of(in_workload(&["call", "add", "1", "70"])?, &["tracee_add"])?;
    calls_are(&run, &[("tracee_add", 70)])?;
    ensure!(run.stderr.contains("tracee_add: taken from workload of process "), "not said: {run}");
    Ok(())
}

fn several_patterns_are_one_trace() -> Result<()> {
    let patterns =
        ["libtracee:tracee_whole", "libtracee:tracee_whole.cold", "libtracee:tracee_w*", "libtracee:store::*"];
    let run = traced(&patterns, &["call", "whole", "2", "50"])?;
    calls_are(&run, &[("tracee_whole", 100), ("tracee_whole.isra.0", 100), ("tracee_whole.cold", 100)])
}

/// Of two files, by one process: by their modules.
fn functions_with_one_name_are_told_apart() -> Result<()> {
    let folder = Folder::new()?;
    let late = folder.text("late.so");
    std::fs::copy(binaries::tracee_library(), &late)?;
    let again = binaries::tracee().display().to_string();
    // 30 calls in the library of the first image, 2 * 20 in the second image of the other.
    let work = ["exec-between", &again, "30", "late-library", &late, "2", "20"];
    let patterns = ["libtracee:tracee_add", &format!("{late}:tracee_add")];
    calls_are(&traced(&patterns, &work)?, &[("late.so`tracee_add", 40), ("libtracee.so`tracee_add", 30)])?;
    let run = traced(&[&patterns[..], &["--by", "func,module"]].concat(), &work)?;
    let report = run.report()?;
    for (module, count) in [("libtracee.so", 30), ("late.so", 40)] {
        let row = report.row(&[("module", module)])?;
        ensure_eq!(row.count()?, count, "calls in {module} of {run}");
    }
    ensure_eq!(report.rows()?.len(), 2, "rows of {run}");
    Ok(())
}

fn an_offset_is_a_place() -> Result<()> {
    let at = elf::file_offset(&binaries::tracee_library(), "tracee_add")?;
    let add = ["call", "add", "2", "50"];
    for latency in [&[][..], &["-L"]] {
        let run = traced(&[&[&*format!("libtracee:+{at:#x}")], latency].concat(), &add)?;
        calls_are(&run, &[("tracee_add", 100)])?;
    }
    let local = elf::file_offset(binaries::workload(), "tracee_whole.cold")?;
    let pattern = format!("{}:+{local:#x}", binaries::workload().display());
    let run = traced_of(in_workload(&["call", "whole", "1", "50"])?, &[&pattern])?;
    calls_are(&run, &[("tracee_whole.cold", 50)])
}

/// Of one in assembly, whose instructions have 1, 3 and 4 bytes.
fn an_offset_in_a_function_is_a_place() -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        return skip("where the instructions of tracee_usdt begin is known for x86-64 only");
    }
    let usdt = ["call", "usdt", "2", "50"];
    let library = binaries::tracee_library().display().to_string();
    let patterns = ["libtracee:tracee_usdt+0x1", "tracee_usdt+4", &format!("{library}:tracee_usdt+8")];
    for pattern in patterns {
        let name = format!("tracee_usdt+0x{}", &pattern[pattern.len() - 1..]);
        calls_are(&traced(&[pattern], &usdt)?, &[(&name, 100)])?;
    }
    let beside = ["libtracee:tracee_usdt", "libtracee:tracee_usdt+1", "libtracee:tracee_usdt+0"];
    calls_are(&traced(&beside, &usdt)?, &[("tracee_usdt", 100), ("tracee_usdt+0x1", 100)])?;
    // At its first instruction it is the function, which returns.
    calls_are(&traced(&["libtracee:tracee_usdt+0", "-L"], &usdt)?, &[("tracee_usdt", 100)])?;
    let work = Work::dynamic(&["call", "usdt", "1", "1"])?;
    let run = func(&["-L", "libtracee:tracee_usdt+1", "-p", &work.pid()]).run()?;
    run.refused(2, &["`tracee_usdt+0x1` is passed and does not return", "leave out -L"])
}

fn an_offset_beyond_the_function_is_refused() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "1", "1"])?;
    let run = func(&["libtracee:tracee_add+0x1000", "-p", &work.pid()]).run()?;
    run.refused(1, &["`tracee_add+0x1000`: `tracee_add` ends before, at +0x", "where an instruction begins"])?;
    let run = func(&["libtracee:store::put+1", "-p", &work.pid()]).run()?;
    run.refused(1, &["have the name `store::put`: an offset is in one of them", ":store::put(long)+0x1`"])?;
    let run = func(&["libtracee:tracee_ifunc+1", "-p", &work.pid()]).run()?;
    run.refused(1, &["chooses the code of `tracee_ifunc`", "name the code itself"])
}

fn an_offset_outside_of_code_is_refused() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "1", "1"])?;
    let run = func(&["libtracee:+0x7fffffff", "-p", &work.pid()]).run()?;
    run.refused(1, &["no code at +0x7fffffff in the file", "its code is from +0x"])
}

fn a_name_that_nothing_has_gets_the_nearest() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "1", "1"])?;
    let run = func(&["libtracee:tracee_ad", "-p", &work.pid()]).run()?;
    run.refused(1, &["no function `tracee_ad` in `libtracee.so`", "`tracee_add`"])?;
    // Data is no function.
    func(&["libtracee:tracee_data", "-p", &work.pid()]).run()?.refused(1, &["no function `tracee_data`"])?;
    func(&["libtracee:tracee_of_thread", "-p", &work.pid()]).run()?.refused(1, &["no function `tracee_of_thread`"])?;
    func(&["no_such_library:malloc", "-p", &work.pid()]).run()?.refused(1, &["`no_such_library`"])
}

/// What the library does not export is only in its symbol table.
fn a_stripped_file_says_what_to_do() -> Result<()> {
    let folder = Folder::new()?;
    let cut = folder.text("cut.so");
    elf::copy_without_symbols(&binaries::tracee_library(), cut.as_ref())?;
    let late = ["late-library", &cut, "2", "50"];
    // Exported names are there.
    calls_are(&traced(&[&format!("{cut}:tracee_add")], &late)?, &[("tracee_add", 100)])?;
    let run = func(&[&format!("{cut}:hidden_function"), "-d", "1s"]).run()?;
    run.refused(1, &["no function `hidden_function` in `cut.so`, which is stripped"])?;
    // By its place it works.
    let at = elf::file_offset(cut.as_ref(), "tracee_add")?;
    calls_are(&traced(&[&format!("{cut}:+{at:#x}")], &late)?, &[("tracee_add", 100)])
}

/// The loader does not need them, but they say where the names are.
fn a_file_without_sections_says_what_to_do() -> Result<()> {
    let folder = Folder::new()?;
    let cut = folder.text("cut.so");
    elf::copy_without_sections(&binaries::tracee_library(), cut.as_ref())?;
    let late = ["late-library", &cut, "2", "50"];
    let at = elf::file_offset(&binaries::tracee_library(), "tracee_add")?;
    let run = traced(&[&format!("{cut}:+{at:#x}"), "--by", "module"], &late)?;
    super::by_key(&run, "module", &[("cut.so", 100)])?;
    let run = func(&[&format!("{cut}:tracee_add"), "-d", "1s"]).run()?;
    run.refused(1, &["no function `tracee_add` in `cut.so`, which is stripped", &format!("`{cut}:+0xOFFSET`")])
}

fn more_than_max_probes_are_refused() -> Result<()> {
    let work = Work::dynamic(&["call", "add", "1", "1"])?;
    let run = func(&["libtracee:store::*", "--max-probes", "4", "-p", &work.pid()]).run()?;
    run.refused(1, &["5 functions match", "--max-probes 4", "--max-probes 5"])?;
    drop(work);
    let run = traced(&["libtracee:store::*", "--max-probes", "5"], &["call", "take", "1", "9"])?;
    calls_are(&run, &[("store::take", 9)])
}

/// It begins with a lock prefix. The other functions go on.
fn a_first_instruction_that_takes_no_probe_is_named() -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        return skip("tracee_locked begins with an instruction that takes a probe here");
    }
    const WHY: &str = "tracee_locked is not traced: no probe can be put on its first instruction";
    for latency in [&[][..], &["-L"]] {
        let both = [&["libtracee:tracee_locked", "libtracee:tracee_add"], latency].concat();
        let run = traced(&both, &["call", "add", "1", "40"])?;
        calls_are(&run, &[("tracee_add", 40)])?;
        ensure!(run.report()?.notes().iter().any(|note| note.starts_with(WHY)), "no `{WHY}` in {run}");
    }
    // Alone, where a process has it and where none does.
    let work = Work::dynamic(&["call", "locked", "1", "1"])?;
    let folder = Folder::new()?;
    let copy = folder.text("copy.so");
    std::fs::copy(binaries::tracee_library(), &copy)?;
    let of_nobody = format!("{copy}:tracee_locked");
    for args in [&["libtracee:tracee_locked", "-p", &work.pid()][..], &[&of_nobody], &[&of_nobody, "-p", &work.pid()]] {
        let run = func(args).and(&["-d", "1s"]).run()?;
        ensure_eq!(run.code(), 1, "status of {run}");
        for words in ["`tracee_locked`", "no probe can be put on its first instruction"] {
            ensure!(run.stderr.contains(words), "no `{words}` in {run}");
        }
    }
    Ok(())
}
