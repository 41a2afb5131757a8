//! What a test program said: its lines in, counts and the names of the skipped and of the failed out.

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The sum of all `test result:` lines (libtest and libtest-mimic); `None` if there is none.
pub fn counts(lines: &[String]) -> Option<Counts> {
    let mut sum: Option<Counts> = None;
    for line in lines {
        if let Some(result) = line.split_once("test result: ").and_then(|(_, said)| result(said)) {
            sum.get_or_insert_default().add(result);
        }
    }
    sum
}

/// Reads `ok. 5 passed; 0 failed; 1 ignored; ...`.
fn result(said: &str) -> Option<Counts> {
    let number = |word: &str| {
        let before = said.split_once(word)?.0;
        before.rsplit([' ', ';']).find(|word| !word.is_empty())?.parse().ok()
    };
    Some(Counts { passed: number(" passed")?, failed: number(" failed")?, skipped: number(" ignored")? })
}

/// `NAME` or `NAME: REASON` of each test that was skipped.
pub fn skipped(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| {
            let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
            // libtest writes `ignored, why`, libtest-mimic `ignored (why)`.
            let reason = verdict.strip_prefix("ignored")?.trim_matches([',', ' ']);
            let bare = reason.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
            let reason = bare.unwrap_or(reason);
            let name = name.trim();
            Some(if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") })
        })
        .collect()
}

/// `NAME: REASON` of each test that failed; the reason is what was said up to the first empty line, in one.
pub fn failed(lines: &[String]) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    let mut in_reason = false;
    for line in lines {
        // libtest writes `---- NAME stdout ----`, libtest-mimic `---- NAME ----`.
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            failures.push(name.strip_suffix(" stdout").unwrap_or(name).to_owned() + ":");
            in_reason = true;
            continue;
        }
        in_reason &= !line.trim().is_empty() || failures.last().is_some_and(|failure| failure.ends_with(':'));
        if in_reason && !line.contains("panicked at ") && !line.trim().is_empty() {
            let failure = failures.last_mut().expect("a name came before");
            failure.push(' ');
            let room = REASON_SHOWN.saturating_sub(failure.chars().count());
            failure.extend(line.trim().chars().take(room));
        }
    }
    failures
}

/// `NAME: REASON` of each test that failed at first, and passed when it ran once more.
pub fn unstable(lines: &[String]) -> Vec<String> {
    let failed = lines.iter().filter_map(|line| line.strip_prefix("unstable "));
    failed.map(|line| line.chars().take(REASON_SHOWN).collect()).collect()
}

const REASON_SHOWN: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn counts_are_summed_over_all_programs_of_a_run() {
        let text = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    noise\n\
                    test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured";
        let expected = Counts { passed: 17, failed: 3, skipped: 1 };
        assert_eq!(counts(&lines(text)), Some(expected));
    }

    #[test]
    fn counts_of_a_program_that_died_are_none_and_not_zero() {
        assert_eq!(counts(&lines("running 3 tests\ntest a ... ok\nKilled")), None);
    }

    #[test]
    fn skipped_tests_keep_their_reason() {
        let text = "test a ... ok\ntest b ... ignored, not supported: no ringbuf\n\
                    test c         ... ignored\ntest d ... FAILED\n\
                    test e ... ignored (no BTF (yet))";
        let expected = ["b: not supported: no ringbuf", "c", "e: no BTF (yet)"];
        assert_eq!(skipped(&lines(text)), expected);
    }

    #[test]
    fn tests_that_passed_at_the_second_try_are_told() {
        let text = "test a ... \nunstable a: 59, not 60\nok\ntest b ... ok";
        assert_eq!(unstable(&lines(text)), ["a: 59, not 60"]);
    }

    #[test]
    fn failed_tests_tell_what_was_wrong() {
        let text = "test a ... FAILED\n\nfailures:\n\n---- a ----\nthread 'a' (7) panicked at x.rs:1:2:\nleft: 59\nright: 60\n\n\
                    ---- b stdout ----\nno such file\n\nfailures:\n    a\n    b\n";
        assert_eq!(failed(&lines(text)), ["a: left: 59 right: 60", "b: no such file"]);
    }
}
