//! The verifier's log as a sentence: its last complaint, and how much was left out.

/// The line that says why, after a colon; the whole log where it is asked for.
pub fn verdict(log: &str, whole: bool) -> String {
    if log.trim().is_empty() {
        return String::new();
    }
    if whole {
        return format!(": verifier:\n{}", log.trim_end());
    }
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    // Statistics come last, the complaint before them.
    let complaint = lines.iter().rev().find(|line| !is_statistics(line)).copied().unwrap_or("");
    let omitted = lines.len() - 1;
    match omitted {
        0 => format!(": verifier: {complaint}"),
        _ => format!(": verifier: {complaint} ({omitted} lines omitted)"),
    }
}

fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth ", "peak_states"].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_is_the_last_complaint_not_the_statistics() {
        let log =
            "0: R1=ctx R10=fp0\n0: (b7) r0 = 0\nR1 invalid mem access 'scalar'\nprocessed 3 insns (limit 1000000)\n";
        assert_eq!(verdict(log, false), ": verifier: R1 invalid mem access 'scalar' (3 lines omitted)");
    }

    #[test]
    fn empty_log_adds_nothing() {
        assert_eq!(verdict(" \n", false), "");
    }
}
