//! Predicates in the kernel: 100 getppid with arg0 = 0..99, and how many of them pass.
use spoor_tests::{Result, Work, ensure_eq, syscalls};

crate::tests![
    comparisons,
    arithmetic,
    bits_and_shifts,
    logic_and_parentheses,
    signed_results,
    casts,
    names_and_patterns,
    common_fields,
    a_division_by_zero_is_counted_as_lost,
    a_condition_that_never_holds_is_an_empty_report,
];

fn passes(cases: &[(&str, u64)], work: &[&str], syscall: &str) -> Result<()> {
    for (condition, wanted) in cases {
        let condition = format!("syscall == \"{syscall}\" && ({condition})");
        let run = syscalls(&["--where", &condition]).attached_to(work)?;
        ensure_eq!(run.report()?.kept()?, *wanted, "calls where {condition} in {run}");
    }
    Ok(())
}

fn of_a_hundred(cases: &[(&str, u64)]) -> Result<()> {
    passes(cases, &["range", "100"], "getppid")
}

fn comparisons() -> Result<()> {
    of_a_hundred(&[
        ("arg0 == 7", 1),
        ("arg0 != 7", 99),
        ("arg0 < 10", 10),
        ("arg0 <= 10", 11),
        ("arg0 > 90", 9),
        ("arg0 >= 90", 10),
        ("0x10 > arg0", 16),
    ])
}

fn arithmetic() -> Result<()> {
    of_a_hundred(&[
        ("arg0 + 1 == 100", 1),
        ("arg0 * 2 == 50", 1),
        ("arg0 / 10 == 3", 10),
        ("arg0 % 10 == 3", 10),
        ("arg0 - 1 == 4", 1),
        ("arg0 - arg0 == 0", 100),
        ("(arg0 + 3) * 2 - 6 == arg0 * 2", 100),
    ])
}

fn bits_and_shifts() -> Result<()> {
    of_a_hundred(&[
        ("arg0 & 1", 50),
        ("(arg0 & 1) == 1", 50),
        ("(arg0 | 3) == 3", 4),
        ("(arg0 ^ 5) == 0", 1),
        ("arg0 << 1 == 10", 1),
        ("arg0 >> 4 == 1", 16),
        ("(~arg0 & 0xff) == 0xfa", 1),
    ])
}

fn logic_and_parentheses() -> Result<()> {
    of_a_hundred(&[
        ("arg0 < 10 || arg0 >= 95", 15),
        ("arg0 >= 10 && arg0 < 20 || arg0 == 50", 11),
        ("!(arg0 < 10)", 90),
        ("!arg0", 1),
        ("arg0 < 10 && !(arg0 == 3)", 9),
        // Short circuit: no fault where the left side decides.
        ("arg0 == 0 || 100 / arg0 > 0", 100),
    ])
}

/// Results are signed, and compared by value with unsigned arguments.
fn signed_results() -> Result<()> {
    let work = ["returns", "-29", "-22", "-9", "0", "5", "7"];
    let cases = [
        ("ret < 0", 3),
        ("ret >= 0", 3),
        ("ret == -22", 1),
        ("-ret == 9", 1),
        ("ret / 2 == -4", 1),  // -9, towards zero
        ("ret % 5 == -4", 2),  // -29 and -9, the dividend's sign
        ("ret >> 3 == -2", 1), // -9, arithmetic
        ("ret < arg1", 3),     // -29 and -9 below 0, -22 below 2^64 - 1: by value, not by bits
        ("ret == arg1", 3),    // the offsets 0, 5, 7
    ];
    passes(&cases, &work, "lseek")
}

/// Width and sign of a cast, on arguments from 0 to 99 and on results.
fn casts() -> Result<()> {
    of_a_hundred(&[
        ("(u8)(arg0 * 4) < 4", 2),    // 0 and 64
        ("(i8)(arg0 * 2) < 0", 36),   // from 64 on
        ("(i64)(arg0 - 50) < 0", 50), // a difference below zero
        ("(unsigned)(arg0 - 50) < 50", 50),
        ("(size_t)arg0 == arg0", 100),
    ])?;
    let work = ["returns", "-29", "-22", "-9", "0", "5", "7"];
    let cases = [
        ("(i32)ret < 0", 3),
        ("(int)ret == -22", 1),
        ("(u8)ret == 0xe3", 1), // -29
        ("(unsigned int)ret > 7", 3),
        ("(u64)ret > 7", 3),
        ("(i32)arg1 == -1", 1), // what fails with -22
    ];
    passes(&cases, &work, "lseek")
}

fn names_and_patterns() -> Result<()> {
    let work = ["mix", "100"];
    let cases = [
        ("syscall == \"close\"", 200),
        ("syscall == \"c*\"", 200),
        ("syscall == \"*et[p]pid\"", 100),
        ("errno == \"EBADF\"", 200),
        ("syscall == \"close\" && errno == \"E*\"", 200),
        ("syscall == \"close\" && errno != \"EBADF\"", 0),
        ("comm == \"workload\" && syscall == \"close\"", 200),
        ("comm != \"workload\"", 0),
        ("comm == \"w*d\" && syscall == \"read\"", 300),
    ];
    for (condition, wanted) in cases {
        let run = syscalls(&["--where", condition]).attached_to(&work)?;
        ensure_eq!(run.report()?.kept()?, wanted, "calls where {condition} in {run}");
    }
    Ok(())
}

fn common_fields() -> Result<()> {
    let parent = std::process::id();
    for (condition, wanted) in [
        ("pid == tid".to_owned(), 50),
        (format!("ppid == {parent}"), 50),
        ("uid == 0 && gid == 0".to_owned(), 50),
        ("timestamp > 0".to_owned(), 50),
        ("cpu > 4095".to_owned(), 0),
    ] {
        let work = Work::waiting(&["getppid", "50"])?;
        let condition = format!("pid == {} && syscall == \"getppid\" && {condition}", work.pid());
        let pid = work.pid();
        let run = syscalls(&["-p", &pid, "--where", &condition]).with(work)?;
        ensure_eq!(run.report()?.kept()?, wanted, "calls where {condition} in {run}");
    }
    Ok(())
}

/// One of a hundred has arg0 = 0; kept + lost = fired.
fn a_division_by_zero_is_counted_as_lost() -> Result<()> {
    let run = syscalls(&["--where", "syscall == \"getppid\" && 100 / arg0 >= 0"]).attached_to(&["range", "100"])?;
    let report = run.report_with_loss()?;
    ensure_eq!((report.kept()?, report.lost()?), (99, 1), "kept and lost in {run}");
    ensure_eq!(report.lost_of_kind("zero")?, 1, "divisions by zero in {run}");
    Ok(())
}

fn a_condition_that_never_holds_is_an_empty_report() -> Result<()> {
    let run = syscalls(&["--where", "ret == 12345 && ret == 54321"]).attached_to(&["getppid", "100"])?;
    ensure_eq!(run.report()?.rows()?.len(), 0, "rows of {run}");
    Ok(())
}
