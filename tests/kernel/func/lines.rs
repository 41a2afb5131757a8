//! Lines of source files: each place that has the code of one is traced (tests/tracee/lines.c).
use spoor_tests::folder::Folder;
use spoor_tests::{Result, Work, binaries, elf, ensure, func};

use super::{calls_are, library, traced};

crate::tests![
    a_line_is_counted_as_often_as_it_is_run,
    a_line_is_found_by_the_path_of_its_library,
    a_line_that_was_inlined_is_counted_in_each_place,
    a_line_without_code_is_the_next_one_that_has_some,
    a_line_of_a_stripped_file_is_refused,
    a_line_that_nothing_has_is_refused,
    a_line_has_no_return,
];

/// 2 * 50 calls.
const CALLS: [&str; 4] = ["call", "lines", "2", "50"];

fn a_line_is_counted_as_often_as_it_is_run() -> Result<()> {
    // Of 0 to 49, 13 are divisible by four.
    for (line, count) in [("lines.c:13", 26), ("lines.c:18", 100), ("lines.c:27", 100)] {
        let run = traced(&[&format!("libtracee:{line}")], &CALLS)?;
        calls_are(&run, &[(line, count)])?;
    }
    let both = ["libtracee:tracee/lines.c:13", "libtracee:lines.c:18", "libtracee:tracee_lines"];
    calls_are(&traced(&both, &CALLS)?, &[("tracee/lines.c:13", 26), ("lines.c:18", 100), ("tracee_lines", 100)])
}

fn a_line_is_found_by_the_path_of_its_library() -> Result<()> {
    let run = traced(&[&format!("{}:lines.c:13", library())], &CALLS)?;
    calls_are(&run, &[("lines.c:13", 26)])
}

/// Once by the one function, and three times by the other.
fn a_line_that_was_inlined_is_counted_in_each_place() -> Result<()> {
    let run = traced(&["libtracee:lines.c:8"], &CALLS)?;
    calls_are(&run, &[("lines.c:8", 400)])?;
    for words in ["lines.c:8 is at 2 places: ", "tracee_lines+0x", "tracee_lines_too+0x"] {
        ensure!(run.stderr.contains(words), "no `{words}` in {run}");
    }
    Ok(())
}

fn a_line_without_code_is_the_next_one_that_has_some() -> Result<()> {
    let run = traced(&["libtracee:lines.c:15"], &CALLS)?;
    calls_are(&run, &[("lines.c:18", 100)])?;
    let note = "lines.c:15 has no code: the next line that has some is 18";
    ensure!(run.stderr.contains(note), "no `{note}` in {run}");
    Ok(())
}

fn a_line_of_a_stripped_file_is_refused() -> Result<()> {
    let folder = Folder::new()?;
    let cut = folder.text("cut.so");
    elf::copy_without_sections(&binaries::tracee_library(), cut.as_ref())?;
    let run = func(&[&format!("{cut}:lines.c:13"), "-d", "1s"]).run()?;
    run.refused(1, &["`lines.c:13`", "has no debug information", &format!("`{cut}:+0xOFFSET`")])
}

fn a_line_that_nothing_has_is_refused() -> Result<()> {
    let work = Work::dynamic(&["call", "lines", "1", "1"])?;
    let run = func(&["libtracee:lines.c:1000", "-p", &work.pid()]).run()?;
    run.refused(1, &["`lines.c` has no code", "from line 1000 on", "a line up to 28"])?;
    let run = func(&["libtracee:line.c:8", "-p", &work.pid()]).run()?;
    run.refused(1, &["no source file `line.c`", "`lines.c`"])
}

fn a_line_has_no_return() -> Result<()> {
    let work = Work::dynamic(&["call", "lines", "1", "1"])?;
    let run = func(&["-L", "libtracee:lines.c:18", "-p", &work.pid()]).run()?;
    run.refused(2, &["`lines.c:18` is passed and does not return"])
}
