//! One stage of `cargo xtask test` and how it ended; the last lines that are printed.

use std::fmt::Write;
use std::time::Duration;

use super::tally::{self, Counts};

pub struct Stage {
    pub name: String,
    pub counts: Counts,
    /// Why it failed or was skipped as a whole; empty where its tests say it.
    pub why: String,
    /// Single tests that were skipped, with their reasons.
    pub skips: Vec<String>,
    /// Single tests that failed, with what was wrong.
    pub failures: Vec<String>,
    /// Single tests that failed at first, and what was wrong then.
    pub unstable: Vec<String>,
    pub took: Duration,
}

impl Stage {
    /// From what its test program printed; `trouble` says how the program itself ended, if badly.
    pub fn ran(name: &str, lines: &[String], trouble: Option<String>, took: Duration) -> Self {
        let counted = tally::counts(lines);
        let trouble = match (trouble, counted) {
            (None, None) => Some("it printed no test result".into()),
            // A filter that matches nothing, or a guest that got words of its boot line as filters.
            (None, Some(counts)) if counts == Counts::default() => Some("it ran no test".into()),
            (trouble, _) => trouble,
        };
        let mut counts = counted.unwrap_or_default();
        if trouble.is_some() && counts.failed == 0 {
            counts.failed = 1; // The program itself: a crash must not count as nothing.
        }
        let (skips, failures, unstable) = (tally::skipped(lines), tally::failed(lines), tally::unstable(lines));
        Self { name: name.into(), counts, why: trouble.unwrap_or_default(), skips, failures, unstable, took }
    }

    pub fn failed(name: impl Into<String>, why: String, took: Duration) -> Self {
        Self::whole(name.into(), Counts { failed: 1, ..Counts::default() }, why, took)
    }

    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::whole(name.into(), Counts { skipped: 1, ..Counts::default() }, why.into(), Duration::ZERO)
    }

    fn whole(name: String, counts: Counts, why: String, took: Duration) -> Self {
        Self { name, counts, why, skips: Vec::new(), failures: Vec::new(), unstable: Vec::new(), took }
    }

    fn verdict(&self) -> &'static str {
        match self.counts {
            Counts { failed: 1.., .. } => "FAILED",
            Counts { passed: 0, skipped: 1.., .. } => "skipped",
            _ => "passed",
        }
    }
}

/// One line per stage, one per skipped, unstable or failed test, and the totals as the very last line.
pub fn summary(stages: &[Stage]) -> (String, Counts) {
    let mut text = String::new();
    let mut total = Counts::default();
    let width = stages.iter().map(|stage| stage.name.len()).max().unwrap_or_default();
    for stage in stages {
        let Counts { passed, failed, skipped } = stage.counts;
        total.add(stage.counts);
        let _ = write!(
            text,
            "{:width$}  {:7} {passed:4} passed {failed:3} failed {skipped:3} skipped {:6.1} s",
            stage.name,
            stage.verdict(),
            stage.took.as_secs_f32()
        );
        if !stage.why.is_empty() {
            let _ = write!(text, "  {}", stage.why);
        }
        text.push('\n');
        for skip in &stage.skips {
            let _ = writeln!(text, "{:width$}  skipped {skip}", "");
        }
        for unstable in &stage.unstable {
            let _ = writeln!(text, "{:width$}  UNSTABLE {unstable}", "");
        }
        for failure in &stage.failures {
            let _ = writeln!(text, "{:width$}  FAILED  {failure}", "");
        }
    }
    let Counts { passed, failed, skipped } = total;
    let _ = write!(text, "{passed} passed, {failed} failed, {skipped} skipped");
    (text, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn ran(text: &str, trouble: Option<&str>) -> Stage {
        Stage::ran("x", &lines(text), trouble.map(str::to_owned), Duration::ZERO)
    }

    #[test]
    fn a_program_that_dies_after_its_tests_passed_counts_as_one_failure() {
        let stage = ran("test result: ok. 5 passed; 0 failed; 0 ignored", Some("exit status: 139"));
        assert_eq!(stage.counts, Counts { passed: 5, failed: 1, skipped: 0 });
        assert_eq!(stage.verdict(), "FAILED");
    }

    #[test]
    fn a_program_that_prints_no_result_fails_even_with_exit_code_0() {
        assert_eq!(ran("hello", None).verdict(), "FAILED");
    }

    #[test]
    fn a_program_that_runs_no_test_fails() {
        let stage = ran("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out", None);
        assert_eq!((stage.verdict(), stage.why.as_str()), ("FAILED", "it ran no test"));
    }

    #[test]
    fn summary_ends_with_the_plain_totals() {
        let stages = [
            ran("test b ... ignored, no BTF\ntest result: ok. 5 passed; 0 failed; 1 ignored", None),
            Stage::skipped("kernel here", "not root"),
            Stage::failed("6.1", "no network".into(), Duration::ZERO),
        ];
        let (text, total) = summary(&stages);
        assert_eq!(text.lines().last(), Some("5 passed, 1 failed, 2 skipped"));
        assert!(text.contains("skipped b: no BTF\n") && text.contains("  not root\n"), "{text}");
        assert_eq!(total.failed, 1);
    }
}
